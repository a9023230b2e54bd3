"""What a copy shows: a bar on a terminal, sentences about failures, one line at the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydfsnode.cli.output import decimal_size, local_error_text, note, plural, refusal_text
from pydfsnode.errors import AlreadyExists, PydfsError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pydfsnode.client.copy import CopyReport


class CopyProgress:
    """A `copy.Watcher`. Use as a context manager around the copy.

    The bar goes to standard error and only when that is a terminal.
    """

    def __init__(self, shown: bool | None = None) -> None:
        self.bytes = 0
        self._total = 0
        self._skipped = 0
        self._failures = 0
        self._began_ns = time.perf_counter_ns()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty() if shown is None else shown:
            self._bar = _bar()
            self._task = self._bar.add_task("", total=None, files=0)
        self._files = 0

    def __enter__(self) -> CopyProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since this was made."""
        return (time.perf_counter_ns() - self._began_ns) / 1e9

    def report(self) -> CopyReport:
        """What was done so far, of a copy that is not finished."""
        from pydfsnode.client.copy import CopyReport

        return CopyReport(self._files, 0, self.bytes, self._failures, self._skipped)

    def planned(self, size: int) -> None:
        """See copy.Watcher."""
        self._total += size
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._total)

    def moved(self, count: int) -> None:
        """See copy.Watcher."""
        self.bytes += count
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=count)

    def skipped(self, size: int) -> None:
        """*size* bytes that were planned are there already."""
        self._skipped += 1
        self.planned(-size)

    def finished(self, path: str) -> None:
        """See copy.Watcher."""
        self._files += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, files=self._files)

    def failed(self, path: str, error: Exception) -> None:
        """See copy.Watcher: says so and lets the copy go on."""
        self._failures += 1
        if isinstance(error, PydfsError):
            message = refusal_text(error)
        elif isinstance(error, OSError) and error.strerror:
            message = local_error_text(error, path)
        elif isinstance(error, FileExistsError):
            message = f"{error}: File exists"
        else:
            message = str(error)
        if isinstance(error, AlreadyExists | FileExistsError):
            message += " (-f overwrites)"
        if self._bar is not None:
            self._bar.console.print(f"pydfsnode: {message}", markup=False, highlight=False)
        else:
            note(message)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[files]} files"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def summary_line(report: CopyReport, seconds: float) -> str:
    """As in "copied 2,014 files, 1.2 GB in 8.1 s (148 MB/s), 3 skipped, 1 failure"."""
    rate = f" ({decimal_size(report.bytes / seconds)}/s)" if report.bytes and seconds else ""
    skipped = f", {report.skipped:,} skipped" if report.skipped else ""
    failed = f", {plural(report.failures, 'failure')}" if report.failures else ""
    files = plural(report.files, "file")
    size = decimal_size(report.bytes)
    return f"copied {files}, {size} in {seconds:.1f} s{rate}{skipped}{failed}"


def summary_json(report: CopyReport, seconds: float) -> dict[str, Any]:
    """The same for programs."""
    return {
        "files": report.files,
        "directories": report.directories,
        "bytes": report.bytes,
        "skipped": report.skipped,
        "failures": report.failures,
        "seconds": round(seconds, 3),
        "mb_per_s": round(report.bytes / 1e6 / seconds, 1) if seconds else 0.0,
    }

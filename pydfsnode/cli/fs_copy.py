"""What `fs put`, `fs get` and `fs cp` share: their flags, the copy itself, what they tell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pydfsnode.cli.output import freshness_json, note, plural, print_json
from pydfsnode.cli.progress import CopyProgress, summary_json, summary_line

if TYPE_CHECKING:
    from pydfsnode.client.copy import Around, CopyReport
    from pydfsnode.client.model import Freshness
    from pydfsnode.client.preserve import Attribute, Preserving

F = TypeVar("F", bound=Callable[..., Any])
STANDARD = "-"
"""In place of a local file: standard input or output."""
THREADS_MAX = 64

force_option = click.option("-f", "force", is_flag=True, help="Overwrite what exists.")
tree_option = click.option(
    "-r", "-R", "recursive", is_flag=True, help="Accepted; directories are always copied whole."
)
resume_option = click.option(
    "--resume",
    is_flag=True,
    help="Go on with an interrupted copy: skip what has the same checksum already.",
)
preserve_option = click.option(
    "-p", "--preserve", "preserve", is_flag=True,
    help="Keep times and mode; owner and group where you may give them.",
)  # fmt: skip
threads_option = click.option(
    "-t", "--threads", "threads", type=click.IntRange(1, THREADS_MAX), metavar="N",
    help="Files copied at once [default: as configured, else 8].",
)  # fmt: skip


def accepted_option(*flags: str, why: str, **more: Any) -> Callable[[F], F]:
    """A flag of `hdfs dfs` that scripts give and that changes nothing here."""
    return click.option(*flags, expose_value=False, help=f"Accepted; {why}", **more)


direct_option = accepted_option("-d", is_flag=True, why="no temporary file is made in the cluster.")
queue_option = accepted_option("-q", metavar="N", why="the queue is as long as is good.")


class Telling:
    """Runs a copy and tells how it goes: a bar, one line at the end, also of a part of it."""

    def __init__(self, as_json: bool, hint: str = "") -> None:
        """Begin to count the time; *hint*: what to do after an interruption."""
        self._as_json = as_json
        self._hint = hint
        self.progress = CopyProgress()
        self._preserving: Preserving | None = None

    def preserving(self, around: Around | None, attribute: Attribute) -> Around:
        """*around*, followed by giving each copy its attributes."""
        from pydfsnode.client.copy import Plain
        from pydfsnode.client.preserve import Preserving

        self._preserving = Preserving(around or Plain(), attribute)
        return self._preserving

    async def run(
        self, copy: Awaitable[CopyReport], stalest: Callable[[], Freshness | None] = lambda: None
    ) -> None:
        """Await *copy* and tell what it did.

        Raises:
            click.exceptions.Exit: with 1, at the end, when something was not copied.
        """
        try:
            with self.progress:
                report = await copy
                if self._preserving is not None:
                    await self._preserving.finish()
        except asyncio.CancelledError:
            self._tell_interrupted()
            raise
        self._tell(report, freshness_json(stalest()))
        if report.failures:
            raise click.exceptions.Exit(1)

    def _tell(self, report: CopyReport, more: dict[str, Any]) -> None:
        if self._as_json:
            print_json(summary_json(report, self.progress.seconds) | more)
            return
        refused = 0 if self._preserving is None else self._preserving.owners_refused
        if refused:
            note(f"the owner or group of {plural(refused, 'entry', 'entries')} could not be kept")
        click.echo(summary_line(report, self.progress.seconds))

    def _tell_interrupted(self) -> None:
        report = self.progress.report()
        seconds = self.progress.seconds
        if self._as_json:
            print_json(summary_json(report, seconds) | {"interrupted": True})
        if sys.stderr.isatty():
            click.echo(err=True)  # behind the "^C" of the terminal
        note(f"interrupted: {summary_line(report, seconds)}{self._hint}")

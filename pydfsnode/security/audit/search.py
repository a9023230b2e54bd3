"""Looking into trails: records that fit, in the order of time; and what is appended meanwhile."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydfsnode.security.audit.record import Record
from pydfsnode.security.audit.trail_files import TrailFile, trail_files


@dataclass(frozen=True, slots=True)
class Query:
    """Every field that is set must fit. Times are the beginnings of "2026-11-23T17:46:33.952Z".

    `path`: of the source or destination, or of a directory above it. `via`: as "gateway/g1".
    """

    user: str = ""
    path: str = ""
    since: str = ""
    until: str = ""
    cmd: str = ""
    kind: str = ""
    outcome: str = ""
    request_id: str = ""
    via: str = ""
    denied: bool = False

    def fits(self, record: Record) -> bool:
        """Whether *record* is asked for."""
        for wanted, found in (
            (self.user, record.user),
            (self.cmd, record.cmd),
            (self.kind, record.kind),
            (self.outcome, record.outcome),
            (self.request_id, record.request_id),
            (self.via, record.via),
        ):
            if wanted and wanted != found:
                return False
        if self.denied and record.allowed:
            return False
        if (self.since and record.time < self.since) or (self.until and record.time >= self.until):
            return False
        return not self.path or self._is_below(record.src) or self._is_below(record.dst)

    def _is_below(self, path: str | None) -> bool:
        above = self.path.rstrip("/")
        return path is not None and (path == above or path.startswith(above + "/"))


def search_trails(paths: Sequence[Path], query: Query) -> Iterator[Record]:
    """The records among *paths* that fit, those of several nodes together by time.

    Lines that cannot be read are passed over: `verify` tells of them. Raises OSError.
    """
    groups = groupby(trail_files(paths), key=lambda file: (file.node, file.trail))
    trails = [_records(list(files), query) for _, files in groups]
    return heapq.merge(*trails, key=lambda record: record.time)


def _records(files: Iterable[TrailFile], query: Query) -> Iterator[Record]:
    for file in files:
        with file.path.open("rb") as opened:
            for line in opened:
                try:
                    record = file.format.parse(line.rstrip(b"\n"))
                except ValueError:
                    continue
                if query.fits(record):
                    yield record


class Following:
    """What is appended to trails, also to files that are begun meanwhile.

    Args of the constructor:
        lines: how many of each file's last lines come first.
    """

    def __init__(self, paths: Sequence[Path], query: Query, lines: int) -> None:
        self._paths = paths
        self._query = query
        self._offsets: dict[Path, int] = {}
        newest = {(file.node, file.trail): file for file in trail_files(paths)}
        for file in trail_files(paths):
            is_newest = newest[file.node, file.trail] is file or (
                newest[file.node, file.trail].path == file.path
            )
            content = file.path.read_bytes()
            kept = content.splitlines(keepends=True)[-lines:] if is_newest and lines else []
            self._offsets[file.path] = len(content) - sum(map(len, kept))

    def step(self) -> list[Record]:
        """What has come since the last call and fits. Raises OSError."""
        found: list[Record] = []
        for file in trail_files(self._paths):
            offset = self._offsets.get(file.path, 0)
            with file.path.open("rb") as opened:
                opened.seek(offset)
                content = opened.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._offsets[file.path] = offset + len(whole)
            for line in whole.splitlines():
                try:
                    record = file.format.parse(line)
                except ValueError:
                    continue
                if self._query.fits(record):
                    found.append(record)
        return sorted(found, key=lambda record: record.time)

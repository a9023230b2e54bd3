"""Where in the log each term begins, as one number in the bounds.

An entry is the only one of its index and term, so that an entry which a truncation removed and
somebody put back under its key shows: its term is not the one that was there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from pydfsnode._fast import crc32c

_RUN = struct.Struct("<QQ")


def checksum(runs: Iterable[tuple[int, int]]) -> int:
    """Of (first index, term) of each run; 0: there is none."""
    packed = b"".join(_RUN.pack(*run) for run in runs)
    return row_checksum(packed or None)


def row_checksum(row: bytes | None) -> int:
    """Never 0, but for None: there is no such row."""
    return 0 if row is None else crc32c(row) or 1


class TermRuns:
    """The runs of a log that is written; `checksum` is that of now."""

    def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
        self._runs = list(runs)
        self.checksum = checksum(runs)

    def replace_after(
        self, kept: int, entries: Sequence[bytes], term_of: Callable[[int, bytes], int]
    ) -> None:
        """Entries up to *kept* stay, and *entries* follow them."""
        runs = self._runs
        before = len(runs)
        while runs and runs[-1][0] > kept:
            runs.pop()
        last = kept + len(entries)
        is_same = len(runs) == before
        if entries and not (runs and runs[-1][1] == term_of(last, entries[-1])):
            is_same = False
            for index, entry in enumerate(entries, kept + 1):
                term = term_of(index, entry)
                if not runs or term > runs[-1][1]:
                    runs.append((index, term))
        if not is_same:
            self.checksum = checksum(runs)

    def drop_before(self, first: int, last: int) -> None:
        """The log holds *first* to *last* from now on, or nothing when that is before it."""
        runs = self._runs
        if last < first:
            runs.clear()
        while len(runs) > 1 and runs[1][0] <= first:
            del runs[0]
        if runs and runs[0][0] < first:
            runs[0] = (first, runs[0][1])
        self.checksum = checksum(runs)

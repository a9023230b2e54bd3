"""The names of a large directory in order, kept in runs so that a change costs little."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from itertools import islice

_RUN_NAMES_MAX = 1024


class SortedNames:
    """Names in code point order, which is the byte order of their UTF-8.

    Runs of at most `_RUN_NAMES_MAX` names: an insertion moves one run's tail, not a million names.
    `_firsts[i]` is at most the first name of run i and above every name of run i - 1.
    """

    __slots__ = ("_firsts", "_runs")

    def __init__(self, names: Iterable[str]) -> None:
        ordered = sorted(names)
        half = _RUN_NAMES_MAX // 2
        self._runs = [ordered[at : at + half] for at in range(0, len(ordered), half)] or [[]]
        self._firsts = [run[0] if run else "" for run in self._runs]

    def add(self, name: str) -> None:
        """Insert *name*, which is not there yet."""
        at = max(bisect_right(self._firsts, name) - 1, 0)
        run = self._runs[at]
        insort(run, name)
        if name < self._firsts[at]:
            self._firsts[at] = name
        if len(run) > _RUN_NAMES_MAX:
            half = len(run) // 2
            self._runs.insert(at + 1, run[half:])
            self._firsts.insert(at + 1, run[half])
            del run[half:]

    def remove(self, name: str) -> None:
        """Take out *name*, which is there."""
        at = max(bisect_right(self._firsts, name) - 1, 0)
        run = self._runs[at]
        del run[bisect_left(run, name)]
        if not run and len(self._runs) > 1:
            del self._runs[at], self._firsts[at]

    def after(self, name: str, count: int) -> list[str]:
        """Up to *count* names that follow *name*; "" stands before all."""
        at = max(bisect_right(self._firsts, name) - 1, 0)
        page = list(islice(self._runs[at], bisect_right(self._runs[at], name), None))
        while len(page) < count and at + 1 < len(self._runs):
            at += 1
            page.extend(self._runs[at])
        return page[:count]

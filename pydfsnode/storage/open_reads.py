"""Which reads of a store are under way, so that no key is destroyed that one of them needs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator


class OpenReads:
    """Reads are numbered as they begin. Any thread may use it: each step is one of a dict."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, None] = {}

    def begin(self) -> int:
        """A read begins; its number."""
        number = next(self._numbers)
        self._open[number] = None
        return number

    def end(self, number: int) -> None:
        """The read *number* ended; may be told twice."""
        self._open.pop(number, None)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """A read for as long as the block runs."""
        number = self.begin()
        try:
            yield
        finally:
            self.end(number)

    def ended_before(self, number: int) -> bool:
        """Whether every read that began before *number* has ended."""
        return min(list(self._open), default=number) >= number

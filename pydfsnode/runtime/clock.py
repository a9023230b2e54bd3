"""The only reader of the system's clocks; everything else is given a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds of two clocks."""

    def monotonic_ms(self) -> int:
        """Of a clock that never goes back and has no known origin: for timeouts and order."""
        ...

    def wall_ms(self) -> int:
        """Since 1970-01-01 UTC, may jump: for what people read, never for timeouts."""
        ...


def stopwatch_s() -> float:
    """Seconds of a fine clock without origin, from any thread: only to measure how long work took.

    uvloop's `loop.time()` counts whole milliseconds and belongs to the loop's thread.
    """
    return time.perf_counter()


class SystemClock:
    """The machine's clocks."""

    def monotonic_ms(self) -> int:
        """See `Clock.monotonic_ms`."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """See `Clock.wall_ms`."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves when told to, for tests and simulation."""

    def __init__(self, monotonic_ms: int = 0, wall_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_ms = monotonic_ms
        self._wall_ms = wall_ms

    def monotonic_ms(self) -> int:
        """See `Clock.monotonic_ms`."""
        return self._monotonic_ms

    def wall_ms(self) -> int:
        """See `Clock.wall_ms`."""
        return self._wall_ms

    def advance(self, ms: int) -> None:
        """Move both clocks forward by *ms*."""
        self._monotonic_ms += ms
        self._wall_ms += ms

"""How many bytes may be moved now, so that in the long run no more than a rate are."""

from __future__ import annotations

BURST_MS = 2_000
"""What was not moved in this time is made up for at once, more is not."""


class Pace:
    """A rate in bytes/s; 0: no limit.

    Something may begin while nothing is owed, and what it takes beyond is owed: so what is larger
    than a burst is moved too, and is followed by a pause.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._credit = 0.0
        self._at_ms: int | None = None

    def may_begin(self, now_ms: int) -> bool:
        """Whether something may begin now."""
        if not self._bytes_per_s:
            return True
        burst = self._bytes_per_s * BURST_MS / 1000
        if self._at_ms is None:
            self._credit = burst
        else:
            self._credit += self._bytes_per_s * (now_ms - self._at_ms) / 1000
        self._credit = min(self._credit, burst)
        self._at_ms = now_ms
        return self._credit > 0

    def begin(self, size: int, now_ms: int) -> None:
        """Something of *size* bytes begins now."""
        self.may_begin(now_ms)
        self._credit -= size

"""How fast to verify what is stored, so that a round ends in time and nobody else has to wait.

Pure: times and bytes come in. A round reads everything once. It is planned to take a part of the
period, evenly, so that a chunk's verifications are never further apart than the period even when a
round has to hurry at its end.
"""

from __future__ import annotations

from pydfsnode.limits import MIB

PLANNED_PERCENT = 90
"""Of the period that a round takes when nothing holds it up."""
LATE_PERCENT = 5
"""Behind the plan by more than this much of the round, others are not waited for any more."""
RATE_BYTES_PER_S_MAX = 64 * MIB
"""What a round that hurries may read."""
BUSY_PAUSE_MS = 100
PAUSE_MS_MIN = 20
"""A shorter pause is not worth the timer: the next one makes up for it."""
PAUSE_MS_MAX = 60_000
"""What changes meanwhile is noticed after this long."""
DAY_MS = 86_400_000


class ScrubPace:
    """The plan of one round."""

    def __init__(self, period_ms: int, began_ms: int, total_bytes: int) -> None:
        """*total_bytes* are to be read within *period_ms* from *began_ms* on."""
        self.began_ms = began_ms
        self.planned_ms = max(1, period_ms * PLANNED_PERCENT // 100)
        self.due_ms = began_ms + period_ms
        self._total_bytes = max(1, total_bytes)

    def is_late(self, now_ms: int, done_bytes: int) -> bool:
        """Whether the round is so far behind that it may disturb."""
        behind_ms = now_ms - self._planned_at(done_bytes)
        return behind_ms * 100 > self.planned_ms * LATE_PERCENT

    def pause_ms(self, now_ms: int, done_bytes: int, just_read: int, is_busy: bool) -> int:
        """How long to wait before the next read.

        Args:
            now_ms: as *began_ms*.
            done_bytes: of this round.
            just_read: bytes of the last read, which a round that hurries has to spread.
            is_busy: somebody else used the disks since the last read.
        """
        if self.is_late(now_ms, done_bytes):
            return just_read * 1000 // RATE_BYTES_PER_S_MAX
        ahead_ms = self._planned_at(done_bytes) - now_ms
        pause_ms = (
            ahead_ms if ahead_ms >= PAUSE_MS_MIN else just_read * 1000 // RATE_BYTES_PER_S_MAX
        )
        if is_busy:
            pause_ms = max(pause_ms, BUSY_PAUSE_MS)
        return min(pause_ms, PAUSE_MS_MAX)

    def _planned_at(self, done_bytes: int) -> int:
        return self.began_ms + done_bytes * self.planned_ms // self._total_bytes

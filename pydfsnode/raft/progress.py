"""What a leader knows of one follower: how far it matches and what is on the way.

INV-PROGRESS  match_index < next_index; in `probe` at most one append is unanswered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pydfsnode import limits


@dataclass(slots=True)
class Progress:
    """`probing`.

    The matching point is searched, one append at a time; else appends are pipelined.
    """

    next_index: int
    stream: int
    match_index: int = 0
    probing: bool = True
    probe_sent: bool = False
    inflight: deque[tuple[int, int]] = field(default_factory=deque)  # (last index, bytes)
    inflight_bytes: int = 0
    active_at_ms: int = -(10**9)
    advanced_at_ms: int = 0
    read_round: int = 0

    def can_send(self) -> bool:
        """Whether another append may leave now."""
        if self.probing:
            return not self.probe_sent
        return (
            len(self.inflight) < limits.INFLIGHT_APPENDS_MAX
            and self.inflight_bytes < limits.INFLIGHT_BYTES_MAX
        )

    def sent(self, last_index: int, size: int) -> None:
        """Note an append that ends at *last_index*."""
        if self.probing:
            self.probe_sent = True
            return
        self.next_index = last_index + 1
        self.inflight.append((last_index, size))
        self.inflight_bytes += size

    def acked(self, match_index: int, now_ms: int) -> bool:
        """Note that the follower durably holds everything up to *match_index*.

        True if that is news.
        """
        while self.inflight and self.inflight[0][0] <= match_index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if self.probing and match_index >= self.match_index:
            self.probing = False
            self.probe_sent = False
            self.next_index = match_index + 1
        self.next_index = max(self.next_index, match_index + 1)
        if match_index <= self.match_index:
            return False
        self.match_index = match_index
        self.advanced_at_ms = now_ms
        return True

    def rejected(self, prev_index: int, retry_index: int) -> bool:
        """Note that the entry at *prev_index* does not match; go on after *retry_index*.

        False when the answer is stale and changes nothing.
        """
        if prev_index <= self.match_index:
            return False
        if self.probing and prev_index != self.next_index - 1:
            return False
        self.probe_from(max(self.match_index + 1, min(prev_index, retry_index + 1)))
        return True

    def probe_from(self, next_index: int) -> None:
        """Start to search again at *next_index*; what was on the way is forgotten."""
        self.probing = True
        self.probe_sent = False
        self.next_index = next_index
        self.inflight.clear()
        self.inflight_bytes = 0

"""What a leader knows of one other member: how far it matches and what is on the way.

INV-PROGRESS  match_index < next_index; in `probe` at most one append is unanswered; in `snapshot`
none is sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pydfsnode import limits

PROBE, REPLICATE, SNAPSHOT = "probe", "replicate", "snapshot"
NEVER_MS = -(10**9)

WINDOW_APPENDS_MIN = 2
"""Where answers come at once, few appends in flight make large batches, and those are cheap."""
APPEND_EVERY_MS = 5
"""Where they are slow, the window lets an append leave about this often."""


@dataclass(slots=True)
class Progress:
    """`probe`: the matching point is searched, one append at a time.

    `replicate`: appends are pipelined within a window of messages, which follows the round trip,
    and of bytes. `snapshot`: what it lacks was compacted, and a snapshot is on its way.
    """

    next_index: int
    stream: int
    match_index: int = 0
    state: str = PROBE
    probe_sent: bool = False
    inflight: deque[tuple[int, int]] = field(default_factory=deque)  # (last index, bytes)
    inflight_bytes: int = 0
    window_appends: int = WINDOW_APPENDS_MIN
    round_trip_ms: float = 0.0
    sent_ms: int = NEVER_MS
    active_at_ms: int = NEVER_MS
    advanced_at_ms: int = 0
    acked_sent_ms: int = NEVER_MS  # when the newest message that it answered was sent (trap D4)
    clock_ms: int = -1  # its own clock in its newest answer
    read_round: int = 0
    leaving_until_ms: int = 0  # removed, and told so until then; 0: a member
    snapshot_retry_ms: int = NEVER_MS

    def can_send(self) -> bool:
        """Whether another append may leave now."""
        if self.state == REPLICATE:
            return (
                len(self.inflight) < self.window_appends
                and self.inflight_bytes < limits.INFLIGHT_BYTES_MAX
            )
        return self.state == PROBE and not self.probe_sent

    def sent(self, last_index: int, size: int) -> None:
        """Note an append that ends at *last_index*."""
        if self.state != REPLICATE:
            self.probe_sent = True
            return
        self.next_index = last_index + 1
        self.inflight.append((last_index, size))
        self.inflight_bytes += size

    def acked(self, match_index: int, now_ms: int) -> bool:
        """Note that the member durably holds everything up to *match_index*.

        True if that is news. An acknowledgement ends a search and the wait for a snapshot.
        """
        while self.inflight and self.inflight[0][0] <= match_index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if self.state != REPLICATE and match_index >= self.match_index:
            self.state = REPLICATE
            self.probe_sent = False
            self.next_index = match_index + 1
        self.next_index = max(self.next_index, match_index + 1)
        if match_index <= self.match_index:
            return False
        self.match_index = match_index
        self.advanced_at_ms = now_ms
        return True

    def answered(self, sent_ms: int, clock_ms: int, now_ms: int) -> None:
        """Note an answer to a message sent at *sent_ms* (-1: an older version does not say)."""
        self.active_at_ms = now_ms
        if clock_ms >= 0:
            self.clock_ms = clock_ms
        if sent_ms >= 0:
            self.acked_sent_ms = max(self.acked_sent_ms, sent_ms)
            self.round_trip_ms += (now_ms - sent_ms - self.round_trip_ms) / 8
            wide = WINDOW_APPENDS_MIN + int(self.round_trip_ms / APPEND_EVERY_MS)
            self.window_appends = min(limits.INFLIGHT_APPENDS_MAX, wide)

    def rejected(self, prev_index: int, retry_index: int) -> bool:
        """Note that the entry at *prev_index* does not match; go on after *retry_index*.

        False when the answer is stale and changes nothing.
        """
        if prev_index <= self.match_index or self.state == SNAPSHOT:
            return False
        if self.state == PROBE and prev_index != self.next_index - 1:
            return False
        self.probe_from(max(self.match_index + 1, min(prev_index, retry_index + 1)))
        return True

    def probe_from(self, next_index: int) -> None:
        """Start to search again at *next_index*; what was on the way is forgotten."""
        self.state = PROBE
        self.probe_sent = False
        self.next_index = next_index
        self.inflight.clear()
        self.inflight_bytes = 0

    def await_snapshot(self) -> None:
        """Send nothing until the snapshot has arrived or failed."""
        self.probe_from(self.next_index)
        self.state = SNAPSHOT

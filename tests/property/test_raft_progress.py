"""A follower's progress and window against a simple model (traps B8, G1, G2; INV-PROGRESS).

The model keeps a list of what was sent and not answered; `Progress` keeps totals.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pydfsnode import limits
from pydfsnode.raft.progress import PROBE, REPLICATE, SNAPSHOT, WINDOW_APPENDS_MIN, Progress

NUMBERS = st.integers(0, 10_000)


class ProgressMachine(RuleBasedStateMachine):
    """The leader's log is as long as it needs to be."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Progress(next_index=11, stream=1)
        self.state, self.match, self.next = PROBE, 0, 11
        self.probing = False
        self.flying: list[tuple[int, int]] = []
        self.now_ms = 0

    def model_probe(self, next_index: int) -> None:
        self.state, self.next, self.probing, self.flying = PROBE, next_index, False, []

    @precondition(lambda self: self.real.can_send())
    @rule(count=st.integers(1, 9), size=st.sampled_from([1, 1 << 20, 12 << 20]))
    def send(self, count: int, size: int) -> None:
        assert self.state != SNAPSHOT
        last_index = self.next + count - 1
        self.real.sent(last_index, size)
        if self.state == PROBE:
            self.probing = True
        else:
            self.flying.append((last_index, size))
            self.next = last_index + 1

    @rule(number=NUMBERS)
    def acknowledge(self, number: int) -> None:
        """Any index up to what may have been sent; also one of long ago, or twice."""
        match_index = number % (self.next + 2)
        self.now_ms += 3
        news = self.real.acked(match_index, self.now_ms)
        assert news == (match_index > self.match)
        self.flying = [sent for sent in self.flying if sent[0] > match_index]
        if self.state != REPLICATE and match_index >= self.match:
            self.state, self.next, self.probing = REPLICATE, match_index + 1, False
        self.next = max(self.next, match_index + 1)
        self.match = max(self.match, match_index)
        if news:
            assert self.real.advanced_at_ms == self.now_ms

    @rule(number=NUMBERS, hint=NUMBERS)
    def reject(self, number: int, hint: int) -> None:
        prev_index, retry_index = number % (self.next + 2), hint % (self.next + 2)
        counts = prev_index > self.match and self.state != SNAPSHOT
        if self.state == PROBE and prev_index != self.next - 1:
            counts = False
        before = self.next
        assert self.real.rejected(prev_index, retry_index) == counts
        if counts:
            self.model_probe(max(self.match + 1, min(prev_index, retry_index + 1)))
            assert self.next <= max(before, prev_index)

    @rule()
    def heartbeat(self) -> None:
        self.real.probe_sent = self.probing = False

    @rule()
    def stall(self) -> None:
        self.real.probe_from(self.real.match_index + 1)
        self.model_probe(self.match + 1)

    @rule()
    def snapshot(self) -> None:
        self.real.await_snapshot()
        self.model_probe(self.next)
        self.state = SNAPSHOT

    @rule(trip_ms=st.integers(0, 2_000), known=st.booleans())
    def answer(self, trip_ms: int, known: bool) -> None:
        self.now_ms += trip_ms
        self.real.answered(self.now_ms - trip_ms if known else -1, -1, self.now_ms)

    @invariant()
    def same(self) -> None:
        real = self.real
        assert (real.state, real.match_index, real.next_index) == (
            self.state, self.match, self.next,
        )  # fmt: skip
        assert list(real.inflight) == self.flying
        assert real.inflight_bytes == sum(size for _, size in self.flying)
        assert WINDOW_APPENDS_MIN <= real.window_appends <= limits.INFLIGHT_APPENDS_MAX
        free = (
            len(self.flying) < real.window_appends
            and sum(size for _, size in self.flying) < limits.INFLIGHT_BYTES_MAX
        )
        may = free if self.state == REPLICATE else self.state == PROBE and not self.probing
        assert real.can_send() == may
        assert real.match_index < real.next_index

    @invariant()
    def nothing_flies_outside_of_replication(self) -> None:
        assert self.state == REPLICATE or not self.flying


TestProgress = ProgressMachine.TestCase
TestProgress.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

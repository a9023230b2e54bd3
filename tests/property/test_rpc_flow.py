"""INV-BOUND of a stream: whatever is sent and read when, the window holds and nobody is stuck."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.rpc.flow import FRAME_COST_BYTES, ReceiveWindow, SendWindow

CAPACITY = 10_000
# As in production, the window holds two of the largest frames.
SIZES = st.integers(0, CAPACITY // 2 - FRAME_COST_BYTES)
STEPS = st.lists(st.tuples(st.sampled_from(["send", "read", "credit"]), SIZES), max_size=300)


@given(STEPS)
def test_the_window_bounds_what_is_queued_and_all_that_was_sent_can_be_read(
    steps: list[tuple[str, int]],
) -> None:
    sender, receiver = SendWindow(CAPACITY), ReceiveWindow(CAPACITY)
    queued: deque[int] = deque()
    credits: deque[int] = deque()  # on their way back

    def read() -> None:
        receiver.consumed(queued.popleft())
        if grant := receiver.take_grant():
            credits.append(grant)

    for what, size in steps:
        if what == "send" and sender.try_take(size):
            queued.append(size)
            receiver.arrived(size)
        elif what == "read" and queued:
            read()
        elif what == "credit" and credits:
            sender.grant(credits.popleft())
        assert sum(queued) <= CAPACITY
        assert not receiver.over
        assert not receiver.overrun
        outstanding = receiver.queued + receiver.owed + sum(credits)
        assert sender.available + outstanding == CAPACITY
    while queued:
        read()
    while credits:
        sender.grant(credits.popleft())
    assert sender.try_take(CAPACITY // 2 - FRAME_COST_BYTES)  # an idle stream is never stuck

"""Credit of one stream: what the two windows allow, return and refuse."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import RemoteProtocolError
from pydfsnode.rpc.flow import FRAME_COST_BYTES, ReceiveWindow, SendWindow


def test_a_sender_stops_at_the_window_and_goes_on_with_credit() -> None:
    window = SendWindow(1000)
    assert window.try_take(400)
    assert window.try_take(400)
    assert not window.try_take(400)
    window.grant(400 + FRAME_COST_BYTES)
    assert window.try_take(400)


def test_the_largest_frame_fits_an_idle_window() -> None:
    assert SendWindow().try_take(limits.FRAME_BYTES_MAX)


def test_empty_messages_cost_credit_too() -> None:
    window = SendWindow(10 * FRAME_COST_BYTES)
    sent = 0
    while window.try_take(0):
        sent += 1
    assert sent == 10


@pytest.mark.parametrize("size", [0, -1, 1])
def test_credit_that_was_not_owed_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="credit"):
        SendWindow(100).grant(size)


def test_credit_comes_back_in_quarters() -> None:
    window = ReceiveWindow(1000)
    window.arrived(100)
    window.arrived(100)
    window.consumed(100)
    assert window.take_grant() == 0
    window.consumed(100)
    assert window.take_grant() == 200 + 2 * FRAME_COST_BYTES
    assert window.take_grant() == 0
    assert window.queued == 0


def test_more_than_the_credit_is_an_overrun_even_when_part_was_consumed() -> None:
    window = ReceiveWindow(1000)
    window.arrived(800)
    window.consumed(800)
    window.arrived(936 - 800)
    assert window.overrun  # no credit was returned for what was consumed
    window.take_grant()
    assert not window.overrun


def test_more_queued_than_the_window_is_over() -> None:
    window = ReceiveWindow(1000)
    window.arrived(936)
    assert not window.over
    window.arrived(0)
    assert window.over

"""When the other end of a stream counts as failed: silent soon, slow late."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.rpc import stream_watch
from pydfsnode.rpc.stream_watch import Sign, StreamWatch

LIMIT_S = 10.0


class Peer:
    """Gives the signs that it is told to; the last one for ever."""

    def __init__(self, *signs: Sign) -> None:
        self.signs = list(signs)
        self.asked = 0

    def sign_of_life(self) -> Sign:
        self.asked += 1
        return self.signs.pop(0) if len(self.signs) > 1 else self.signs[0]


def steps_until_failed(peer: Peer, watch: StreamWatch) -> int:
    for step in range(1, 1000):
        try:
            watch.stood_still(peer)
        except TimeoutError:
            return step
    raise AssertionError("it never failed")


def test_the_silent_fail_soon() -> None:
    watch = StreamWatch(LIMIT_S)
    silent_steps = stream_watch.SILENT_MS / 1000 / watch.step_s
    assert steps_until_failed(Peer(Sign(5.0, 0)), watch) == silent_steps + 1


def test_those_who_answer_have_until_the_limit() -> None:
    watch = StreamWatch(LIMIT_S)
    peer = Peer(*(Sign(float(n), 0) for n in range(100)))
    assert steps_until_failed(peer, watch) == LIMIT_S / watch.step_s


def test_a_slow_network_is_a_sign_of_life_while_it_takes_something() -> None:
    watch = StreamWatch(LIMIT_S)
    peer = Peer(*(Sign(5.0, 10_000 - n) for n in range(10)))
    silent_steps = stream_watch.SILENT_MS / 1000 / watch.step_s
    assert steps_until_failed(peer, watch) == 10 + silent_steps


def test_what_went_on_is_forgiven() -> None:
    watch = StreamWatch(LIMIT_S)
    peer = Peer(Sign(5.0, 0))
    for _ in range(50):
        watch.stood_still(peer)
        watch.went_on()
    assert steps_until_failed(peer, watch) > 1


async def test_an_attempt_is_made_until_it_gives_something() -> None:
    watch = StreamWatch(0.08)
    made = 0

    async def attempt() -> str:
        nonlocal made
        made += 1
        if made < 4:
            await asyncio.Event().wait()
        return "found"

    assert await watch.persist(attempt, Peer(*(Sign(float(n), 0) for n in range(9)))) == "found"
    assert made == 4


async def test_nobody_waits_longer_than_the_limit_and_what_was_used_of_it() -> None:
    watch = StreamWatch(0.08)
    peer = Peer(*(Sign(float(n), 0) for n in range(99)))
    with pytest.raises(TimeoutError, match="no progress"):
        await watch.persist(asyncio.Event().wait, peer, already_s=5.0)
    assert peer.asked == 1

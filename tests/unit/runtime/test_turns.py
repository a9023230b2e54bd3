"""Turns of the loop's time: slices end, clients alternate, everybody comes to his turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pydfsnode.runtime.turns import REST_S_MAX, SLICE_S, Turns


class Stopwatch:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def turns(stopwatch: Stopwatch) -> Turns:
    return Turns(stopwatch)


async def test_a_slice_is_over_when_its_time_is(turns: Turns, stopwatch: Stopwatch) -> None:
    assert not turns.is_over
    stopwatch.now_s += SLICE_S / 2
    assert not turns.is_over
    stopwatch.now_s += SLICE_S / 2
    assert turns.is_over


async def test_a_round_of_the_loop_in_which_nobody_wants_a_turn_ends_the_slice(
    turns: Turns, stopwatch: Stopwatch
) -> None:
    assert not turns.is_over
    stopwatch.now_s += SLICE_S
    await asyncio.sleep(0)
    assert not turns.is_over


async def test_who_waited_has_a_whole_slice(turns: Turns, stopwatch: Stopwatch) -> None:
    assert not turns.is_over
    stopwatch.now_s += 10 * SLICE_S
    await turns.next("a")
    assert not turns.is_over
    stopwatch.now_s += SLICE_S
    assert turns.is_over


async def test_clients_alternate_however_much_one_has_to_do(turns: Turns) -> None:
    order: list[str] = []

    async def work(client: str) -> None:
        await turns.next(client)
        order.append(client)

    await asyncio.gather(*(work(client) for client in "aaaaaabbc"))
    assert order == list("abcabaaaa")


async def test_rounds_of_the_loop_go_on_between_two_turns(turns: Turns) -> None:
    rounds: list[int] = []
    seen: list[int] = []

    async def count() -> None:
        while len(seen) < 10:
            rounds.append(0)
            await asyncio.sleep(0)

    async def work() -> None:
        await turns.next("a")
        seen.append(len(rounds))

    await asyncio.gather(count(), *(work() for _ in range(10)))
    assert len(set(seen)) == 10


async def test_who_gave_up_holds_nobody_up(turns: Turns) -> None:
    first = asyncio.ensure_future(turns.next("a"))
    second = asyncio.ensure_future(turns.next("a"))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()


async def test_with_others_about_who_wants_turn_after_turn_rests_between_them(
    turns: Turns, stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, order = asyncio.get_running_loop(), list[str]()
    rests: list[tuple[float, Callable[[], object]]] = []
    monkeypatch.setattr(
        loop, "call_later", lambda s, end, *args: rests.append((s, lambda: end(*args)))
    )

    async def work(client: str) -> None:
        turns.note(client)
        await turns.next(client)
        order.append(client)
        stopwatch.now_s += REST_S_MAX  # what it does takes so long

    turns.note("b")
    flood = [asyncio.ensure_future(work("a")) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(rests) == 1
    for _ in range(5):  # rounds of the loop, none of which is the flood's
        await work("b")
    assert order == list("abbbbb")
    while rests:
        rest_s, end = rests.pop()
        assert rest_s == REST_S_MAX
        end()
        for _ in range(5):
            await asyncio.sleep(0)
    await asyncio.gather(*flood)
    assert order == list("abbbbbaa")


async def test_one_alone_never_rests(turns: Turns, stopwatch: Stopwatch) -> None:
    rounds = 0

    async def work() -> None:
        turns.note("a")
        await turns.next("a")
        stopwatch.now_s += REST_S_MAX

    works = asyncio.gather(*(work() for _ in range(20)))
    while not works.done():
        await asyncio.sleep(0)
        rounds += 1
    assert rounds < 100  # a rest would be thousands

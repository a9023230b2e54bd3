"""Patience: pauses between attempts, until there is no time or no retry left."""

from __future__ import annotations

from pydfsnode.client.patience import Patience
from pydfsnode.runtime.clock import ManualClock


def patience(
    timeout_ms: int, retries_max: int | None = None
) -> tuple[Patience, ManualClock, list[int]]:
    clock, slept_ms = ManualClock(), list[int]()

    async def sleep(seconds: float) -> None:
        slept_ms.append(round(seconds * 1000))
        clock.advance(slept_ms[-1])

    return Patience(clock, timeout_ms, retries_max, lambda: 0.999, sleep), clock, slept_ms


async def test_pauses_grow_until_the_time_is_over() -> None:
    made, clock, slept_ms = patience(1_000)
    retries = made.begin()
    while await retries.pause():
        pass
    assert slept_ms[:3] == [49, 99, 199]
    assert sum(slept_ms) == clock.monotonic_ms() == 1_000


async def test_retries_may_be_limited() -> None:
    for retries_max in (0, 2):
        made, _, slept_ms = patience(60_000, retries_max)
        retries = made.begin()
        while await retries.pause():
            pass
        assert len(slept_ms) == retries_max


async def test_each_operation_has_its_own() -> None:
    made, _, _ = patience(60_000, 1)
    first, second = made.begin(), made.begin()
    assert await first.pause()
    assert await second.pause()
    assert not await first.pause()

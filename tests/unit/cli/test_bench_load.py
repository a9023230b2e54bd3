"""The load loop counts answers, keeps the asked number in flight, and stops on a failure."""

from __future__ import annotations

import asyncio
from array import array

import pytest

from pydfsnode.cli.bench_load import Load, closed_loop
from pydfsnode.errors import NotFound


class StepClock:
    """A millisecond passes at each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


def load(*latencies_ms: int, elapsed_ms: int = 1000) -> Load:
    return Load(array("q", [ms * 1_000_000 for ms in latencies_ms]), elapsed_ms * 1_000_000)


def test_quantiles_are_the_latency_that_the_share_did_not_exceed() -> None:
    hundred = load(*range(1, 101))
    assert hundred.quantile_ms(0.50) == 50
    assert hundred.quantile_ms(0.99) == 99
    assert hundred.quantile_ms(1.0) == 100
    assert load(7).quantile_ms(0.99) == 7
    assert load().quantile_ms(0.99) == 0


def test_figures_name_their_units_and_rates_count_answers_per_second() -> None:
    assert load(1, 2, 3, 4, elapsed_ms=500).figures("write") == {
        "writes_per_s": 8.0,
        "write_p50_ms": 2.0,
        "write_p99_ms": 4.0,
        "write_p999_ms": 4.0,
    }


async def test_inflight_operations_run_at_once_and_never_more() -> None:
    running, most = 0, 0

    async def operation(_number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    done = await closed_loop(operation, inflight=5, count_max=50)
    assert done.count == 50
    assert most == 5


async def test_every_operation_has_its_own_number() -> None:
    numbers: list[int] = []

    async def operation(number: int) -> None:
        numbers.append(number)
        await asyncio.sleep(0)

    await closed_loop(operation, inflight=7, count_max=100)
    assert sorted(numbers) == list(range(100))


async def test_the_loop_ends_when_its_time_is_over() -> None:
    async def operation(_number: int) -> None:
        await asyncio.sleep(0)

    done = await closed_loop(operation, inflight=1, seconds=0.1, clock=StepClock())
    assert 0 < done.count <= 50  # two looks at the clock an operation, 100 of them in the time
    assert done.elapsed_ns >= 100_000_000


async def test_latencies_are_each_operations_own() -> None:
    async def operation(_number: int) -> None:
        await asyncio.sleep(0)

    done = await closed_loop(operation, inflight=1, count_max=10, clock=StepClock())
    assert list(done.latencies_ns) == [1_000_000] * 10


async def test_a_failing_operation_ends_the_loop_with_its_error() -> None:
    async def operation(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise NotFound("/x: no such file or directory")

    with pytest.raises(NotFound, match="/x"):
        await closed_loop(operation, inflight=2, seconds=3600)


async def test_a_loop_without_an_end_is_refused() -> None:
    async def operation(_number: int) -> None:
        await asyncio.sleep(0)

    with pytest.raises(ValueError, match="needs seconds or count_max"):
        await closed_loop(operation, inflight=1)

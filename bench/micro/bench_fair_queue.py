"""What it costs an operation to wait for the log in its client's turn, beside a plain queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode.runtime.fair_queue import IN_LOG_ENTRIES_MAX, FairQueue, Waiting

COUNT = 1024
BYTES_MAX = 1 << 22


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    loop = asyncio.new_event_loop()
    yield bytes(100), 1, loop.create_future()
    loop.close()


def through(queue: FairQueue, waiting: Waiting, clients: int) -> int:
    """Put COUNT operations in, take them all; in how many groups."""
    for number in range(COUNT):
        queue.put(number % clients, waiting)
    groups = 0
    while queue.take(BYTES_MAX):
        groups += 1
    return groups


@pytest.mark.benchmark(group=f"fair queue: {COUNT} operations in and out")
@pytest.mark.parametrize("clients", [1, 8, 256])
def test_through(benchmark: BenchmarkFixture, waiting: Waiting, clients: int) -> None:
    groups = benchmark(through, FairQueue(), waiting, clients)
    assert (groups == COUNT // IN_LOG_ENTRIES_MAX) == (clients == 1)


@pytest.mark.benchmark(group=f"fair queue: {COUNT} operations in and out")
def test_through_a_deque(benchmark: BenchmarkFixture, waiting: Waiting) -> None:
    def plain() -> int:
        queue = deque[Waiting]()
        for _ in range(COUNT):
            queue.append(waiting)
        return len([queue.popleft() for _ in range(COUNT)])

    assert benchmark(plain) == COUNT


@pytest.mark.benchmark(group="fair queue: one beside a flood of 10,000")
def test_one_beside_a_flood(benchmark: BenchmarkFixture, waiting: Waiting) -> None:
    queue = FairQueue()
    for _ in range(10_000):
        queue.put(1, waiting)

    def one() -> int:
        queue.put(2, waiting)
        taken = queue.take(BYTES_MAX)
        for _ in range(len(taken) - 1):
            queue.put(1, waiting)
        return len(taken)

    assert benchmark(one)
    assert len(queue) == 10_000

"""Each client has its turn, however many operations another one queues."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pydfsnode.runtime.fair_queue import (
    FLOOD_ENTRIES,
    IN_LOG_ENTRIES_MAX,
    RECENT_TAKES,
    SHARED_ENTRIES_MAX,
    SHARED_IN_LOG_ENTRIES_MAX,
    FairQueue,
)
from pydfsnode.runtime.flood_rest import BETWEEN_GROUPS_S_MAX

NO_LIMIT = 1 << 40


class Bench:
    """A queue whose operations name their client."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now_s = 100.0
        self.queue = FairQueue(lambda: self.now_s)
        self._loop = loop

    def put(self, client: int, count: int, size: int = 10) -> None:
        for number in range(count):
            payload = b"%d/%d" % (client, number)
            future = self._loop.create_future()
            self.queue.put(client, (payload.ljust(size), 1, future))

    def take(self, bytes_max: int = NO_LIMIT, in_log: int = 0) -> list[bytes]:
        return [payload.strip() for payload, _, _ in self.queue.take(bytes_max, in_log)]


@pytest.fixture
async def bench() -> Bench:
    return Bench(asyncio.get_running_loop())


def clients_of(group: list[bytes]) -> Counter[bytes]:
    return Counter(payload.split(b"/")[0] for payload in group)


async def test_one_client_alone_fills_groups_in_order(bench: Bench) -> None:
    bench.put(7, IN_LOG_ENTRIES_MAX + 5)
    first = bench.take()
    assert first == [b"7/%d" % i for i in range(IN_LOG_ENTRIES_MAX)]
    assert len(bench.queue) == 5
    assert bench.take()[-1] == b"7/%d" % (IN_LOG_ENTRIES_MAX + 4)
    assert bench.take() == []
    assert len(bench.queue) == bench.queue.queued_bytes == 0


async def test_a_flood_leaves_room_for_the_others_in_every_group(bench: Bench) -> None:
    bench.put(1, 10_000)
    bench.put(2, 3)
    group = bench.take()
    assert clients_of(group)[b"2"] == 3
    assert len(group) <= SHARED_ENTRIES_MAX
    bench.put(2, 1)
    assert clients_of(bench.take())[b"2"] == 1


async def test_a_flood_rests_as_long_as_its_group_took_and_the_others_do_not(bench: Bench) -> None:
    bench.put(1, 10_000)
    bench.put(2, 1)
    assert clients_of(bench.take())[b"1"] > 1
    assert bench.queue.rest_s == pytest.approx(BETWEEN_GROUPS_S_MAX)
    bench.now_s += 0.004  # its group is applied after so long
    bench.put(2, 3)
    assert clients_of(bench.take()) == {b"2": 3}
    assert bench.queue.rest_s == pytest.approx(0.004)
    bench.now_s += 0.003
    assert bench.take() == []
    bench.now_s += 0.0011
    assert clients_of(bench.take()) == {b"1": SHARED_ENTRIES_MAX}
    assert len(bench.queue) == 10_000 + 4 - 4 - 2 * SHARED_ENTRIES_MAX + 1


async def test_a_flood_comes_to_its_turn_though_the_log_is_never_empty(bench: Bench) -> None:
    bench.put(1, 10_000)
    bench.put(2, 1)
    bench.take()
    bench.now_s += BETWEEN_GROUPS_S_MAX / 2
    assert bench.take(in_log=1) == []
    bench.now_s += BETWEEN_GROUPS_S_MAX
    assert clients_of(bench.take(in_log=1))[b"1"] > 1


async def test_neither_one_alone_nor_many_with_a_little_each_rest(bench: Bench) -> None:
    bench.put(1, 10_000)
    assert bench.take()
    assert bench.take()
    assert not bench.queue.rest_s
    bench.queue.clear()
    for client in range(10):
        bench.put(client, FLOOD_ENTRIES)
    assert len(bench.take()) == len(bench.take()) == SHARED_ENTRIES_MAX
    assert not bench.queue.rest_s


async def test_shares_are_equal_and_what_one_leaves_goes_to_the_others(bench: Bench) -> None:
    for client, count in ((1, 1000), (2, 1000), (3, 2)):
        bench.put(client, count)
    counts = clients_of(bench.take())
    assert counts[b"3"] == 2
    assert sum(counts.values()) == SHARED_ENTRIES_MAX
    assert abs(counts[b"1"] - counts[b"2"]) <= 1


async def test_with_more_clients_than_places_all_have_their_turn(bench: Bench) -> None:
    clients = 3 * SHARED_ENTRIES_MAX
    for client in range(clients):
        bench.put(client, 2)
    seen = clients_of([payload for _ in range(3) for payload in bench.take()])
    assert len(seen) == clients


async def test_groups_are_large_again_when_the_others_have_gone(bench: Bench) -> None:
    bench.put(1, 10)
    bench.put(2, 1)
    assert len(bench.take()) == 11
    for _ in range(RECENT_TAKES + 1):
        bench.put(1, 1)
        bench.take()
    bench.put(1, 2 * SHARED_ENTRIES_MAX)
    assert len(bench.take()) == 2 * SHARED_ENTRIES_MAX


async def test_what_is_in_the_log_already_leaves_less_room_and_at_last_none(bench: Bench) -> None:
    bench.put(1, 10)
    assert len(bench.take(in_log=IN_LOG_ENTRIES_MAX - 3)) == 3
    assert bench.take(in_log=IN_LOG_ENTRIES_MAX) == []
    bench.put(2, 10)
    assert len(bench.take(in_log=SHARED_IN_LOG_ENTRIES_MAX - 4)) == 4
    assert bench.take(in_log=SHARED_IN_LOG_ENTRIES_MAX) == []
    assert len(bench.queue) == 13


async def test_each_clients_count_is_known(bench: Bench) -> None:
    bench.put(1, 3)
    assert [bench.queue.count_of(client) for client in (1, 2)] == [3, 0]


async def test_bytes_of_a_group_are_bounded_but_never_to_nothing(bench: Bench) -> None:
    bench.put(1, 4, size=100)
    assert bench.take(250) == [b"1/0", b"1/1"]
    assert bench.take(50) == [b"1/2"]
    assert bench.queue.queued_bytes == 100


async def test_clear_gives_back_everything(bench: Bench) -> None:
    bench.put(1, 3)
    bench.put(2, 2)
    assert len(bench.queue.clear()) == 5
    assert len(bench.queue) == bench.queue.queued_bytes == 0
    assert bench.take() == []

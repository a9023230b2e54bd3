"""The compiled table of replicas equals the one in dictionaries, at a tenth of its size."""

from __future__ import annotations

import random
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from tests.reference import replicas as reference

U64 = 2**64 - 1
U32 = 2**32 - 1
SERVERS = 40
"""Enough that the holders of a chunk outgrow its record, and their array several times."""


class Both:
    """The same operations on both tables; what they return must agree."""

    def __init__(self, chunks: list[int], versions: list[int], lengths: list[int]) -> None:
        self.fast, self.simple = fast.ReplicaTable(), reference.ReplicaTable()
        self.chunks, self.versions, self.lengths = chunks, versions, lengths
        for server in range(SERVERS):
            assert self.fast.add_server() == self.simple.add_server() == server

    def step(self, rng: random.Random) -> None:
        chunk_id, server = rng.choice(self.chunks), rng.randrange(SERVERS)
        version, length = rng.choice(self.versions), rng.choice(self.lengths)
        two = self.fast, self.simple
        kind = rng.choices(range(7), (12, 6, 6, 4, 1, 1, 1))[0]
        if kind == 0:
            first, second = (t.add(chunk_id, server, version, length) for t in two)
            assert first == second
        elif kind == 1:
            first, second = (t.remove(chunk_id, server) for t in two)
            assert first == second
        elif kind == 2:
            replication = rng.randrange(1, 256)
            for table in two:
                table.want(chunk_id, version, min(length, U32), replication)
        elif kind == 3:
            for table in two:
                table.forget(chunk_id)
        elif kind == 4:
            level = rng.randrange(-1, 4) if self.simple.tally(chunk_id) else -1
            before, after = (t.set_level(chunk_id, level) for t in two)
            assert before == after
        elif kind == 5:
            is_live = rng.random() < 0.5
            for table in two:
                table.set_live(server, is_live)
        else:
            for table in two:
                table.begin_listing(server)

    def check_chunk(self, chunk_id: int) -> None:
        table, simple = self.fast, self.simple
        assert table.wanted(chunk_id) == simple.wanted(chunk_id)
        assert table.holders(chunk_id) == simple.holders(chunk_id)
        assert table.standing(chunk_id) == simple.standing(chunk_id)
        assert table.tally(chunk_id) == simple.tally(chunk_id)
        assert table.level(chunk_id) == simple.level(chunk_id)
        for server in range(SERVERS):
            assert table.replica(chunk_id, server) == simple.replica(chunk_id, server)

    def check(self) -> None:
        table, simple = self.fast, self.simple
        assert len(table) == len(simple)
        for chunk_id in self.chunks:
            self.check_chunk(chunk_id)
        for level in range(4):
            found = table.at_level(level, len(self.chunks))
            assert len(found) == len(set(found))
            assert set(found) == simple.at_level(level)
        for server in range(SERVERS):
            assert table.held_count(server) == simple.held_count(server)
            assert everything(table, [server]) == sorted(simple.held_by(server))
            assert sorted(table.unlisted(server)) == sorted(simple.unlisted(server))


def everything(table: fast.ReplicaTable, servers: list[int]) -> list[int]:
    segments = (table.held_in(number, servers) for number in range(fast.REPLICA_SEGMENTS))
    return sorted(chain.from_iterable(segments))


def of_one_segment(count: int) -> list[int]:
    """Chunk ids that share a segment, so that it grows, shrinks and has long runs."""
    table = fast.ReplicaTable()
    server = table.add_server()
    for chunk_id in range(count * fast.REPLICA_SEGMENTS * 5 // 4):
        table.add(chunk_id, server, 1, 1)
    return table.held_in(3, [server])[:count]


@pytest.mark.parametrize("seed", range(6))
def test_a_random_stream_leaves_both_tables_equal(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [0, 1, U32, U32 + 1, U64]
    both = Both([0, 1, 2, U64, rng.getrandbits(64), rng.getrandbits(64)], [0, 1, U64], lengths)
    for _ in range(1500):
        both.step(rng)
        both.check_chunk(rng.choice(both.chunks))
    both.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_crowded_segment_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    both = Both(of_one_segment(150), [1], [10, 11])
    for number in range(12_000):
        both.step(rng)
        if number % 3000 == 0:
            both.check()
    both.check()
    rng.shuffle(both.chunks)
    for number, chunk_id in enumerate(both.chunks):  # back to nothing: it shrinks on the way
        holders = both.simple.holders(chunk_id)
        for table in (both.fast, both.simple):
            table.forget(chunk_id)
            table.set_level(chunk_id, -1)
            for server in holders:
                assert table.remove(chunk_id, server)
        if number % 30 == 0:
            both.check()
    assert len(both.fast) == 0
    both.check()


@given(
    replicas=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
    ),
    wishes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2))),
)
def test_replicas_stay_what_they_are_whatever_is_wanted(
    replicas: list[tuple[int, int, int, int]], wishes: list[tuple[int, int, int]]
) -> None:
    both = Both(list(range(5)), [], [])
    for table in (both.fast, both.simple):
        for server in range(3):
            table.set_live(server, True)
        for replica in replicas:
            table.add(*replica)
        for chunk_id, version, length in wishes:
            table.want(chunk_id, version, length, 3)
    for chunk_id in both.chunks:
        both.check_chunk(chunk_id)


def test_a_listing_that_was_broken_off_leaves_no_marks_to_the_next() -> None:
    table = fast.ReplicaTable()
    server = table.add_server()
    for chunk_id in range(100):
        table.add(chunk_id, server, 1, 1)
    assert table.unlisted(server) == []
    table.begin_listing(server)
    for chunk_id in range(50):
        assert not table.add(chunk_id, server, 1, 1), "listed again, not changed"
    table.begin_listing(server)
    assert sorted(table.unlisted(server)) == list(range(100))
    for chunk_id in range(50, 100):
        table.add(chunk_id, server, 1, 1)
    table.remove(99, server)
    assert sorted(table.unlisted(server)) == list(range(50))


def test_several_servers_are_found_in_one_walk_and_each_chunk_once() -> None:
    table = fast.ReplicaTable()
    servers = [table.add_server() for _ in range(3)]
    for chunk_id in range(3000):
        table.add(chunk_id, servers[chunk_id % 3], 1, 1)
        table.add(chunk_id, servers[(chunk_id + 1) % 3], 1, 1)
    assert everything(table, servers) == everything(table, [0, 2]) == list(range(3000))
    assert everything(table, [1]) == [c for c in range(3000) if c % 3 != 2]
    assert everything(table, []) == []


def test_a_million_bytes_hold_ten_thousand_chunks_and_are_given_back() -> None:
    table = fast.ReplicaTable()
    for _ in range(6):
        table.add_server()
    for chunk_id in range(50_000):
        table.want(chunk_id, 1, 64 << 20, 3)
        for server in range(3):
            table.add(chunk_id, (chunk_id + server) % 6, 1, 64 << 20)
    assert table.memory_bytes() < 100 * 50_000
    for chunk_id in range(50_000):
        table.forget(chunk_id)
        for server in range(3):
            table.remove(chunk_id, (chunk_id + server) % 6)
    assert len(table) == 0
    assert table.memory_bytes() < 400_000


def test_there_is_an_end_to_servers() -> None:
    table = fast.ReplicaTable()
    numbers = [table.add_server() for _ in range(16_384)]
    assert numbers == list(range(16_384))
    with pytest.raises(OverflowError, match="16384 servers"):
        table.add_server()


def test_a_chunk_held_by_every_server_is_held_by_every_server() -> None:
    table = fast.ReplicaTable()
    servers = [table.add_server() for _ in range(16_384)]
    for server in servers:
        table.add(7, server, 1, server % 2)
    assert table.holders(7) == servers
    for server in servers[::2]:
        assert table.remove(7, server)
    assert table.holders(7) == servers[1::2]
    assert table.replica(7, 16_383) == (1, 1)


def test_bad_arguments_are_refused() -> None:
    table = fast.ReplicaTable()
    for call in (table.held_count, table.begin_listing, table.unlisted):
        with pytest.raises(IndexError, match="server 0, there are 0"):
            call(0)
    server = table.add_server()
    for outside in (-1, 1):
        with pytest.raises(IndexError, match="there are 1"):
            table.add(1, outside, 1, 1)
        with pytest.raises(IndexError, match="there are 1"):
            table.held_in(0, [server, outside])
    for number in (-1, fast.REPLICA_SEGMENTS):
        with pytest.raises(IndexError, match="segment"):
            table.held_in(number, [server])
    with pytest.raises(ValueError, match="0 times"):
        table.want(1, 1, 1, 0)
    for level in (-2, 255):
        with pytest.raises(ValueError, match="level"):
            table.set_level(1, level)
    with pytest.raises(ValueError, match="level"):
        table.at_level(-1, 5)
    with pytest.raises(KeyError):
        table.set_level(1, 0)
    for wish in (
        (-1, 1, 1, 1),
        (2**64, 1, 1, 1),
        (1, 2**64, 1, 1),
        (1, 1, 2**32, 1),
        (1, 1, 1, 256),
    ):
        with pytest.raises(OverflowError):
            table.want(*wish)
    assert len(table) == 0

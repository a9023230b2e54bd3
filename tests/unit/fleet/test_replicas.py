"""What counts as a replica, and which chunks need attention."""

from __future__ import annotations

import tracemalloc

import pytest

from pydfsnode.errors import Overloaded
from pydfsnode.fleet.bounds import EXPECT_MS
from pydfsnode.fleet.replicas import CONDEMNED, CORRUPT, ReplicaMap

CHUNK = 7


@pytest.fixture
def replicas() -> ReplicaMap:
    """Chunk 7, version 2 of 100 bytes, wanted three times; c1 to c5 live."""
    found = ReplicaMap()
    for n in range(1, 6):
        found.server_live(f"c{n}")
    found.want(CHUNK, 2, 100, 3)
    return found


def add(replicas: ReplicaMap, *nodes: str, version: int = 2, length: int = 100) -> None:
    for node in nodes:
        replicas.add(node, CHUNK, version, length)


def short(replicas: ReplicaMap) -> list[tuple[int, int]]:
    return list(replicas.under_replicated())


def test_a_wanted_chunk_without_replica_is_missing(replicas: ReplicaMap) -> None:
    assert replicas.missing(9) == [CHUNK]
    assert (replicas.missing_count, replicas.under_replicated_count) == (1, 0)
    add(replicas, "c1")
    assert (replicas.missing_count, replicas.under_replicated_count) == (0, 1)


def test_the_count_follows_every_report(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2")
    assert short(replicas) == [(CHUNK, 2)]
    add(replicas, "c3")
    assert short(replicas) == []
    replicas.remove("c1", CHUNK)
    assert short(replicas) == [(CHUNK, 2)]
    assert replicas.locations(CHUNK) == ["c2", "c3"]


def test_dead_servers_do_not_count_until_they_come_back(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2", "c3")
    replicas.server_dead("c1")
    replicas.server_dead("c2")
    assert short(replicas) == [(CHUNK, 1)]
    assert replicas.locations(CHUNK) == ["c3"]
    assert set(replicas.holders(CHUNK)) == {"c1", "c2", "c3"}
    replicas.server_live("c1")
    replicas.server_live("c2")
    assert short(replicas) == []


def test_the_most_endangered_come_first(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2")
    for chunk_id, nodes in ((8, 1), (9, 2), (10, 1)):
        replicas.want(chunk_id, 1, 5, 3)
        for n in range(nodes):
            replicas.add(f"c{n + 1}", chunk_id, 1, 5)
    assert short(replicas) == [(8, 1), (10, 1), (CHUNK, 2), (9, 2)]
    replicas.defer(8)
    assert [chunk_id for chunk_id, _ in replicas.under_replicated()] == [10, 8, CHUNK, 9]


@pytest.mark.parametrize(("version", "length"), [(1, 100), (3, 100), (2, 99), (2, 101)])
def test_another_version_or_length_does_not_count(
    replicas: ReplicaMap, version: int, length: int
) -> None:
    add(replicas, "c1", version=version, length=length)
    assert replicas.missing(9) == [CHUNK]
    assert replicas.locations(CHUNK) == []
    assert replicas.bad(CHUNK) == ["c1"]
    add(replicas, "c2")
    assert replicas.surplus(9) == [CHUNK]
    add(replicas, "c1")
    assert sorted(replicas.good(CHUNK)) == ["c1", "c2"]
    assert replicas.surplus(9) == []


def test_a_corrupt_replica_does_not_count_until_it_is_written_anew(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2", "c3")
    replicas.suspect(CHUNK, "c2")
    assert short(replicas) == [(CHUNK, 2)]
    assert replicas.bad(CHUNK) == ["c2"]
    assert replicas.locations(CHUNK) == ["c1", "c3"]
    add(replicas, "c2")  # listed again is not written again
    assert replicas.bad(CHUNK) == ["c2"]
    replicas.add("c2", CHUNK, 2, 100, fresh=True)
    assert replicas.bad(CHUNK) == []
    assert short(replicas) == []


def test_a_corrupt_replica_that_goes_takes_the_suspicion_with_it(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2", "c3")
    replicas.suspect(CHUNK, "c2")
    replicas.remove("c2", CHUNK)
    add(replicas, "c2")
    assert replicas.good(CHUNK) == ["c1", "c3", "c2"]


def test_suspicion_of_a_replica_that_is_not_there_is_ignored(replicas: ReplicaMap) -> None:
    replicas.suspect(CHUNK, "c1")
    add(replicas, "c1")
    assert replicas.good(CHUNK) == ["c1"]


def test_suspect_replicas_are_read_only_when_nothing_else_is_left(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2")
    replicas.suspect(CHUNK, "c1", CORRUPT)
    assert replicas.locations(CHUNK) == ["c2"]
    replicas.server_dead("c2")
    assert replicas.locations(CHUNK) == ["c1"]
    assert replicas.missing(9) == [CHUNK]


def test_a_condemned_replica_counts_for_nothing_unless_it_is_the_last(
    replicas: ReplicaMap,
) -> None:
    add(replicas, "c1", "c2", "c3", "c4")
    replicas.suspect(CHUNK, "c4", CONDEMNED)
    assert short(replicas) == []
    for node in ("c1", "c2", "c3"):
        replicas.server_dead(node)
    assert short(replicas) == [(CHUNK, 1)]
    assert replicas.locations(CHUNK) == ["c4"]
    replicas.pardon_condemned()
    assert replicas.good(CHUNK) == ["c4"]


def test_the_writers_count_until_they_report_or_time_is_up(replicas: ReplicaMap) -> None:
    replicas.tick(1000)
    replicas.want(8, 1, 5, 3, ("c1", "c2", "c3"))
    assert short(replicas) == []
    assert replicas.missing(9) == [CHUNK]
    assert replicas.locations(8) == ["c1", "c2", "c3"]
    replicas.add("c2", 8, 1, 5)
    assert replicas.locations(8) == ["c2", "c1", "c3"]
    replicas.server_dead("c3")
    assert short(replicas) == [(8, 2)]
    replicas.tick(1000 + EXPECT_MS - 1)
    assert short(replicas) == [(8, 2)]
    replicas.tick(1000 + EXPECT_MS)
    assert short(replicas) == [(8, 1)]
    assert replicas.locations(8) == ["c2"]


def test_a_replica_reported_before_it_was_wanted_is_not_expected_again(
    replicas: ReplicaMap,
) -> None:
    replicas.add("c1", 8, 1, 5)
    replicas.want(8, 1, 5, 2, ("c1", "c2"))
    assert replicas.expected(8) == ("c2",)
    replicas.remove("c2", 8)  # it says that it has none
    assert short(replicas) == [(8, 1)]


def test_more_than_wanted_is_surplus(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2", "c3")
    assert replicas.surplus(9) == []
    add(replicas, "c4")
    assert replicas.surplus(9) == [CHUNK]
    replicas.server_dead("c1")
    assert replicas.surplus(9) == []


def test_replicas_of_unwanted_chunks_are_orphans_since_they_were_seen(
    replicas: ReplicaMap,
) -> None:
    replicas.tick(500)
    replicas.add("c1", 99, 1, 5)
    replicas.tick(900)
    replicas.add("c2", 99, 1, 5)
    assert replicas.orphans(9) == [(99, 500)]
    replicas.want(99, 1, 5, 2)
    assert replicas.orphans(9) == []


def test_a_forgotten_chunk_is_an_orphan_of_old(replicas: ReplicaMap) -> None:
    replicas.tick(500)
    add(replicas, "c1")
    replicas.forget(CHUNK)
    ((chunk_id, since_ms),) = replicas.orphans(9)
    assert chunk_id == CHUNK
    assert since_ms < 0
    assert replicas.missing_count == replicas.under_replicated_count == 0
    replicas.remove("c1", CHUNK)
    assert replicas.orphans(9) == []


def test_a_changed_wish_is_followed(replicas: ReplicaMap) -> None:
    add(replicas, "c1", "c2", "c3")
    replicas.want(CHUNK, 2, 100, 5)
    assert short(replicas) == [(CHUNK, 3)]
    replicas.want(CHUNK, 2, 100, 2)
    assert replicas.surplus(9) == [CHUNK]
    replicas.want(CHUNK, 3, 100, 2)
    assert replicas.missing(9) == [CHUNK]


def test_all_that_is_overdue_is_given_up_in_one_tick(replicas: ReplicaMap) -> None:
    for chunk_id in range(100, 200):
        replicas.want(chunk_id, 1, 5, 3, ("c1", "c2"))
    assert replicas.under_replicated_count == 100
    replicas.tick(EXPECT_MS)
    assert replicas.under_replicated_count == 0
    assert replicas.missing_count == 101


def test_a_tick_gives_back_the_memory_of_troubles_that_are_over() -> None:
    replicas = ReplicaMap()
    for node_id in ("c1", "c2"):
        replicas.server_live(node_id)
    tracemalloc.start()
    for chunk_id in range(20_000):
        replicas.add("c1", chunk_id, 1, 5)  # nobody wants it
        replicas.want(chunk_id + 20_000, 1, 5, 2, ("c1", "c2"))  # both are expected
    for chunk_id in range(20_000):
        replicas.remove("c1", chunk_id)
        replicas.add("c1", chunk_id + 20_000, 1, 5)
        replicas.add("c2", chunk_id + 20_000, 1, 5)
    before, _ = tracemalloc.get_traced_memory()
    replicas.tick(1)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert before - after > 1_000_000, "two dictionaries of 590,000 bytes"


def test_more_servers_than_the_table_can_number_are_refused() -> None:
    replicas = ReplicaMap()
    for number in range(16_384):
        replicas.server_live(f"c{number}")
    with pytest.raises(Overloaded, match="16384 servers"):
        replicas.add("one more", CHUNK, 1, 5)
    assert replicas.holders(CHUNK) == ()
    replicas.add("c16383", CHUNK, 1, 5)
    assert replicas.holders(CHUNK) == ("c16383",)

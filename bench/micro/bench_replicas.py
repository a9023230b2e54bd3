"""The table of replicas beside dictionaries, and the map above it, with 100,000 chunks three times.

The last test walks all of it for one server, as the death of that server does in steps.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from pydfsnode.fleet.replicas import ReplicaMap
from tests.reference import replicas as reference

CHUNKS = 100_000
SERVERS = 6
NAMES = [f"chunkserver-{number}" for number in range(SERVERS)]
FEW = range(1000)


def holders(chunk_id: int) -> tuple[int, int, int]:
    return chunk_id % SERVERS, (chunk_id + 1) % SERVERS, (chunk_id + 3) % SERVERS


def fill(table: fast.ReplicaTable | reference.ReplicaTable, chunks: range) -> None:
    for chunk_id in chunks:
        table.want(chunk_id, 1, 1000, 3)
        for server in holders(chunk_id):
            table.add(chunk_id, server, 1, 1000)


def drain(table: fast.ReplicaTable | reference.ReplicaTable, chunks: range) -> None:
    for chunk_id in chunks:
        table.forget(chunk_id)
        for server in holders(chunk_id):
            table.remove(chunk_id, server)


@pytest.fixture(params=[fast.ReplicaTable, reference.ReplicaTable], ids=["fast", "reference"])
def table(request: pytest.FixtureRequest) -> fast.ReplicaTable | reference.ReplicaTable:
    made: fast.ReplicaTable | reference.ReplicaTable = request.param()
    for _ in range(SERVERS):
        made.set_live(made.add_server(), True)
    fill(made, range(len(FEW), CHUNKS))
    return made


@pytest.mark.benchmark(group="replicas: 1,000 chunks wanted, 3 replicas added, all dropped")
def test_fill_and_drain(
    benchmark: BenchmarkFixture, table: fast.ReplicaTable | reference.ReplicaTable
) -> None:
    def fill_and_drain() -> None:
        fill(table, FEW)
        drain(table, FEW)

    benchmark(fill_and_drain)
    assert len(table) == CHUNKS - len(FEW)


@pytest.mark.benchmark(group="replicas: tally of 1,000 chunks")
def test_tally(
    benchmark: BenchmarkFixture, table: fast.ReplicaTable | reference.ReplicaTable
) -> None:
    fill(table, FEW)
    assert benchmark(lambda: [table.tally(chunk_id) for chunk_id in FEW])[0] == (3, 3, 0)


@pytest.fixture(scope="module")
def replicas() -> ReplicaMap:
    made = ReplicaMap()
    for name in NAMES:
        made.server_live(name)
    for chunk_id in range(CHUNKS):
        made.want(chunk_id, 1, 1000, 3)
        for server in holders(chunk_id):
            made.add(NAMES[server], chunk_id, 1, 1000)
    return made


@pytest.mark.benchmark(group="replicas: 1,000 chunks in the map")
def test_map_add_and_remove(benchmark: BenchmarkFixture, replicas: ReplicaMap) -> None:
    def remove_and_add() -> None:
        for chunk_id in FEW:
            name = NAMES[chunk_id % SERVERS]
            replicas.remove(name, chunk_id)
            replicas.add(name, chunk_id, 1, 1000)

    benchmark(remove_and_add)
    assert replicas.under_replicated_count == 0


@pytest.mark.benchmark(group="replicas: 1,000 chunks in the map")
def test_map_locations(benchmark: BenchmarkFixture, replicas: ReplicaMap) -> None:
    found = benchmark(lambda: [replicas.locations(chunk_id) for chunk_id in FEW])
    assert {len(nodes) for nodes in found} == {3}


@pytest.mark.benchmark(group=f"replicas: what one server holds of {CHUNKS} chunks")
def test_walk(benchmark: BenchmarkFixture) -> None:
    table = fast.ReplicaTable()
    for _ in range(SERVERS):
        table.add_server()
    fill(table, range(CHUNKS))

    def walk() -> int:
        return sum(len(table.held_in(number, [0])) for number in range(fast.REPLICA_SEGMENTS))

    assert benchmark(walk) == table.held_count(0)

"""What a writer that is gone left open is found on real chunkservers and closed by the leader."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk
from pydfsnode.errors import ChunkUnavailable, LeaseExpired, PipelineBroken
from pydfsnode.limits import MIB
from pydfsnode.meta import ops
from pydfsnode.meta.leases import SOFT_LEASE_MS
from pydfsnode.meta.results import Applied, ChunkAllocated
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.lease_recovery import LeaseRecovery
from tests.support.chunkservers import ChunkCluster, chunk_cluster
from tests.support.memory_directory import memory_directory
from tests.unit.client.fakes import FakeConsensus

DATA = bytes(range(256)) * (3 * MIB // 256)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as running:
        yield running


class World:
    """A namespace with /f open for client 1, whose chunk is on c1 to c3."""

    def __init__(self, cluster: ChunkCluster) -> None:
        self.cluster = cluster
        self.namespace = Namespace()
        self.consensus = FakeConsensus(self.namespace)
        self.consensus.term = 7
        clients = count(1000)
        self.recovery = LeaseRecovery(
            cast(Any, self.consensus),
            lambda node: cluster[node].listen,
            cluster.connect,
            lambda: next(clients),
        )
        self._seq = 0
        self.now_ms = self.consensus.wall_ms()
        self.inode_id = self.run(ops.Create, "/f", 3, 64 * MIB, 0, False, False).inode_id

    def run(self, kind: Any, *fields: Any) -> Any:
        self._seq += 1
        op = kind(1, self._seq, self._seq, self.now_ms, "root", *fields)
        outcome = self.namespace.apply(op, self.namespace.applied_index + 1)
        assert isinstance(outcome, Applied), outcome
        return outcome.result

    async def write(self, size: int, *, continues: bool = False) -> ChunkWriter:
        """A writer that flushed *size* bytes of DATA."""
        names = ("c1", "c2", "c3")
        made: ChunkAllocated = self.run(ops.AllocateChunk, self.inode_id, None, 0, names, continues)
        targets = tuple(self.cluster[name].replica for name in names)
        chunk = AllocatedChunk(made.chunk_id, made.version, 7, targets)
        writer = await ChunkWriter.open(chunk, self.cluster.connect)
        await writer.write(DATA[:size])
        await writer.flush()
        return writer

    def silence(self) -> None:
        self.now_ms += SOFT_LEASE_MS + 1
        self.consensus.wall_ms = lambda: self.now_ms  # type: ignore[method-assign]


@pytest.mark.parametrize("size", [1, 2 * MIB + 7])
@pytest.mark.parametrize("dead", [(), ("c1",), ("c3",), ("c1", "c2")])
async def test_a_file_is_closed_with_at_least_what_was_flushed(
    cluster: ChunkCluster, size: int, dead: tuple[str, ...]
) -> None:
    world = World(cluster)
    writer = await world.write(size)
    await writer.cancel()  # the client is gone
    for name in dead:
        await cluster[name].die()
    world.silence()
    await world.recovery.take(world.inode_id)
    file = world.namespace.tree.table.get(world.inode_id)
    assert file is not None
    (chunk,) = world.namespace.tree.table.chunks(file)
    assert chunk == (1, 2, size, crc32c(DATA[:size]))
    assert world.inode_id not in world.namespace.tree.open_files.rows
    for name in {"c1", "c2", "c3"} - set(dead):
        held = cluster[name].store.find(1, 2)
        assert held.length == size
    assert (await world.recovery.finish(world.inode_id)).size == size, "again: nothing changes"


async def test_a_writer_that_is_only_slow_can_write_nothing_more(cluster: ChunkCluster) -> None:
    world = World(cluster)
    writer = await world.write(MIB)
    world.silence()
    await world.recovery.take(world.inode_id)
    with pytest.raises(PipelineBroken):
        await writer.finish()
    await writer.cancel()
    assert cluster["c2"].store.find(1, 2).length == MIB


async def test_a_live_writer_keeps_its_file(cluster: ChunkCluster) -> None:
    world = World(cluster)
    writer = await world.write(MIB)
    await world.recovery.take(world.inode_id)
    await writer.write(DATA[MIB:])
    done = await writer.finish()
    world.run(ops.Complete, world.inode_id, ops.ChunkDone(1, 1, done.length, done.crc32c), 0)


async def test_a_chunk_that_all_finished_and_nobody_recorded_counts(cluster: ChunkCluster) -> None:
    world = World(cluster)
    writer = await world.write(MIB)
    await writer.finish()
    world.silence()
    await world.recovery.take(world.inode_id)
    assert cluster["c1"].store.find(1, 2).length == MIB


async def test_a_leader_goes_on_where_another_stopped(cluster: ChunkCluster) -> None:
    world = World(cluster)
    writer = await world.write(MIB)
    await writer.cancel()
    world.silence()
    world.run(ops.ExpireLeases, (world.inode_id,), True)
    await cluster["c2"].store.seal(1, 1, 2, MIB)  # and then it died
    assert (await world.recovery.finish(world.inode_id)).size == MIB
    assert [cluster[name].store.find(1, 2).length for name in ("c1", "c2", "c3")] == [MIB] * 3


async def test_nothing_written_is_dropped_and_nobody_answering_is_waited_for(
    cluster: ChunkCluster,
) -> None:
    world = World(cluster)
    world.run(ops.AllocateChunk, world.inode_id, None, 0, ("c1", "c2"))
    world.run(ops.ExpireLeases, (world.inode_id,), True)  # its client is alive
    with pytest.raises(LeaseExpired):
        await world.recovery.finish(world.inode_id)
    world.silence()
    world.run(ops.RecoverLease, "/f")
    await cluster["c1"].die()
    with pytest.raises(ChunkUnavailable, match="none of its servers answers"):
        await world.recovery.finish(world.inode_id)
    await cluster["c2"].die()
    assert world.inode_id in world.namespace.tree.open_files.rows

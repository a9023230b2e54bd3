"""So much room is set aside for a chunk as it may take, on every server of its pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk
from pydfsnode.errors import PipelineBroken
from pydfsnode.limits import CHUNK_BYTES_MAX, KIB, MIB
from tests.support.chunkservers import ChunkCluster, chunk_cluster

NAMES = ("c1", "c2", "c3")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as running:
        yield running


class NearlyFull:
    """What `os.statvfs` answers."""

    f_frsize = 1
    f_bavail = 3 * MIB


def fill(cluster: ChunkCluster) -> None:
    for name in NAMES:
        for disk in cluster[name].store.disks.all:
            disk._statvfs = lambda _: NearlyFull()


async def write(cluster: ChunkCluster, chunk: AllocatedChunk) -> ChunkWriter:
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(bytes(MIB))
    await writer.flush()
    return writer


async def test_servers_that_are_nearly_full_take_a_small_chunk(cluster: ChunkCluster) -> None:
    fill(cluster)
    writer = await write(cluster, replace(cluster.allocated(7), chunk_bytes=2 * MIB))
    for name in NAMES:
        store = cluster[name].store
        assert MIB - 4 * KIB < store.free_bytes() <= 2 * MIB, "what it may still take is set aside"
    await writer.finish()


@pytest.mark.parametrize("chunk_bytes", [0, 3 * MIB, 1 << 63])
async def test_they_refuse_one_that_may_get_too_large(
    cluster: ChunkCluster, chunk_bytes: int
) -> None:
    fill(cluster)
    with pytest.raises(PipelineBroken, match="no space left"):
        await write(cluster, replace(cluster.allocated(7), chunk_bytes=chunk_bytes))


async def test_nobody_sets_more_aside_than_a_chunk_can_take(cluster: ChunkCluster) -> None:
    store = cluster["c1"].store
    before = store.free_bytes()
    writer = await write(cluster, replace(cluster.allocated(7), chunk_bytes=1 << 63))
    assert store.free_bytes() > before - 2 * CHUNK_BYTES_MAX
    await writer.cancel()

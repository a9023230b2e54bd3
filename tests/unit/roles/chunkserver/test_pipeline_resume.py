"""Chunks that begin with what is stored, resumed or continued; and read while they grow."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkLocation
from pydfsnode.client.wire_chunks import chunk_state, seal
from pydfsnode.errors import (
    ChunkUnavailable,
    PipelineBroken,
    ReplicaNotFound,
    StaleChunkVersion,
    StaleEpoch,
)
from pydfsnode.limits import BLOCK_BYTES, MIB, PACKET_BYTES
from pydfsnode.roles.chunkserver.commands import Command, CommandRunner, Done
from tests.support.chunkservers import EPOCH, ChunkCluster, chunk_cluster


def _content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path, 4) as running:
        yield running


async def _read(cluster: ChunkCluster, name: str, chunk_id: int, version: int, size: int) -> bytes:
    location = ChunkLocation(chunk_id, version, 0, size, 0, (cluster[name].replica,))
    views = [bytes(v) async for v in read_chunk(location, 0, size, cluster.connect)]
    return b"".join(views)


async def _state(cluster: ChunkCluster, name: str, chunk_id: int) -> tuple[int, int, bool]:
    peer = cluster.connect(name, cluster[name].listen)
    return await chunk_state(peer, chunk_id, 5000)


def _again(
    cluster: ChunkCluster, chunk: AllocatedChunk, base: ChunkBase, *names: str
) -> AllocatedChunk:
    """What the masters answer to ResumeChunk: the next version, on *names*."""
    targets = tuple(cluster[name].replica for name in names)
    left = tuple(target for target in chunk.targets if target in targets)
    return replace(
        chunk, version=chunk.version + 1, targets=targets, base=replace(base, sources=left)
    )


@pytest.mark.parametrize(
    "size", [1, BLOCK_BYTES - 1, BLOCK_BYTES, PACKET_BYTES, 2 * PACKET_BYTES + 12345]
)
async def test_what_was_flushed_is_read_from_every_server(cluster: ChunkCluster, size: int) -> None:
    content = _content(size + 3 * MIB)
    writer = await ChunkWriter.open(cluster.allocated(7, "c1", "c2", "c3"), cluster.connect)
    await writer.write(content[:size])
    await writer.flush()
    for name in ("c1", "c2", "c3"):
        version, length, finished = await _state(cluster, name, 7)
        assert (version, finished) == (1, False)
        assert length == size
        assert await _read(cluster, name, 7, 1, size) == content[:size]
    await writer.write(content[size:])
    done = await writer.finish()
    assert (done.length, done.crc32c) == (len(content), crc32c(content))
    assert await _state(cluster, "c3", 7) == (1, len(content), True)
    with pytest.raises(ReplicaNotFound):
        await _state(cluster, "c4", 7)


async def test_the_stream_of_a_resumed_chunk_ends(cluster: ChunkCluster) -> None:
    chunk = cluster.allocated(7, "c1")
    old = await ChunkWriter.open(chunk, cluster.connect)
    await old.write(_content(MIB))
    await old.flush()
    base = old.acked_base()
    assert base is not None
    new = await ChunkWriter.open(_again(cluster, chunk, base, "c1"), cluster.connect)
    await new.finish()
    with pytest.raises(PipelineBroken, match=r"sealed or deleted|version 1"):
        await old.finish()
    await old.cancel()


@pytest.mark.parametrize("victim", ["c1", "c2", "c3"])
@pytest.mark.parametrize("size", [1, BLOCK_BYTES + 1, 2 * MIB, 3 * MIB - 7])
async def test_a_broken_chunk_goes_on_with_a_replacement_that_gets_what_was_written(
    cluster: ChunkCluster, victim: str, size: int
) -> None:
    content = _content(size + 2 * MIB + 5)
    chunk = cluster.allocated(7, "c1", "c2", "c3")
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(content[:size])
    await writer.flush()
    await cluster[victim].die()
    await writer.cancel()
    base = writer.acked_base()
    assert base is not None
    assert (base.length, base.crc32c) == (size, crc32c(content[:size]))
    left = [name for name in ("c1", "c2", "c3") if name != victim]
    resumed = await ChunkWriter.open(_again(cluster, chunk, base, *left, "c4"), cluster.connect)
    await resumed.write(content[size:])
    done = await resumed.finish()
    assert (done.version, done.length, done.crc32c) == (2, len(content), crc32c(content))
    for name in (*left, "c4"):
        assert await _read(cluster, name, 7, 2, len(content)) == content


async def test_a_chunk_that_some_had_finished_goes_on(cluster: ChunkCluster) -> None:
    content = _content(2 * MIB)
    chunk = cluster.allocated(7, "c2", "c3")
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(content)
    await writer.finish()
    base = ChunkBase(7, 1, MIB, crc32c(content[:MIB]), chunk.targets)
    resumed = await ChunkWriter.open(_again(cluster, chunk, base, "c3", "c1"), cluster.connect)
    await resumed.write(b"other")
    await resumed.finish()
    for name in ("c3", "c1"):
        assert await _read(cluster, name, 7, 2, MIB + 5) == content[:MIB] + b"other"


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, MIB + 7])
async def test_a_chunk_continues_another_on_servers_with_and_without_it(
    cluster: ChunkCluster, size: int
) -> None:
    content = _content(size)
    first = cluster.allocated(7, "c1", "c2")
    writer = await ChunkWriter.open(first, cluster.connect)
    await writer.write(content)
    done = await writer.finish()
    base = ChunkBase(7, 1, size, done.crc32c, first.targets)
    second = replace(cluster.allocated(8, "c1", "c3"), base=base)
    writer = await ChunkWriter.open(second, cluster.connect)
    assert writer.acked_bytes == size
    await writer.write(b"more")
    await writer.flush()
    assert await _read(cluster, "c3", 8, 1, size + 4) == content + b"more"
    done = await writer.finish()
    assert (done.length, done.crc32c) == (size + 4, crc32c(content + b"more"))
    assert await _read(cluster, "c2", 7, 1, size) == content, "the first is as it was"


async def test_a_base_that_is_another_than_said_is_refused(cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7, "c1"), cluster.connect)
    await writer.write(b"abc")
    await writer.finish()
    base = ChunkBase(7, 1, 3, crc32c(b"xyz"), (cluster["c1"].replica,))
    writer = await ChunkWriter.open(replace(cluster.allocated(8, "c1"), base=base), cluster.connect)
    with pytest.raises(PipelineBroken, match="begins with"):
        await writer.finish()
    assert cluster["c1"].store.growing() == 0


async def test_the_deposed_writer_of_a_resumed_chunk_writes_nothing_more(
    cluster: ChunkCluster,
) -> None:
    content = _content(2 * MIB)
    chunk = cluster.allocated(7, "c1", "c2")
    old = await ChunkWriter.open(chunk, cluster.connect)
    await old.write(content[:MIB])
    await old.flush()
    base = old.acked_base()
    assert base is not None
    new = await ChunkWriter.open(_again(cluster, chunk, base, "c1", "c2"), cluster.connect)
    await new.flush()
    await new.write(content[MIB:])
    await new.flush()
    await old.cancel()
    late = await ChunkWriter.open(chunk, cluster.connect)
    await late.write(b"late")
    with pytest.raises(PipelineBroken, match="version 2"):
        await late.finish()
    await new.finish()
    assert await _read(cluster, "c2", 7, 2, 2 * MIB) == content


# ---- INV-FENCE: every entry point


async def _written(cluster: ChunkCluster) -> AllocatedChunk:
    """Chunk 7 version 3 on c1, which has seen epoch EPOCH."""
    chunk = replace(cluster.allocated(7, "c1"), version=3)
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(b"kept")
    await writer.finish()
    cluster["c1"].epoch.advance(EPOCH)
    return chunk


async def _finish(chunk: AllocatedChunk, cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(chunk, cluster.connect)
    try:
        await writer.write(b"lost")
        await writer.finish()
    finally:
        await writer.cancel()


@pytest.mark.parametrize("kind", ["plain", "resumed", "continued"])
@pytest.mark.parametrize("old", ["epoch", "version"])
async def test_a_write_with_an_old_epoch_or_version_is_refused(
    cluster: ChunkCluster, kind: str, old: str
) -> None:
    chunk = await _written(cluster)
    base = ChunkBase(7, 1, 4, crc32c(b"kept"), (cluster["c1"].replica,))
    if kind == "continued":
        base = replace(base, version=3)
    stale = replace(
        chunk,
        base=None if kind == "plain" else base,
        epoch=EPOCH - 1 if old == "epoch" else EPOCH,
        version=9 if old == "epoch" else 2,
    )
    with pytest.raises(PipelineBroken) as broken:
        await _finish(stale, cluster)
    wanted = "epoch" if old == "epoch" else "version"
    assert wanted in str(broken.value)
    assert await _read(cluster, "c1", 7, 3, 4) == b"kept"
    assert cluster["c1"].store.growing() == 0


async def test_a_seal_with_an_old_epoch_or_version_is_refused(cluster: ChunkCluster) -> None:
    await _written(cluster)
    peer = cluster.connect("c1", cluster["c1"].listen)
    with pytest.raises(StaleEpoch):
        await seal(peer, 7, 3, 4, 2, EPOCH - 1, 5000)
    with pytest.raises(StaleChunkVersion):
        await seal(peer, 7, 1, 2, 2, EPOCH, 5000)
    assert await _read(cluster, "c1", 7, 3, 4) == b"kept"


@pytest.mark.parametrize("kind", ["delete", "replicate"])
@pytest.mark.parametrize("old", ["epoch", "version"])
async def test_an_order_with_an_old_epoch_or_version_is_refused(
    cluster: ChunkCluster, kind: str, old: str
) -> None:
    await _written(cluster)
    server = cluster["c1"]
    done: asyncio.Queue[Done] = asyncio.Queue()
    runner = CommandRunner(server.store, server.epoch, cluster.connect, done.put_nowait)
    command = Command(
        kind,  # type: ignore[arg-type]
        EPOCH - 1 if old == "epoch" else EPOCH,
        7,
        3 if old == "epoch" else 2,
        length=4,
    )
    task = asyncio.create_task(runner.run())
    runner.submit(command)
    ended = await asyncio.wait_for(done.get(), 20)
    task.cancel()
    assert not ended.ok
    assert old in ended.reason
    assert await _read(cluster, "c1", 7, 3, 4) == b"kept"


async def test_a_read_of_another_version_is_refused(cluster: ChunkCluster) -> None:
    await _written(cluster)
    for version in (2, 4):
        with pytest.raises(ChunkUnavailable):
            await _read(cluster, "c1", 7, version, 4)

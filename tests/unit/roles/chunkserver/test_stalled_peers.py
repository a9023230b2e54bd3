"""A way on which nothing passes any more, as a pulled cable, in the middle of a stream.

Servers are real, with a proxy before each; times are a tenth of what they are in earnest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from pydfsnode._fast import crc32c
from pydfsnode.client.chunk_channels import ChannelChunkIO, Reading
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import ChunkDone, Replica
from pydfsnode.errors import ChunkUnavailable, PipelineBroken
from pydfsnode.limits import MIB
from pydfsnode.rpc import stream_watch
from tests.support.chunkservers import ChunkCluster, chunk_cluster
from tests.support.faulty_proxy import FaultyProxy

CONTENT = bytes(range(256)) * (6 * MIB // 256)
SOON_S = 5.0
"""Half of what a server has that lives and makes no progress."""


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with FaultyProxy(1) as running:
        yield running


@pytest.fixture
async def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChunkCluster]:
    monkeypatch.setattr(stream_watch, "SILENT_MS", 200)
    monkeypatch.setattr(stream_watch, "STEP_MS", 50)
    async with chunk_cluster(tmp_path) as running:
        yield running


def behind(proxy: FaultyProxy, replicas: tuple[Replica, ...]) -> tuple[Replica, ...]:
    """*replicas*, each with an address of the proxy."""
    return tuple(replace(each, listen=proxy.to(each.listen)) for each in replicas)


async def write(writer: ChunkWriter, content: bytes) -> ChunkDone:
    await writer.write(content)
    return await writer.finish()


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("size", [70_000, len(CONTENT)])
async def test_the_server_behind_it_is_named_soon(
    servers: ChunkCluster, proxy: FaultyProxy, position: int, size: int
) -> None:
    first = servers.allocated(7)
    chunk = replace(first, chunk_id=8, targets=behind(proxy, first.targets))
    before = await ChunkWriter.open(replace(chunk, chunk_id=7), servers.connect)
    await write(before, CONTENT)  # all are connected
    writer = await ChunkWriter.open(chunk, servers.connect)
    await asyncio.to_thread(proxy.block, chunk.targets[position].listen)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(PipelineBroken, match="no sign of life") as broken:
            await write(writer, CONTENT[:size])
    assert broken.value.fields["failed_node_id"] == chunk.targets[position].node_id
    await writer.cancel()


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_server_that_is_merely_slow_stays(servers: ChunkCluster, position: int) -> None:
    chunk = servers.allocated(7)
    store = cast(Any, servers[chunk.targets[position].node_id].store)
    append, loop, is_done = store.append, asyncio.get_running_loop(), asyncio.Event()

    async def slow(*args: object) -> Any:
        await is_done.wait()
        return await append(*args)

    store.append = slow
    writer = await ChunkWriter.open(chunk, servers.connect)
    loop.call_later(5 * stream_watch.SILENT_MS / 1000, is_done.set)
    done = await write(writer, CONTENT)
    assert (done.length, done.crc32c) == (len(CONTENT), crc32c(CONTENT))


async def test_a_reader_waits_no_longer_than_it_may(
    servers: ChunkCluster, proxy: FaultyProxy
) -> None:
    writer = await ChunkWriter.open(servers.allocated(7), servers.connect)
    done = await write(writer, CONTENT)
    found = servers.location(7, done.length, done.crc32c)
    location = structs.replace(found, replicas=behind(proxy, found.replicas))
    chunks = ChannelChunkIO(servers.connect, cast(Any, None), Reading())
    assert b"".join(await chunks.read(location, 0, len(CONTENT), 60_000)) == CONTENT
    for replica in location.replicas:
        await asyncio.to_thread(proxy.block, replica.listen)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(ChunkUnavailable):
            await chunks.read(location, 0, len(CONTENT), 300)

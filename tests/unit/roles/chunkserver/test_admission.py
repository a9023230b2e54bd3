"""Who shows no good capability is let near no chunk; who does writes and reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client import wire_chunks
from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkLocation
from pydfsnode.errors import CapabilityRefused, KeyUnavailable, PipelineBroken
from pydfsnode.security.capability import CLOCKS_MS, LIFE_MS, Operation
from tests.support.capabilities import CHUNK_KEY, token
from tests.support.chunk_audit import ChunkTrail
from tests.support.chunkservers import ChunkCluster, chunk_cluster
from tests.unit.rpc.harness import counter

CONTENT = b"content of a chunk"
CRC = crc32c(CONTENT)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as cluster:
        trails = []
        for server in cluster.servers.values():
            trails.append(ChunkTrail(server))
            server.keys.learn({1: CHUNK_KEY})
        yield cluster
        for trail in trails:
            trail.stop()


def shown(cluster: ChunkCluster, chunk_id: int, version: int = 1, **other: object) -> bytes:
    now_ms = cluster["c1"].clock.wall_ms()
    return token("alice", chunk_id, version, now_ms=now_ms, **other)  # type: ignore[arg-type]


async def write(cluster: ChunkCluster, chunk: AllocatedChunk, capability: bytes) -> AllocatedChunk:
    chunk = replace(chunk, capability=capability)
    writer = await ChunkWriter.open(chunk, cluster.connect)
    try:
        await writer.write(CONTENT)
        await writer.finish()
    finally:
        await writer.cancel()
    return chunk


async def read(cluster: ChunkCluster, location: ChunkLocation) -> bytes:
    views = [bytes(v) async for v in read_chunk(location, 0, location.length, cluster.connect)]
    return b"".join(views)


async def test_a_writer_goes_through_the_whole_pipeline_and_reads(cluster: ChunkCluster) -> None:
    await write(cluster, cluster.allocated(7), shown(cluster, 7))
    for name in ("c1", "c2", "c3"):
        location = cluster.location(7, len(CONTENT), CRC, name)
        reading = shown(cluster, 7, operations=int(Operation.READ))
        assert await read(cluster, msgspec.structs.replace(location, capability=reading)) == CONTENT
        peer = cluster.connect(name, cluster[name].listen)
        assert (await wire_chunks.chunk_state(peer, 7, 5000, reading))[2]


def bad(cluster: ChunkCluster) -> dict[str, bytes]:
    """Reason of the refusal to a token that is not good for reading or writing chunk 7."""
    good = shown(cluster, 7)
    now_ms = cluster["c1"].clock.wall_ms()
    return {
        "missing": b"",
        "malformed": b"x" * 20,
        "forged": good[:-1] + bytes([good[-1] ^ 1]),
        "chunk": shown(cluster, 8),
        "version": shown(cluster, 7, 2),
        "operation": shown(cluster, 7, operations=int(Operation.END)),
        "user": token("bob", 7, now_ms=now_ms),
        "expired": token("alice", 7, now_ms=now_ms - LIFE_MS - CLOCKS_MS - 1),
    }


async def test_nothing_else_opens_a_read_or_a_write(cluster: ChunkCluster) -> None:
    await write(cluster, cluster.allocated(7), shown(cluster, 7))
    peer = cluster.connect("c1", cluster["c1"].listen)
    for reason, capability in bad(cluster).items():
        before = counter("chunk_refused_capabilities_total", reason)
        location = cluster.location(7, len(CONTENT), CRC)
        with pytest.raises(CapabilityRefused, match="chunk 7") as refused:
            await read(cluster, msgspec.structs.replace(location, capability=capability))
        assert refused.value.fields["reason"] == reason
        other = cluster.allocated(9 if reason == "chunk" else 7)
        with pytest.raises(PipelineBroken, match="chunk 9" if reason == "chunk" else "capability"):
            await write(cluster, other, capability)
        with pytest.raises(CapabilityRefused):
            await wire_chunks.chunk_state(peer, 6, 5000, capability)
        assert counter("chunk_refused_capabilities_total", reason) >= before + 2
    assert cluster["c1"].store.find(7, 1).length == len(CONTENT)


async def test_a_reader_cannot_end_a_chunk(cluster: ChunkCluster) -> None:
    await write(cluster, cluster.allocated(7), shown(cluster, 7))
    peer = cluster.connect("c1", cluster["c1"].listen)
    reading = shown(cluster, 7, operations=int(Operation.READ))
    with pytest.raises(CapabilityRefused, match="END"):
        await wire_chunks.seal(peer, 7, 1, 2, 4, 5, 5000, reading)


async def test_a_writer_cannot_copy_a_chunk_that_is_not_his(cluster: ChunkCluster) -> None:
    await write(cluster, cluster.allocated(7), shown(cluster, 7))
    replicas = cluster.allocated(7).targets
    base = ChunkBase(7, 1, len(CONTENT), CRC, replicas)
    stolen = replace(cluster.allocated(8), base=base)
    with pytest.raises(PipelineBroken, match="no capability"):
        await write(cluster, stolen, shown(cluster, 8))
    allowed = replace(base, capability=shown(cluster, 7, operations=int(Operation.READ)))
    await write(cluster, replace(cluster.allocated(8), base=allowed), shown(cluster, 8))
    assert cluster["c3"].store.find(8, 1).length == 2 * len(CONTENT)


async def test_what_is_open_goes_on_after_it_has_expired(cluster: ChunkCluster) -> None:
    chunk = replace(cluster.allocated(7), capability=shown(cluster, 7))
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(CONTENT)
    await writer.flush()
    for server in cluster.servers.values():
        server.clock.advance(LIFE_MS + CLOCKS_MS + 1)
    await writer.write(CONTENT)
    assert (await writer.finish()).length == 2 * len(CONTENT)


async def test_without_keys_a_server_says_so(
    cluster: ChunkCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydfsnode.roles.chunkserver.sealing.WAIT_S", 0.01)
    server = cluster["c1"]
    server.keys = type(server.keys)()
    trail = ChunkTrail(server)
    peer = cluster.connect("c1", server.listen)
    with pytest.raises(KeyUnavailable, match="no key to check capabilities"):
        await wire_chunks.chunk_state(peer, 7, 5000, shown(cluster, 7))
    assert trail.records() == []

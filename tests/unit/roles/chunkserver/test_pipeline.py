"""Chunks through pipelines of real servers over loopback TLS: durable, broken, sealed, fenced."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client import wire_chunks
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, Replica
from pydfsnode.errors import (
    AlreadyExists,
    CorruptionError,
    DurabilityFailure,
    InvalidArgument,
    MalformedMessage,
    Overloaded,
    PipelineBroken,
    ReplicaNotFound,
    StaleChunkVersion,
    StaleEpoch,
)
from pydfsnode.limits import BLOCK_BYTES, MIB, PACKET_BYTES
from pydfsnode.roles.chunkserver.streams import StreamSlots
from pydfsnode.rpc.chunk_packets import make_packet, pack_head
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.support.chunkservers import EPOCH, ChunkCluster, chunk_cluster

WRITE = "/pydfs.v1.Chunk/WriteChunk"


def _content(length: int) -> bytes:
    # 251 is prime: no two blocks or packets are the same.
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as running:
        yield running


async def _stored(cluster: ChunkCluster, name: str, chunk_id: int, version: int = 1) -> bytes:
    held = cluster[name].store.find(chunk_id, version)
    packets = cluster[name].store.read(chunk_id, version, 0, held.length)
    return b"".join([bytes(packet.data) async for packet in packets])


async def _write(cluster: ChunkCluster, chunk: AllocatedChunk, content: bytes) -> ChunkWriter:
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(content)
    return writer


async def _write_and_finish(writer: ChunkWriter, content: bytes) -> None:
    await writer.write(content)
    await writer.finish()


async def _until_acked(writer: ChunkWriter, size: int) -> None:
    async with asyncio.timeout(20):
        while writer.acked_bytes < size:
            await writer._wait_for_news()


async def _seal(
    cluster: ChunkCluster, name: str, length: int, *, epoch: int = EPOCH
) -> tuple[int, int]:
    """As the masters end a chunk whose writer is gone; its length and checksum then."""
    channel = cluster.connect(name, cluster[name].listen)
    return await wire_chunks.seal(channel, 7, 1, 2, length, epoch, 5_000)


SIZES = [1, BLOCK_BYTES, PACKET_BYTES - 1, PACKET_BYTES, PACKET_BYTES + 1, 5 * PACKET_BYTES + 77]


@pytest.mark.parametrize("length", SIZES)
async def test_a_finished_chunk_is_on_every_server(cluster: ChunkCluster, length: int) -> None:
    content = _content(length)
    writer = await _write(cluster, cluster.allocated(7), content)
    done = await writer.finish()
    assert (done.version, done.length, done.crc32c) == (1, length, crc32c(content))
    assert writer.acked_bytes == length
    assert writer.unacked() == []
    for name in cluster.servers:
        assert await _stored(cluster, name, 7) == content
        assert cluster[name].store.growing() == 0


async def test_writes_of_odd_sizes_arrive_in_order(cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    pieces = [_content(n)[::-1] for n in (1, 3 * MIB + 5, 17, 0, MIB, 2 * MIB, 999_999, 1)]
    for piece in pieces:
        await writer.write(bytearray(piece))
    done = await writer.finish()
    assert await _stored(cluster, "c3", 7) == b"".join(pieces)
    assert done.crc32c == crc32c(b"".join(pieces))


async def test_a_writable_buffer_may_be_used_again_at_once(cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    buffer = bytearray(_content(2 * MIB))
    await writer.write(buffer)
    buffer[:] = bytes(len(buffer))
    await writer.finish()
    assert await _stored(cluster, "c2", 7) == _content(2 * MIB)


async def test_an_empty_chunk_is_refused_and_leaves_nothing(cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    with pytest.raises(InvalidArgument, match="at least one byte"):
        await writer.finish()
    await writer.cancel()


@pytest.mark.parametrize("victim", ["c1", "c2", "c3"])
async def test_what_was_acknowledged_survives_the_death_of_any_server(
    cluster: ChunkCluster, victim: str
) -> None:
    content = _content(3 * MIB + 1234)
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    await writer.write(content[: 3 * MIB])
    await _until_acked(writer, 3 * MIB)
    await cluster[victim].die()
    with pytest.raises(PipelineBroken) as broken:
        await _write_and_finish(writer, content[3 * MIB :])
    assert broken.value.fields["failed_node_id"] == victim
    assert writer.failed_node_id == victim
    left = b"".join(writer.unacked())
    assert content == content[: writer.acked_bytes] + left
    for name in [name for name in cluster.servers if name != victim]:
        assert await _seal(cluster, name, 3 * MIB) == (3 * MIB, crc32c(content[: 3 * MIB]))
        assert await _stored(cluster, name, 7, 2) == content[: 3 * MIB]


async def test_a_dead_target_at_the_open_breaks_the_pipeline_with_its_name(
    cluster: ChunkCluster,
) -> None:
    dead = Replica("c2", "127.0.0.1:1")
    chunk = AllocatedChunk(7, 1, EPOCH, (cluster["c1"].replica, dead, cluster["c3"].replica))
    writer = await ChunkWriter.open(chunk, cluster.connect)
    with pytest.raises(PipelineBroken) as broken:
        await _write_and_finish(writer, _content(MIB))
    assert broken.value.fields["failed_node_id"] == "c2"
    assert writer.acked_bytes == 0
    assert b"".join(writer.unacked()) == _content(MIB)
    first_dead = AllocatedChunk(8, 1, EPOCH, (dead,))
    with pytest.raises(PipelineBroken) as broken:
        await ChunkWriter.open(first_dead, cluster.connect)
    assert broken.value.fields["failed_node_id"] == "c2"


async def test_a_target_that_is_another_server_than_named_is_not_written_to(
    cluster: ChunkCluster,
) -> None:
    impostor = Replica("c2", cluster["c3"].listen)
    chunk = AllocatedChunk(7, 1, EPOCH, (cluster["c1"].replica, impostor))
    writer = await ChunkWriter.open(chunk, cluster.connect)
    with pytest.raises(PipelineBroken) as broken:
        await _write_and_finish(writer, _content(MIB))
    assert broken.value.fields["failed_node_id"] == "c2"
    assert cluster["c3"].store.index.get(7) is None


async def test_a_full_disk_downstream_is_blamed_and_the_others_seal(
    cluster: ChunkCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    await writer.write(_content(MIB))
    await _until_acked(writer, MIB)
    pwrite = os.pwrite

    def full(fd: int, view: memoryview, offset: int) -> int:
        if "/c3/" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, view, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(PipelineBroken, match="no space left") as broken:
        await _write_and_finish(writer, _content(MIB))
    assert broken.value.fields["failed_node_id"] == "c3"
    assert list((cluster["c3"].directory / "tmp").iterdir()) == []
    monkeypatch.undo()
    for name in ("c1", "c2"):
        assert await _seal(cluster, name, MIB) == (MIB, crc32c(_content(MIB)))
    again = await _write(cluster, cluster.allocated(8), b"the node goes on")
    await again.finish()


async def test_a_failed_sync_ends_the_write_and_the_store(
    cluster: ChunkCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = await _write(cluster, cluster.allocated(7, "c1"), b"content")
    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(PipelineBroken):
        await writer.finish()
    store = cluster["c1"].store
    assert isinstance(await store.failed, DurabilityFailure)
    with pytest.raises(DurabilityFailure):
        store.create(9, 1)
    assert store.index.get(7) is None


async def test_a_seal_cancels_the_stream_that_still_writes(cluster: ChunkCluster) -> None:
    writer = await ChunkWriter.open(cluster.allocated(7, "c1"), cluster.connect)
    await writer.write(_content(2 * MIB))
    await _until_acked(writer, 2 * MIB)
    _, crc = await _seal(cluster, "c1", MIB + 5)
    assert crc == crc32c(_content(2 * MIB)[: MIB + 5])
    with pytest.raises(PipelineBroken):
        await writer.finish()
    assert await _stored(cluster, "c1", 7, 2) == _content(2 * MIB)[: MIB + 5]
    assert cluster["c1"].service.writes.count == 0


async def test_a_finished_replica_can_be_sealed_too_and_sealing_is_repeatable(
    cluster: ChunkCluster,
) -> None:
    chunk = cluster.allocated(7, "c1")
    writer = await _write(cluster, chunk, _content(MIB))
    await writer.finish()
    for _ in range(2):
        length, _ = await _seal(cluster, "c1", 70_000)
        assert length == cluster["c1"].store.find(7, 2).length == 70_000
    with pytest.raises(StaleChunkVersion):
        await _seal(cluster, "c1", 60_000)


async def test_an_older_epoch_is_refused_everywhere_in_the_chain(cluster: ChunkCluster) -> None:
    cluster["c2"].epoch.advance(EPOCH + 1)
    writer = await ChunkWriter.open(cluster.allocated(7), cluster.connect)
    with pytest.raises(PipelineBroken) as broken:
        await _write_and_finish(writer, _content(MIB))
    assert broken.value.fields["failed_node_id"] == "c2"
    cluster["c1"].epoch.advance(EPOCH + 1)
    writer = await ChunkWriter.open(cluster.allocated(8, "c1"), cluster.connect)
    with pytest.raises(PipelineBroken, match="epoch 5 is over") as broken:
        await _write_and_finish(writer, _content(MIB))
    assert broken.value.fields["failed_node_id"] == ""
    assert [cluster[name].store.index.get(8) for name in cluster.servers] == [None] * 3


async def test_a_seal_with_an_older_epoch_is_refused(cluster: ChunkCluster) -> None:
    writer = await _write(cluster, cluster.allocated(7, "c1"), _content(MIB))
    await _until_acked(writer, MIB)
    cluster["c1"].epoch.advance(EPOCH + 4)
    with pytest.raises(StaleEpoch):
        await _seal(cluster, "c1", 9)
    assert (await _seal(cluster, "c1", MIB, epoch=EPOCH + 4))[0] == MIB


async def test_the_same_version_is_not_written_twice(cluster: ChunkCluster) -> None:
    first = await _write(cluster, cluster.allocated(7, "c1"), _content(MIB))
    await _until_acked(first, MIB)
    for _ in range(2):  # while it is written, and when it is finished
        second = await ChunkWriter.open(cluster.allocated(7, "c1"), cluster.connect)
        with pytest.raises(PipelineBroken) as broken:
            await _write_and_finish(second, _content(MIB))
        assert isinstance(broken.value.__cause__, AlreadyExists)
        if first.unacked() == [] and cluster["c1"].store.index.get(7) is None:
            await first.finish()
    assert await _stored(cluster, "c1", 7) == _content(MIB)


async def _raw(cluster: ChunkCluster, *packets: object, chunk_id: int = 7) -> object:
    """Send *packets* as they are; returns the error that ends the stream, or None."""
    channel = cluster.connect("c1", cluster["c1"].listen)
    opening = pb.WriteChunkOpen(chunk_id=chunk_id, version=1, epoch=EPOCH)
    stream = await channel.stream(WRITE, pb.WriteChunkPacket(open=opening))
    for packet in packets:
        await stream.send(packet)
    await stream.close_send()
    while await stream.receive() is not None:
        pass
    return None


async def test_damaged_misplaced_and_empty_packets_end_the_write(cluster: ChunkCluster) -> None:
    good = make_packet(0, b"0123")
    with pytest.raises(CorruptionError):
        await _raw(cluster, good, (pack_head(4, 4, crc32c(b"4567")), b"4568"))
    for number, bad in enumerate(
        [make_packet(3, b"x"), make_packet(5, b"x"), make_packet(4, b""), (b"short",)]
    ):
        with pytest.raises(MalformedMessage):
            await _raw(cluster, good, bad, chunk_id=100 + number)
        assert cluster["c1"].store.index.get(100 + number) is None
    channel = cluster.connect("c1", cluster["c1"].listen)
    stream = await channel.stream(WRITE, pb.WriteChunkPacket())
    with pytest.raises(MalformedMessage, match="open"):
        await stream.receive()


async def test_packets_of_any_size_are_taken(cluster: ChunkCluster) -> None:
    content = _content(200_000)
    cuts = [0, 1, 5, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 3, 199_999, 200_000]
    await _raw(cluster, *(make_packet(start, content[start:end]) for start, end in pairwise(cuts)))
    assert await _stored(cluster, "c1", 7) == content


async def test_a_pipeline_with_a_server_twice_is_refused(cluster: ChunkCluster) -> None:
    twice = (cluster["c1"].replica, cluster["c2"].replica, cluster["c1"].replica)
    writer = await ChunkWriter.open(AllocatedChunk(7, 1, EPOCH, twice), cluster.connect)
    with pytest.raises(PipelineBroken, match="distinct"):
        await _write_and_finish(writer, _content(MIB))


async def test_too_many_streams_are_refused_with_a_time_to_come_again(
    cluster: ChunkCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster["c1"].service, "writes", StreamSlots("write", 0))
    with pytest.raises(Overloaded) as refused:
        await _raw(cluster, make_packet(0, b"x"))
    assert refused.value.fields["retry_after_ms"] == 200


async def test_what_a_gone_client_left_waits_for_a_seal_and_is_swept_later(
    cluster: ChunkCluster,
) -> None:
    server = cluster["c1"]
    for chunk_id in (7, 8):
        writer = await _write(cluster, cluster.allocated(chunk_id, "c1"), _content(MIB))
        await _until_acked(writer, MIB)
    await cluster.client.close()
    async with asyncio.timeout(20):
        while server.service.writes.count:
            await asyncio.sleep(0.01)
    assert server.store.growing() == 2
    assert await server.store.seal(7, 1, 2, MIB) == crc32c(_content(MIB))
    server.clock.advance(599_999)
    assert server.store.sweep(server.clock.monotonic_ms()) == 0
    server.clock.advance(1)
    assert server.store.sweep(server.clock.monotonic_ms()) == 1
    with pytest.raises(ReplicaNotFound):
        await server.store.seal(8, 1, 2, MIB)

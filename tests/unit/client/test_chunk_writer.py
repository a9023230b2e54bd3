"""The client's side of a chunk write, against a server that is told what to answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client import chunk_writer, wire_chunks
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, Replica
from pydfsnode.errors import (
    CorruptionError,
    DiskFull,
    InvalidArgument,
    PipelineBroken,
    StaleEpoch,
    Unavailable,
)
from pydfsnode.limits import CHUNK_BYTES_MAX, MIB
from pydfsnode.rpc.chunk_packets import parse_packet
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.stream_watch import Sign

CHUNK = AllocatedChunk(7, 1, 5, (Replica("c1", "a:1"), Replica("c2", "b:1"), Replica("c3", "c:1")))


class FakePeer:
    """A first server. `answers` are given out in order: acks, or an error; None ends the stream."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.received = bytearray()
        self.packets = 0
        self.closed = asyncio.Event()
        self.refuses: Exception | None = None
        self.cancelled = 0

    def ack(self, acked_bytes: int, **more: Any) -> None:
        self.answers.put_nowait(pb.WriteChunkAck(acked_bytes=acked_bytes, **more))

    async def stream(self, path: str, first: Any, *, timeout_ms: int | None = None) -> Any:
        if self.refuses is not None:
            raise self.refuses
        self.opening = first.open
        return self

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        raise AssertionError(path)

    async def send(self, message: Any, *, end: bool = False) -> None:
        if self.refuses is not None:
            raise self.refuses
        offset, view = parse_packet(b"".join(message))
        assert offset == len(self.received)
        self.received += view
        self.packets += 1
        if end:
            self.closed.set()

    async def close_send(self) -> None:
        self.closed.set()

    async def receive(self) -> Any:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def cancel(self) -> None:
        self.cancelled += 1

    def sign_of_life(self) -> Sign:
        return Sign(0.0, 0)


@pytest.fixture
def peer() -> FakePeer:
    return FakePeer()


async def _open(peer: FakePeer) -> ChunkWriter:
    return await ChunkWriter.open(CHUNK, lambda node_id, listen: peer)


async def _turns(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing came of it")


async def test_the_opening_names_the_chunk_and_the_rest_of_the_chain(peer: FakePeer) -> None:
    await _open(peer)
    assert (peer.opening.chunk_id, peer.opening.version, peer.opening.epoch) == (7, 1, 5)
    assert [(a.node_id, a.listen) for a in peer.opening.downstream] == [
        ("c2", "b:1"),
        ("c3", "c:1"),
    ]


async def test_small_writes_are_gathered_and_large_ones_are_not_copied(peer: FakePeer) -> None:
    writer = await _open(peer)
    for _ in range(10):
        await writer.write(b"x" * 1000)
    assert peer.packets == 0
    content = bytes(4 * MIB)
    await writer.write(content)
    assert peer.packets == 4
    assert len(b"".join(writer.unacked())) == 4 * MIB + 10_000
    assert any(view.obj is content for view in writer.unacked())


async def test_a_write_waits_when_too_much_is_not_acknowledged(peer: FakePeer) -> None:
    writer = await _open(peer)
    await writer.write(bytes(chunk_writer.WINDOW_BYTES))
    waiting = asyncio.create_task(writer.write(bytes(MIB)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert len(peer.received) == chunk_writer.WINDOW_BYTES
    peer.ack(MIB)
    await waiting
    assert len(peer.received) == chunk_writer.WINDOW_BYTES + MIB


async def test_acknowledged_bytes_are_let_go_in_any_portions(peer: FakePeer) -> None:
    writer = await _open(peer)
    content = bytes(range(256)) * 16384
    await writer.write(content)
    for acked in (0, 1, MIB - 1, MIB, 3 * MIB + 7):
        peer.ack(acked)
        await _turns(lambda want=acked: writer.acked_bytes == want)  # type: ignore[misc]
        assert b"".join(writer.unacked()) == content[acked:]
        assert writer.acked_crc32c == crc32c(content[:acked])


async def test_the_end_is_only_what_is_durable_everywhere(peer: FakePeer) -> None:
    writer = await _open(peer)
    await writer.write(b"content")
    finishing = asyncio.create_task(writer.finish())
    await peer.closed.wait()
    peer.ack(7)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not finishing.done()
    peer.ack(7, durable=True, crc32c=crc32c(b"content"))
    peer.answers.put_nowait(None)
    assert (await finishing).crc32c == crc32c(b"content")


@pytest.mark.parametrize(("acked", "stored"), [(6, b"content"), (7, b"kontent")])
async def test_something_else_made_durable_is_an_error(
    peer: FakePeer, acked: int, stored: bytes
) -> None:
    writer = await _open(peer)
    await writer.write(b"content")
    peer.ack(acked, durable=True, crc32c=crc32c(stored))
    peer.answers.put_nowait(None)
    with pytest.raises(PipelineBroken, match="sent 7 bytes") as broken:
        await writer.finish()
    assert isinstance(broken.value.__cause__, CorruptionError)
    assert broken.value.fields["failed_node_id"] == writer.chunk.targets[0].node_id


async def test_an_end_before_it_is_durable_breaks_it(peer: FakePeer) -> None:
    writer = await _open(peer)
    await writer.write(b"content")
    peer.ack(7)
    peer.answers.put_nowait(None)
    with pytest.raises(PipelineBroken) as broken:
        await writer.finish()
    assert broken.value.fields == {"failed_node_id": "c1", "acked_bytes": 7}


@pytest.mark.parametrize(
    ("told_in_ack", "error", "blamed"),
    [
        ("c3", PipelineBroken("c3 is gone", failed_node_id="c3"), "c3"),
        ("c2", Unavailable("connection lost"), "c2"),
        ("", PipelineBroken("c3 is gone", failed_node_id="c3"), "c3"),
        ("", DiskFull("no space"), "c1"),
        ("", Unavailable("connection lost"), "c1"),
        ("", StaleEpoch("epoch 5 is over", epoch=6), ""),
    ],
)
async def test_the_server_that_failed_is_the_one_that_was_named(
    peer: FakePeer, told_in_ack: str, error: Exception, blamed: str
) -> None:
    writer = await _open(peer)
    await writer.write(bytes(MIB))
    peer.ack(MIB // 2, failed_node_id=told_in_ack)
    peer.answers.put_nowait(error)
    with pytest.raises(PipelineBroken) as broken:
        await writer.finish()
    assert broken.value.fields == {"failed_node_id": blamed, "acked_bytes": MIB // 2}
    assert writer.failed_node_id == blamed
    with pytest.raises(PipelineBroken):
        await writer.write(b"more")


async def test_a_failing_send_waits_for_the_reason_that_is_under_way(peer: FakePeer) -> None:
    writer = await _open(peer)
    peer.refuses = Unavailable("the call has ended")
    peer.ack(0, failed_node_id="c3")
    peer.answers.put_nowait(PipelineBroken("c3 is gone", failed_node_id="c3"))
    with pytest.raises(PipelineBroken) as broken:
        await writer.write(bytes(3 * MIB + 5))
    assert broken.value.fields["failed_node_id"] == "c3"
    assert len(b"".join(writer.unacked())) == 3 * MIB + 5


async def test_servers_without_progress_have_failed(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_chunks, "STALL_MS", 30)
    monkeypatch.setattr(wire_chunks, "STALL_STEP_MS", 0)
    writer = await _open(peer)
    await writer.write(b"content")
    with pytest.raises(PipelineBroken, match="no progress"):
        await writer.finish()
    await writer.cancel()
    await writer.cancel()
    assert peer.cancelled == 2


@pytest.mark.parametrize(
    ("timeout_ms", "stall_ms"), [(None, 11_250), (60_000, 11_250), (8_000, 3_000)]
)
async def test_the_servers_have_less_time_than_the_caller(
    peer: FakePeer, timeout_ms: int | None, stall_ms: int
) -> None:
    await ChunkWriter.open(CHUNK, lambda node_id, listen: peer, timeout_ms)
    assert peer.opening.stall_ms == stall_ms


async def test_the_caller_waits_for_nobody_longer_than_it_may(peer: FakePeer) -> None:
    writer = await ChunkWriter.open(CHUNK, lambda node_id, listen: peer, 80)
    await writer.write(b"content")
    async with asyncio.timeout(5):
        with pytest.raises(PipelineBroken, match="no progress"):
            await writer.finish()


async def test_more_than_a_chunk_is_refused(peer: FakePeer) -> None:
    writer = await _open(peer)
    with pytest.raises(InvalidArgument, match="at most"):
        await writer.write(bytes(CHUNK_BYTES_MAX + 1))

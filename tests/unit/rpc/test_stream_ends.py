"""A stream's end that comes in its last Data frame, and a server that waits for just that one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode.errors import Cancelled
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.server import ServerStream
from tests.unit.rpc.harness import READ, WRITE, Wire

OPEN = dfs_pb2.WriteChunkPacket(open=dfs_pb2.WriteChunkOpen(chunk_id=42))


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_the_end_comes_with_the_last_message_in_both_directions(
    framed: Wire, size: int
) -> None:
    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        packet = await stream.receive_only()
        assert packet is not None
        assert await stream.receive() is None
        await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=len(packet)), end=True)

    client = framed.client(await framed.serve({WRITE: write}))
    for _ in range(3):
        stream = client.stream(WRITE, OPEN)
        await stream.send([b"x" * size], end=True)
        assert (await stream.receive()).acked_bytes == size
        assert await stream.receive() is None
        with pytest.raises(Cancelled):
            await stream.send(b"more")


async def test_what_is_not_the_only_message_is_left_for_receive(wire: Wire) -> None:
    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        if await stream.receive_only() is not None:
            raise AssertionError("more follows")
        while (packet := await stream.receive()) is not None:
            await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=len(packet)))

    client = wire.client(await wire.serve({WRITE: write}))
    for sizes in ((7, 8), (300_000, 7), ()):
        stream = client.stream(WRITE, OPEN)
        for size in sizes:
            await stream.send([b"x" * size])
        await stream.close_send()
        assert [(await stream.receive()).acked_bytes for _ in sizes] == list(sizes)
        assert await stream.receive() is None


async def test_a_wait_for_the_only_message_that_is_given_up_loses_nothing(framed: Wire) -> None:
    waiting = asyncio.Event()

    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        waiting.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stream.receive_only()
        await stream.send(dfs_pb2.WriteChunkAck())
        packet = await stream.receive_only()
        assert packet is not None
        await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=len(packet)))

    client = framed.client(await framed.serve({WRITE: write}))
    stream = client.stream(WRITE, OPEN)
    await stream.receive()
    await stream.send(b"x" * 7, end=True)
    assert (await stream.receive()).acked_bytes == 7


async def test_a_reader_of_all_bytes_has_the_end_with_them(framed: Wire) -> None:
    async def read(request: Any, context: CallContext, stream: ServerStream) -> None:
        await stream.send(b"one")
        await stream.send(b"two", end=True)

    client = framed.client(await framed.serve({READ: read}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    assert [bytes(await stream.receive()) for _ in range(2)] == [b"one", b"two"]
    (connection,) = framed.server.connections
    assert not connection.calls, "no cancellation is needed"
    assert await stream.receive() is None

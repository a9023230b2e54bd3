"""TLS of the gRPC listener is ours: who comes by another way is nobody, whoever leaves is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from pydfsnode.errors import ConfigError, PydfsError
from pydfsnode.rpc import grpc_connection
from pydfsnode.rpc.pb import dfs_pb2
from tests.unit.rpc.harness import PING, READ, Wire, World, counter, opened, until


@pytest.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    async for made in opened(Wire("grpc", world)):
        yield made


async def ping(request: Any, _call: Any) -> Any:
    return dfs_pb2.PingResponse(payload=request.payload)


async def test_who_reaches_the_socket_inside_is_nobody(wire: Wire) -> None:
    await wire.serve({PING: ping})
    inner = Path(wire.server.inner_path)
    assert inner.parent.stat().st_mode & 0o777 == 0o700, "other users do not even reach it"
    async with grpc.aio.insecure_channel(f"unix:{inner}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(PING)(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    await wire.server.stop(0)
    assert not inner.parent.exists()


async def test_a_place_where_no_socket_can_be_is_named(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(ConfigError, match="TMPDIR"):
        await wire.serve({PING: ping})


async def test_revoking_ends_a_stream_that_is_open(wire: Wire) -> None:
    ended = asyncio.Event()

    async def wait(_request: Any, _call: Any, stream: Any) -> None:
        await stream.send(b"begun")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    stream = wire.client(await wire.serve({READ: wait})).stream(READ, dfs_pb2.ReadChunkRequest())
    assert await stream.receive() == b"begun"
    wire.server.tls.revoke([f"{wire.world.tls('alice').leaf.serial_number:x}"])
    async with asyncio.timeout(10):
        with pytest.raises(PydfsError):
            await stream.receive()
        await ended.wait()
    await until(lambda: not wire.server.connections and not wire.server.by_name)


async def test_refused_peers_are_told_so_many_at_once_and_leave(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydfsnode.rpc.grpc_server.TOLD_MAX", 1)
    address = await wire.serve({PING: ping})
    monkeypatch.setattr(grpc_connection, "TOLD_S", 3600.0)
    with pytest.raises(PydfsError, match="this cluster is 'testcluster'"):
        await wire.client(address, "mallory").unary(PING, dfs_pb2.PingRequest())
    before = counter("rpc_refused_peers_total", "cluster", "grpc")
    with pytest.raises(PydfsError) as caught:
        await wire.client(address, "mallory").unary(PING, dfs_pb2.PingRequest(), timeout_ms=2000)
    assert "testcluster" not in caught.value.message
    assert counter("rpc_refused_peers_total", "cluster", "grpc") > before
    (told,) = wire.server.by_name.values()
    told.close()
    await until(lambda: not wire.server.connections)
    monkeypatch.setattr(grpc_connection, "TOLD_S", 0.0)
    with pytest.raises(PydfsError):
        await wire.client(address, "mallory").unary(PING, dfs_pb2.PingRequest(), timeout_ms=2000)
    await until(lambda: not wire.server.connections)


class Said:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")

    def write(self, data: bytes) -> None:
        self.said.append(data)


async def test_an_end_that_does_not_take_stops_the_reading_of_the_other(wire: Wire) -> None:
    await wire.serve({PING: ping})
    outer = grpc_connection.GrpcConnection(wire.server, asyncio.get_running_loop())
    inner = outer.other
    outer.pause_writing()  # the other end is not there yet
    outer.resume_writing()
    outer.transport, inner.transport = Said(), Said()
    for half, other in ((outer, inner), (inner, outer)):
        half.pause_writing()
        half.resume_writing()
        for data in (b"abc", b"xyz"):  # both in one buffer, one after the other
            half.get_buffer(-1)[:3] = data
            half.buffer_updated(3)
        assert other.transport.said == ["pause", "resume", b"abc", b"xyz"]

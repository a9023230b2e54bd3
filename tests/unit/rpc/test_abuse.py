"""Who takes more room or time than a peer may have loses it, and others are served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import PydfsError
from pydfsnode.rpc.framed_connection import FramedConnection
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.telemetry import LINES_PER_S, Lines
from pydfsnode.runtime.clock import ManualClock
from tests.unit.rpc.foreign import REQUEST, Foreign, frame
from tests.unit.rpc.harness import PING, Wire, counter, until


async def ping(request: Any, _call: Any) -> Any:
    return dfs_pb2.PingResponse(payload=request.payload)


async def is_served(wire: Wire, address: str, name: str) -> bool:
    answer = await wire.client(address, name).unary(PING, dfs_pb2.PingRequest(payload=b"x"))
    return bool(answer.payload == b"x")


async def test_the_oldest_handshake_of_a_host_makes_room(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKES_PER_HOST_MAX", 2)
    address = await wire.serve({PING: ping})
    before = counter("rpc_refused_peers_total", "handshake", wire.transport)
    host, _, port = address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    async with asyncio.timeout(10):
        assert await silent[0][0].read() == b""
        assert await is_served(wire, address, "alice")
    assert counter("rpc_refused_peers_total", "handshake", wire.transport) >= before + 2
    for _, writer in silent:
        writer.transport.abort()


async def test_a_peer_has_so_many_connections_and_no_more(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_PER_PEER_MAX", 2)
    address = await wire.serve({PING: ping})
    before = counter("rpc_refused_peers_total", "too_many", wire.transport)
    files = wire.world.files["alice"]
    peers = [await Foreign.connect(address, files) for _ in range(2)]
    await until(lambda: len(wire.server.connections) == 2)
    told = "ended the connection" if wire.transport == "framed" else None
    with pytest.raises(PydfsError, match=told):
        await wire.client(address).unary(PING, dfs_pb2.PingRequest(), timeout_ms=2000)
    assert counter("rpc_refused_peers_total", "too_many", wire.transport) > before
    assert await is_served(wire, address, "root"), "others have their own"
    await peers[0].close()
    await until(lambda: wire.server._of_peer[wire.world.tls("alice").identity.uri] == 1)
    assert await is_served(wire, address, "alice")
    await peers[1].close()


async def test_a_frame_that_never_ends_is_cut(
    framed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await framed.serve({PING: ping})
    slow = await Foreign.connect(address, framed.world.files["alice"])
    await slow.write(frame(1, REQUEST, 0, b"x" * 100)[:20])
    (connection,) = await _connections(framed)
    await until(lambda: connection.received_at > connection.opened_at)
    now = connection.loop.time()
    connection.housekeeping(now + limits.FRAME_MS_MAX / 1000 - 1)
    assert not connection.closed
    before = counter("rpc_protocol_errors_total", "frame")
    connection.housekeeping(now + limits.FRAME_MS_MAX / 1000 + 1)
    assert await slow.ended()
    assert counter("rpc_protocol_errors_total", "frame") == before + 1


async def _connections(wire: Wire) -> list[FramedConnection]:
    await until(lambda: wire.server.connections)
    return list(wire.server.connections)


def test_a_flood_is_not_one_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    lines = Lines(clock)
    for number in range(LINES_PER_S + 30):
        lines.warn("refused", number=number)
    clock.advance(1000)
    lines.warn("refused", number=-1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == LINES_PER_S + 1
    assert "not_logged_before=30" in said[-1]

"""A peer that resets the handshake leaves no socket object that owns a number of somebody else."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvloop

from pydfsnode.errors import PydfsError
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.pb import dfs_pb2
from tests.unit.rpc.harness import STAT, World

LINGER_0 = struct.pack("ii", 1, 0)
"""Closing resets the connection."""


def test_a_reset_handshake_gives_the_descriptor_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialed: list[socket.socket] = []
    dial = FramedChannel._dial

    async def noting(channel: FramedChannel) -> Any:
        connected, host = await dial(channel)
        dialed.append(connected)
        return connected, host

    monkeypatch.setattr(FramedChannel, "_dial", noting)

    async def call() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)

            async def reset_all() -> None:
                while True:
                    accepted, _ = await loop.sock_accept(listener)
                    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                    accepted.close()

            resetting = loop.create_task(reset_all())
            host, port = listener.getsockname()
            channel = FramedChannel(f"{host}:{port}", world.tls("alice"), "master")
            with pytest.raises(PydfsError):
                await channel.unary(STAT, dfs_pb2.StatRequest(path="/"), timeout_ms=2000)
            await channel.close()
            resetting.cancel()

    uvloop.run(call())
    assert dialed
    assert {connected.fileno() for connected in dialed} == {-1}

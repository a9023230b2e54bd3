"""Raft.InstallSnapshot over real certificates: who may send, what is on the wire, what breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode.errors import MalformedMessage, PeerUnauthenticated, PermissionDenied, Unavailable
from pydfsnode.raft.effects import SnapshotWanted
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.snapshot_stream import PATH, FramedSnapshotDial, SnapshotService
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.runtime.snapshot_send import SendingParts, SnapshotTransfers
from pydfsnode.runtime.supervisor import Supervisor
from tests.unit.rpc.harness import Wire
from tests.unit.runtime.snapshot_fakes import FOLLOWER, LEADER, Follower, Leader, View, state_rows

ROWS = state_rows(1_500, 4_000)
HEADER = SnapshotHeader(3, LEADER, 7, 100, 2, b"conf")


async def serve(wire: Wire, follower: Follower) -> str:
    handlers = SnapshotService(follower.receiver).handlers()
    return await wire.serve(handlers, "m2")


def dial(wire: Wire, address: str, name: str = "m1") -> FramedSnapshotDial:
    known = {FOLLOWER: address, "m3#0000000c": address}
    return FramedSnapshotDial(wire.world.tls(name), lambda member: known.get(member, ""))


async def send_all(dialer: FramedSnapshotDial) -> Leader:
    leader = Leader()
    parts = SendingParts(
        lambda: View(ROWS), dialer, SystemClock(), 1 << 40, lambda: 0.0, lambda _: asyncio.sleep(0)
    )
    transfers = SnapshotTransfers(parts, Supervisor())
    transfers.bind(leader)
    transfers.start(SnapshotWanted(FOLLOWER, 7))
    async with asyncio.timeout(30):
        await leader.ended.wait()
    return leader


async def test_a_snapshot_of_many_frames_arrives(framed: Wire) -> None:
    follower = Follower()
    leader = await send_all(dial(framed, await serve(framed, follower)))
    assert leader.finished == [(FOLLOWER, 7, True)]
    assert follower.stage is not None
    assert follower.stage.rows == ROWS
    assert follower.installed == [HEADER]


async def test_a_lost_connection_is_dialled_again(framed: Wire) -> None:
    follower = Follower()
    address = await serve(framed, follower)
    sending = asyncio.ensure_future(send_all(dial(framed, address)))
    async with asyncio.timeout(30):
        while follower.stage is None or not follower.stage.rows:
            await asyncio.sleep(0)
    for connection in framed.server.connections:
        connection.abort()
    assert (await sending).finished == [(FOLLOWER, 7, True)]
    assert follower.stage.rows == ROWS


async def test_nobody_speaks_in_anothers_name(framed: Wire) -> None:
    follower = Follower()
    dialer = dial(framed, await serve(framed, follower), "m3")
    with pytest.raises(PermissionDenied):
        async with dialer(FOLLOWER, HEADER) as stream:
            await stream.receive()
    assert follower.stage is None


async def test_only_the_member_that_was_meant_is_sent_to(framed: Wire) -> None:
    dialer = dial(framed, await serve(framed, Follower()))
    with pytest.raises(PeerUnauthenticated):
        async with dialer("m3#0000000c", HEADER):
            raise AssertionError("connected")
    with pytest.raises(Unavailable, match="address"):
        async with dialer("m4", HEADER):
            raise AssertionError("connected")


def opening(**changed: Any) -> dfs_pb2.SnapshotPacket:
    fields: dict[str, Any] = {
        "term": 3, "sender": LEADER, "stream": 7, "index": 100, "index_term": 2,
        "configuration": b"c", **changed,
    }  # fmt: skip
    return dfs_pb2.SnapshotPacket(open=dfs_pb2.SnapshotOpen(**fields))


@pytest.mark.parametrize(
    "first",
    [
        dfs_pb2.SnapshotPacket(),
        dfs_pb2.SnapshotPacket(frame=dfs_pb2.SnapshotFrame(last=True)),
        opening(index=0),
        opening(sender=""),
        opening(term=2**64 - 1),
        opening(configuration=bytes(100_000)),
    ],
    ids=["nothing", "a frame", "no index", "no sender", "a huge term", "a huge configuration"],
)
async def test_an_opening_that_cannot_be_is_refused(wire: Wire, first: Any) -> None:
    client = wire.client(await serve(wire, Follower()), "m1", "master")
    with pytest.raises(MalformedMessage):
        await client.stream(PATH, first).receive()


async def test_a_packet_without_a_frame_is_refused(wire: Wire) -> None:
    client = wire.client(await serve(wire, Follower()), "m1", "master")
    stream = client.stream(PATH, opening())
    assert await stream.receive() == dfs_pb2.SnapshotReply(wanted=True)
    await stream.send(dfs_pb2.SnapshotPacket())
    with pytest.raises(MalformedMessage):
        await stream.receive()

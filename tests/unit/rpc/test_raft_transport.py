"""Raft messages between masters: in order, never waited for, never in another's name."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import MalformedMessage, PermissionDenied
from pydfsnode.raft.messages import Append, HeartbeatAck, Message, VoteGrant, encode_message
from pydfsnode.rpc import raft_transport
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.raft_transport import PATH, Greeting, RaftTransport, parse_messages
from tests.unit.rpc.harness import Wire, World, counter, until


def heartbeat(number: int, sender: str = "m1") -> HeartbeatAck:
    return HeartbeatAck(7, sender, 1, number)


def append(number: int, size: int = 100, sender: str = "m1") -> Append:
    return Append(7, sender, 1, number, 7, 0, 0, 1, b"e" * size)


class Master:
    """A transport and the server that hands it what arrives."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.received: list[Message] = []
        self._world = world
        self.server: FramedServer | None = None
        self.transport = RaftTransport(name, {}, world.tls(name), self.received.append)

    async def listen(self, peers: dict[str, str], address: str = "127.0.0.1:0") -> str:
        self.transport = RaftTransport(
            self.name, peers, self._world.tls(self.name), self.received.append
        )
        self.server = FramedServer(
            {PATH: self.transport.handler}, self._world.tls(self.name), "master"
        )
        address = await self.server.start(address)
        await self.transport.start()
        return address

    async def stop(self) -> None:
        await self.transport.stop()
        if self.server is not None:
            await self.server.stop(0)


@pytest.fixture
async def pair(world: World) -> AsyncIterator[tuple[Master, Master]]:
    """m1 sends to m2."""
    first, second = Master(world, "m1"), Master(world, "m2")
    address = await second.listen({"m1": "127.0.0.1:1"})
    await first.listen({"m2": address})
    yield first, second
    await first.stop()
    await second.stop()


async def connected(master: Master) -> None:
    await until(lambda: all(lane._connected for lane in master.transport._lanes.values()))


async def test_messages_arrive_whole_and_in_order(pair: tuple[Master, Master]) -> None:
    first, second = pair
    await connected(first)
    sent = [append(n, size=n * 100) for n in range(1, 300)]
    for message in sent:
        first.transport.send("m2", message)
    await until(lambda: len(second.received) == len(sent))
    assert second.received == sent


async def test_messages_of_one_turn_share_a_frame(
    pair: tuple[Master, Master], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    await connected(first)
    frames: list[int] = []
    parse = parse_messages

    def counting(payload: Any) -> Any:
        frames.append(len(payload))
        return parse(payload)

    monkeypatch.setattr(raft_transport, "parse_messages", counting)
    for number in range(100):
        first.transport.send("m2", heartbeat(number))
    await until(lambda: len(second.received) == 100)
    assert len([size for size in frames if size]) == 1  # an opening has none


async def test_the_largest_append_passes(pair: tuple[Master, Master]) -> None:
    first, second = pair
    await connected(first)
    large = append(1, size=limits.ENTRY_BYTES_MAX)
    for message in (append(0), large, append(2, size=limits.APPEND_BYTES_MAX), large):
        first.transport.send("m2", message)
    await until(lambda: len(second.received) == 4)
    assert second.received[1] == large


async def test_urgent_messages_do_not_queue_behind_bulk(pair: tuple[Master, Master]) -> None:
    first, second = pair
    await connected(first)
    for number in range(30):
        first.transport.send("m2", append(number, size=limits.APPEND_BYTES_MAX))
    first.transport.send("m2", heartbeat(1))
    await until(lambda: heartbeat(1) in second.received)
    assert len(second.received) < 31


async def test_a_peer_that_does_not_read_never_blocks_the_sender(
    framed: Wire, world: World
) -> None:
    async def deaf(first: Any, context: Any, stream: Any) -> None:
        await asyncio.Event().wait()

    address = await framed.serve({PATH: deaf}, "m2")
    sender = RaftTransport("m1", {"m2": address}, world.tls("m1"), lambda message: None)
    await sender.start()
    master = Master(world, "m1")
    master.transport = sender
    await connected(master)
    before = counter("raft_messages_dropped_total", "bulk")
    for number in range(100):
        sender.send("m2", append(number, size=limits.APPEND_BYTES_MAX))
    lane = sender._lanes["m2", "bulk"]
    assert lane._queued_bytes <= raft_transport.QUEUE_BYTES_MAX
    dropped = counter("raft_messages_dropped_total", "bulk") - before
    assert dropped == 100 - raft_transport.QUEUE_BYTES_MAX // limits.APPEND_BYTES_MAX
    for number in range(limits.RAFT_QUEUE_MESSAGES_MAX + 10):
        sender.send("m2", append(number, size=1))
    assert len(lane._queue) <= limits.RAFT_QUEUE_MESSAGES_MAX
    await sender.stop()


async def test_nothing_is_kept_for_a_peer_that_is_away_but_the_newest_votes(world: World) -> None:
    sender = RaftTransport("m1", {"m2": "127.0.0.1:1"}, world.tls("m1"), lambda message: None)
    before = counter("raft_messages_dropped_total", "bulk")
    for number in range(200):
        sender.send("m2", append(number))
        sender.send("m2", heartbeat(number))
    assert counter("raft_messages_dropped_total", "bulk") == before + 200
    kept = [m.read_round for m in sender._lanes["m2", "urgent"]._queue]  # type: ignore[union-attr]
    assert kept == list(range(200 - raft_transport.DISCONNECTED_MESSAGES_MAX, 200))
    sender.send("nobody", heartbeat(1))
    await sender.stop()


async def test_a_stream_is_opened_again_when_the_peer_comes_back(
    pair: tuple[Master, Master], world: World
) -> None:
    first, second = pair
    await connected(first)
    first.transport.send("m2", heartbeat(1))
    await until(lambda: second.received == [heartbeat(1)])
    assert second.server is not None
    address = first.transport._peers["m2"]
    await second.stop()
    await until(lambda: not any(lane._connected for lane in first.transport._lanes.values()))
    first.transport.send("m2", append(1))  # dropped, and nothing waits
    await second.listen({"m1": "127.0.0.1:1"}, address)
    await connected(first)
    second.received.clear()
    first.transport.send("m2", heartbeat(2))
    first.transport.send("m2", append(2))
    await until(lambda: len(second.received) == 2)
    assert append(2) in second.received


async def test_a_message_in_anothers_name_is_refused_and_delivered_to_nobody(
    pair: tuple[Master, Master], framed: Wire
) -> None:
    _, second = pair
    assert second.server is not None
    address = f"127.0.0.1:{second.server._listeners[0].getsockname()[1]}"
    stream = framed.client(address, "m1", role="master").stream(PATH, dfs_pb2.RaftPacket())
    good, forged = encode_message(heartbeat(1)), encode_message(VoteGrant(9, "m3"))
    await stream.send(b"".join(struct.pack("<I", len(m)) + m for m in (good, forged)))
    with pytest.raises(PermissionDenied, match="m3"):
        await stream.receive()
    assert second.received == [heartbeat(1)]


def address_of(master: Master) -> str:
    assert master.server is not None
    return f"127.0.0.1:{master.server._listeners[0].getsockname()[1]}"


async def test_every_master_of_the_cluster_is_heard_member_or_not(
    pair: tuple[Master, Master], framed: Wire
) -> None:
    _, second = pair
    stream = framed.client(address_of(second), "m3", role="master").stream(
        PATH, dfs_pb2.RaftPacket()
    )
    encoded = encode_message(heartbeat(1, "m3#0000000a"))
    await stream.send(struct.pack("<I", len(encoded)) + encoded)
    await until(lambda: second.received == [heartbeat(1, "m3#0000000a")])


async def test_a_new_member_answers_a_leader_that_only_its_greeting_told_of(world: World) -> None:
    learner, leader = Master(world, "m2"), Master(world, "m1")
    address = await learner.listen({})
    learner.transport.send("m1", heartbeat(1, "m2"))  # nobody knows where that is: dropped
    leader_address = await leader.listen({})
    greeted = RaftTransport("m1", {"m2": address}, world.tls("m1"), print, leader_address)
    await greeted.start()
    greeted.send("m2", heartbeat(2))
    await until(lambda: bool(learner.received))
    assert learner.transport.address_of("m1") == leader_address
    learner.transport.send("m1", heartbeat(3, "m2"))
    await until(lambda: leader.received == [heartbeat(3, "m2")])
    for transport in (greeted, learner.transport):
        await transport.stop()
    await learner.stop()
    await leader.stop()


async def test_what_is_meant_for_the_member_that_was_here_before_is_refused(
    pair: tuple[Master, Master], framed: Wire
) -> None:
    _, second = pair  # trap E6: the disk is new, so it is another member
    greeting = Greeting("m1", "127.0.0.1:9", "m2#0000000a")
    packet = dfs_pb2.RaftPacket(data=greeting.encode())
    stream = framed.client(address_of(second), "m1", role="master").stream(PATH, packet)
    with pytest.raises(PermissionDenied, match="this master is m2, not m2#0000000a"):
        await stream.receive()


async def test_a_greeting_in_anothers_name_is_refused(
    pair: tuple[Master, Master], framed: Wire
) -> None:
    _, second = pair
    packet = dfs_pb2.RaftPacket(data=Greeting("m3", "127.0.0.1:9", "m2").encode())
    stream = framed.client(address_of(second), "m1", role="master").stream(PATH, packet)
    with pytest.raises(PermissionDenied, match="m3"):
        await stream.receive()
    assert second.transport.address_of("m3") == ""


async def test_a_peer_that_knows_no_greetings_is_sent_messages_at_once(
    framed: Wire, world: World
) -> None:
    received: list[Message] = []

    async def older(first: Any, context: Any, stream: Any) -> None:
        payload = first.data
        while payload is not None:
            received.extend(parse_messages(payload))
            payload = await stream.receive()

    address = await framed.serve({PATH: older}, "m2")
    sender = RaftTransport("m1", {"m2": address}, world.tls("m1"), lambda message: None)
    await sender.start()
    lane = sender._lanes["m2", "urgent"]
    await until(lambda: lane._connected and not lane._greets)
    sender.send("m2", heartbeat(1))
    await until(lambda: received == [heartbeat(1)])
    await sender.stop()


async def test_a_greeting_is_never_taken_for_messages_nor_messages_for_one() -> None:
    with pytest.raises(MalformedMessage):
        list(parse_messages(Greeting("m1", "h:1", "m2").encode()))
    encoded = encode_message(heartbeat(1))
    assert Greeting.decode(struct.pack("<I", len(encoded)) + encoded) is None
    assert Greeting.decode(b"") is None
    with pytest.raises(MalformedMessage):
        Greeting.decode(raft_transport._GREETING_MAGIC + b"\xc1")


async def test_members_come_move_and_go_while_the_node_runs(
    pair: tuple[Master, Master], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_transport, "REMOVED_GRACE_MS", 0)
    first, second = pair
    await connected(first)
    third = Master(world, "m3")
    address = await third.listen({"m1": "127.0.0.1:1"})
    first.transport.set_members({"m2": address_of(second), "m3": "127.0.0.1:1"})
    first.transport.set_members({"m2": address_of(second), "m3": address})  # moved
    await connected(first)
    first.transport.send("m3", heartbeat(1))
    await until(lambda: third.received == [heartbeat(1)])
    first.transport.set_members({"m3": address})
    await until(lambda: {member for member, _ in first.transport._lanes} == {"m3"})
    first.transport.send("m2", heartbeat(2))
    await third.stop()
    assert second.received == []


async def test_a_member_that_is_back_within_the_grace_keeps_its_lanes(
    pair: tuple[Master, Master],
) -> None:
    first, second = pair
    await connected(first)
    lanes = dict(first.transport._lanes)
    first.transport.set_members({})
    first.transport.set_members({"m2": address_of(second)})
    assert not first.transport._retiring
    assert first.transport._lanes == lanes


@pytest.mark.parametrize(
    "payload",
    [b"\x01", b"\x05\x00\x00\x00ab", struct.pack("<I", 2) + b"\xc1\xc1", b"\xff" * 40],
    ids=["half a size", "cut", "no message", "garbage"],
)
async def test_a_frame_that_holds_no_messages_ends_the_stream(
    pair: tuple[Master, Master], framed: Wire, payload: bytes
) -> None:
    _, second = pair
    assert second.server is not None
    address = f"127.0.0.1:{second.server._listeners[0].getsockname()[1]}"
    stream = framed.client(address, "m1", role="master").stream(PATH, dfs_pb2.RaftPacket())
    await stream.send(payload)
    with pytest.raises(MalformedMessage):
        await stream.receive()
    assert second.received == []


async def test_stop_ends_tasks_and_connections(pair: tuple[Master, Master]) -> None:
    first, second = pair
    await connected(first)
    assert second.server is not None
    await first.transport.stop()
    await until(lambda: second.server is not None and not second.server.connections)
    with contextlib.suppress(Exception):
        first.transport.send("m2", heartbeat(1))
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("raft m2")]

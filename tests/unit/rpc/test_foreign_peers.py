"""Peers that share no code with us: plain ttrpc frames by `struct`, plain generated gRPC stubs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from pydfsnode import limits
from pydfsnode.errors import NotFound
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2, dfs_pb2_grpc
from pydfsnode.rpc.server import ServerStream
from tests.unit.rpc.foreign import (
    DATA,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    Foreign,
    field,
    fields,
    frame,
    payload_of,
    request,
    status_of,
)  # fmt: skip
from tests.unit.rpc.harness import PING, READ, STAT, WRITE, Wire, World, until

NODE, NAMESPACE, CHUNK = "pydfs.v1.Node", "pydfs.v1.Namespace", "pydfs.v1.Chunk"


async def echo(message: Any, context: CallContext) -> Any:
    return dfs_pb2.PingResponse(payload=message.payload, node_id=context.identity.name)


async def missing(message: Any, context: CallContext) -> Any:
    raise NotFound(f"{message.path}: no such file")


async def read(message: Any, context: CallContext, stream: ServerStream) -> None:
    for number in range(message.length):
        await stream.send([bytes([number % 256]) * 16, b"x" * limits.PACKET_BYTES])


async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
    total = 0
    while (packet := await stream.receive()) is not None:
        total += len(packet)
    await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=total, durable=True))


@pytest.fixture
async def foreign(framed: Wire, world: World) -> AsyncIterator[Foreign]:
    address = await framed.serve({PING: echo, READ: read, WRITE: write})
    peer = await Foreign.connect(address, world.files["alice"])
    yield peer
    await peer.close()


async def test_a_unary_call_by_hand_written_frames(foreign: Foreign) -> None:
    # field 1 of PingRequest is `payload`; the answer's field 1 too, field 2 is `node_id`
    message = field(1, b"hello")
    await foreign.write(frame(1, REQUEST, 0, request(NODE, "Ping", message, 5_000_000_000)))
    stream_id, kind, flags, payload = await foreign.read()
    assert (stream_id, kind, flags) == (1, RESPONSE, 0)
    assert status_of(payload) == (0, "")
    assert fields(payload_of(payload)) == {1: [b"hello"], 2: [b"alice"]}


async def test_a_failed_call_by_hand_written_frames(framed: Wire, world: World) -> None:
    peer = await Foreign.connect(await framed.serve({STAT: missing}, "m1"), world.files["alice"])
    await peer.write(
        frame(1, REQUEST, 0, request(NAMESPACE, "Stat", field(1, b"/x"))),
        frame(3, REQUEST, 0, request("no.such.Service", "Nothing")),
        frame(5, REQUEST, 0, request(NAMESPACE, "Stat", b"\xff\xff\xff")),
    )
    answers = {}
    for _ in range(3):
        stream_id, kind, _, payload = await peer.read()
        assert kind == RESPONSE
        answers[stream_id] = status_of(payload)
    assert answers[1] == (5, "/x: no such file")  # NOT_FOUND
    assert answers[3][0] == 12  # UNIMPLEMENTED
    assert answers[5][0] == 3  # INVALID_ARGUMENT
    await peer.close()


async def test_a_server_stream_by_hand_written_frames(foreign: Foreign) -> None:
    # ReadChunkRequest.length is field 4, a varint; more bytes than any window of ours
    packets = 2 * limits.STREAM_WINDOW_BYTES // limits.PACKET_BYTES
    message = bytes([4 << 3, packets])
    await foreign.write(frame(1, REQUEST, REMOTE_CLOSED, request(CHUNK, "ReadChunk", message)))
    for number in range(packets):
        stream_id, kind, flags, payload = await foreign.read()
        assert (stream_id, kind, flags) == (1, DATA, 0)
        assert payload[:16] == bytes([number]) * 16
        assert len(payload) == 16 + limits.PACKET_BYTES
    assert await foreign.read() == (1, DATA, REMOTE_CLOSED | NO_DATA, b"")


async def test_a_bidirectional_call_by_hand_written_frames(foreign: Foreign) -> None:
    opening = field(1, bytes([1 << 3, 7]))  # WriteChunkPacket.open {chunk_id: 7}
    packets = 2 * limits.STREAM_WINDOW_BYTES // limits.PACKET_BYTES
    await foreign.write(frame(1, REQUEST, REMOTE_OPEN, request(CHUNK, "WriteChunk", opening)))
    for _ in range(packets):
        await foreign.write(frame(1, DATA, 0, b"d" * limits.PACKET_BYTES))
    await foreign.write(frame(1, DATA, REMOTE_CLOSED | NO_DATA))
    stream_id, kind, flags, payload = await foreign.read()
    assert (stream_id, kind, flags) == (1, DATA, 0)
    assert fields(payload)[1] == [packets * limits.PACKET_BYTES]
    assert await foreign.read() == (1, DATA, REMOTE_CLOSED | NO_DATA, b"")


async def test_the_last_data_may_close_the_senders_side(foreign: Foreign) -> None:
    opening = field(1, bytes([1 << 3, 7]))
    await foreign.write(
        frame(1, REQUEST, REMOTE_OPEN, request(CHUNK, "WriteChunk", opening)),
        frame(1, DATA, 0, b""),  # an empty message, not "nothing"
        frame(1, DATA, REMOTE_CLOSED, b"12345"),
    )
    _, _, _, payload = await foreign.read()
    assert fields(payload)[1] == [5]


async def test_no_control_frame_reaches_a_peer_that_did_not_announce_them(foreign: Foreign) -> None:
    await foreign.write(
        frame(1, REQUEST, REMOTE_OPEN, request(CHUNK, "WriteChunk", field(1, b""))),
        *(frame(1, DATA, 0, b"d" * limits.MIB) for _ in range(16)),
        frame(1, DATA, REMOTE_CLOSED | NO_DATA),
        frame(3, REQUEST, 0, request(NODE, "Ping")),
    )
    seen = [await foreign.read() for _ in range(3)]
    assert sorted(stream_id for stream_id, *_ in seen) == [1, 1, 3]


async def test_a_foreign_writer_is_held_back_while_the_consumer_is_behind(
    framed: Wire, world: World
) -> None:
    go_on = asyncio.Event()
    taken: list[int] = []

    async def lazy(first: Any, context: CallContext, stream: ServerStream) -> None:
        await go_on.wait()
        while (packet := await stream.receive()) is not None:
            taken.append(len(packet))

    peer = await Foreign.connect(await framed.serve({WRITE: lazy}), world.files["alice"])
    opening = frame(1, REQUEST, REMOTE_OPEN, request(CHUNK, "WriteChunk", field(1, b"")))
    await peer.write(opening)
    packets = 40

    async def write_all() -> None:
        for _ in range(packets):
            await peer.write(frame(1, DATA, 0, b"d" * limits.MIB))

    writing = asyncio.ensure_future(write_all())
    await until(lambda: framed.server.connections)
    (connection,) = framed.server.connections
    await until(lambda: not connection._reading)
    assert not writing.done()
    assert connection.queued_bytes <= limits.STREAM_WINDOW_BYTES + limits.FRAME_BYTES_MAX
    go_on.set()
    await writing
    await peer.write(frame(1, DATA, REMOTE_CLOSED | NO_DATA))
    assert await peer.read() == (1, DATA, REMOTE_CLOSED | NO_DATA, b"")
    assert taken == [limits.MIB] * packets
    assert connection.queued_bytes == 0
    await peer.close()


async def test_a_foreign_reader_that_stops_bounds_what_we_queue(framed: Wire, world: World) -> None:
    sent: list[int] = []

    async def endless(message: Any, context: CallContext, stream: ServerStream) -> None:
        while True:
            await stream.send(b"x" * limits.MIB)
            sent.append(limits.MIB)

    peer = await Foreign.connect(await framed.serve({READ: endless}), world.files["alice"])
    await peer.write(frame(1, REQUEST, REMOTE_CLOSED, request(CHUNK, "ReadChunk")))
    await until(lambda: framed.server.connections)
    (connection,) = framed.server.connections
    await until(lambda: connection.write_paused)
    queued = connection.writer.unsent_bytes
    assert queued <= limits.WRITE_BUFFER_BYTES_HIGH + 2 * limits.MIB
    before = sum(sent)
    for _ in range(10):
        await peer.read()
    await until(lambda: sum(sent) > before)
    await peer.close()


class ForeignServer:
    """A ttrpc server of another make: no hello, no credit, no cancellation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.data_bytes = 0
        self.strange: list[int] = []

    async def start(self) -> str:
        files = self._world.files["cs1"]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert, files.key)
        context.load_verify_locations(files.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Foreign(reader, writer)
        with_streams: set[int] = set()
        try:
            while True:
                stream_id, kind, flags, payload = await peer.read()
                if stream_id == 0:
                    self.strange.append(kind)
                elif kind == REQUEST and flags & REMOTE_OPEN:
                    with_streams.add(stream_id)
                elif kind == REQUEST:
                    body = fields(payload)[3][0] if 3 in fields(payload) else b""
                    assert isinstance(body, bytes)
                    await peer.write(frame(stream_id, RESPONSE, 0, field(2, body)))
                elif kind == DATA:
                    self.data_bytes += len(payload)
                    if flags & REMOTE_CLOSED:
                        ack = bytes([2 << 3, 1])  # WriteChunkAck.durable
                        await peer.write(
                            frame(stream_id, DATA, 0, ack),
                            frame(stream_id, DATA, REMOTE_CLOSED | NO_DATA),
                        )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def stop(self) -> None:
        self._server.close()


async def test_our_client_completes_calls_to_a_server_that_knows_only_ttrpc(world: World) -> None:
    server = ForeignServer(world)
    channel = FramedChannel(await server.start(), world.tls("alice"), "chunkserver")
    stream = channel.stream(WRITE, dfs_pb2.WriteChunkPacket())
    packets = 3 * limits.STREAM_WINDOW_BYTES // limits.MIB  # silent meanwhile: no credit ever comes
    async with asyncio.timeout(20):
        for _ in range(packets):
            await stream.send(b"d" * limits.MIB)
        await stream.close_send()
        assert (await stream.receive()).durable
        assert await stream.receive() is None
        answer = await channel.unary(PING, dfs_pb2.PingRequest(payload=b"hi"))
    assert answer.payload == b"hi"
    assert server.data_bytes == packets * limits.MIB
    assert server.strange == []
    await channel.close()
    await server.stop()


async def test_plain_generated_stubs_reach_the_grpc_port(world: World) -> None:
    wire = Wire("grpc", world)
    address = await wire.serve({PING: echo, READ: read, WRITE: write})
    files = world.files["alice"]
    credentials = grpc.ssl_channel_credentials(
        *(Path(path).read_bytes() for path in (files.ca, files.key, files.cert))
    )
    async with grpc.aio.secure_channel(address, credentials) as channel:
        node: Any = dfs_pb2_grpc.NodeStub(channel)
        answer = await node.Ping(dfs_pb2.PingRequest(payload=b"hello"))
        assert (answer.payload, answer.node_id) == (b"hello", "alice")
        chunk: Any = dfs_pb2_grpc.ChunkStub(channel)
        packets = [p async for p in chunk.ReadChunk(dfs_pb2.ReadChunkRequest(length=3))]
        assert [len(p.data) for p in packets] == [16 + limits.PACKET_BYTES] * 3
        sent = [dfs_pb2.WriteChunkPacket(open={"chunk_id": 7})]
        sent += [dfs_pb2.WriteChunkPacket(data=b"x" * 1000) for _ in range(5)]
        acks = [a async for a in chunk.WriteChunk(iter(sent))]
        assert [(a.acked_bytes, a.durable) for a in acks] == [(5000, True)]
        namespace: Any = dfs_pb2_grpc.NamespaceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await namespace.Stat(dfs_pb2.StatRequest(path="/x"))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await wire.close()


async def test_the_leader_hint_is_readable_by_any_grpc_client(world: World) -> None:
    from pydfsnode.errors import NotLeader

    async def elsewhere(message: Any, context: CallContext) -> Any:
        raise NotLeader("m1 does not lead", leader_hint="m2=10.0.0.2:7001")

    wire = Wire("grpc", world)
    address = await wire.serve({STAT: elsewhere}, "m1")
    credentials = world.tls("alice").grpc_channel_credentials()
    async with grpc.aio.secure_channel(address, credentials) as channel:
        namespace: Any = dfs_pb2_grpc.NamespaceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await namespace.Stat(dfs_pb2.StatRequest(path="/x"))
    trailing = dict(raised.value.trailing_metadata() or ())
    assert trailing["leader-hint"] == "m2=10.0.0.2:7001"
    sent = dfs_pb2.ErrorInfo.FromString(trailing["pydfs-error-bin"])
    assert (sent.code, sent.leader_hint) == (NotLeader.code, "m2=10.0.0.2:7001")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await wire.close()

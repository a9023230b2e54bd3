"""Whatever a peer sends, at most its own connection ends: counted, logged, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import OutcomeUnknown, Unavailable
from pydfsnode.rpc import framed_connection
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2
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
from tests.unit.rpc.harness import PING, READ, STAT, WRITE, Wire, World, counter, until

NODE, CHUNK = "pydfs.v1.Node", "pydfs.v1.Chunk"
FLOW = {"pydfs-flow": "1"}
CREDIT = 1


def control(kind: int, stream_id: int, value: int) -> bytes:
    return frame(0, DATA, 0, struct.pack(">BII", kind, stream_id, value))


def ping(stream_id: int, payload: bytes = b"") -> bytes:
    return frame(stream_id, REQUEST, 0, request(NODE, "Ping", field(1, payload)))


def open_write(stream_id: int, metadata: dict[str, str] | None = None) -> bytes:
    body = request(CHUNK, "WriteChunk", field(1, b""), metadata=metadata)
    return frame(stream_id, REQUEST, REMOTE_OPEN, body)


def open_read(stream_id: int, metadata: dict[str, str] | None = None) -> bytes:
    body = request(CHUNK, "ReadChunk", b"", metadata=metadata)
    return frame(stream_id, REQUEST, REMOTE_CLOSED, body)


class Node:
    """A server whose handlers wait, and a well-behaved client on another connection."""

    def __init__(self, wire: Wire, address: str, good: FramedChannel) -> None:
        self.wire = wire
        self.address = address
        self.good = good

    async def check_others_go_on(self) -> None:
        answer = await self.good.unary(PING, dfs_pb2.PingRequest(payload=b"still"))
        assert answer.payload == b"still"


@pytest.fixture
async def node(framed: Wire) -> Node:
    async def echo(message: Any, context: CallContext) -> Any:
        if message.payload == b"wait":
            await asyncio.Event().wait()
        return dfs_pb2.PingResponse(payload=message.payload)

    async def wait(first: Any, context: CallContext, stream: ServerStream) -> None:
        await asyncio.Event().wait()

    address = await framed.serve({PING: echo, READ: wait, WRITE: wait})
    good = framed.client(address)
    await good.unary(PING, dfs_pb2.PingRequest())
    return Node(framed, address, good)


BROKEN = {
    "garbage": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a frame that is too long": frame(1, REQUEST, 0)[:0]
    + struct.pack(">IIBB", limits.FRAME_BYTES_MAX + 1, 1, REQUEST, 0),
    "an unknown frame type": frame(1, 9, 0),
    "an even stream id": ping(2),
    "a stream id that was used before": ping(1) + ping(1),
    "a stream id below an earlier one": ping(7) + ping(5),
    "a response from a client": frame(1, RESPONSE, 0),
    "a request that is no message": frame(1, REQUEST, 0, b"\xff\xff\xff\xff"),
    "a request with unknown flags": frame(1, REQUEST, 0x40, request(NODE, "Ping")),
    "data for a unary call": ping(1, b"wait") + frame(1, DATA, 0, b"x"),
    "data for a stream never opened": ping(1) + frame(3, DATA, 0, b"x"),
    "data after the end of data": open_write(1)
    + frame(1, DATA, REMOTE_CLOSED | NO_DATA)
    + frame(1, DATA, 0, b"x"),
    "data on a server stream": open_read(1) + frame(1, DATA, 0, b"x"),
    "bytes in a frame without data": open_write(1) + frame(1, DATA, NO_DATA, b"x"),
    "data with unknown flags": open_write(1) + frame(1, DATA, 0x80, b"x"),
    "a request on the control stream": frame(0, REQUEST, 0, request(NODE, "Ping")),
    "a cut control record": ping(1) + frame(0, DATA, 0, b"\x01\x00"),
    "credit beyond the window": open_read(1, FLOW) + control(CREDIT, 1, 1),
    "more data than the window": open_write(1, FLOW)
    + b"".join(frame(1, DATA, 0, b"x" * limits.MIB) for _ in range(9)),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_broken_input_ends_only_its_connection(node: Node, world: World, what: str) -> None:
    before = counter("rpc_protocol_errors_total", "frame")
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(BROKEN[what])
    assert await peer.ended()
    assert counter("rpc_protocol_errors_total", "frame") == before + 1
    await node.check_others_go_on()
    await peer.close()


@pytest.mark.parametrize("at", [1, 9, 10, 25])
async def test_a_cut_frame_is_a_broken_one(node: Node, world: World, at: int) -> None:
    before = counter("rpc_protocol_errors_total", "frame")
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(ping(1)[:at])
    peer.writer.close()
    await until(lambda: counter("rpc_protocol_errors_total", "frame") == before + 1)
    await node.check_others_go_on()


async def test_what_came_before_the_broken_frame_is_answered(node: Node, world: World) -> None:
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(ping(1, b"good"))
    _, kind, _, payload = await peer.read()
    await peer.write(frame(3, 9, 0))
    assert kind == RESPONSE
    assert fields(payload_of(payload))[1] == [b"good"]
    assert await peer.ended()


async def test_the_handlers_of_a_broken_connection_are_cancelled(
    framed: Wire, world: World
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(message: Any, context: CallContext) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    peer = await Foreign.connect(await framed.serve({PING: wait}), world.files["root"])
    await peer.write(ping(1))
    async with asyncio.timeout(10):
        await started.wait()
        await peer.write(b"\x00" * 10)
        await cancelled.wait()


async def test_data_in_flight_when_the_server_ended_the_call_is_dropped(
    framed: Wire, world: World
) -> None:
    async def refuse(first: Any, context: CallContext, stream: ServerStream) -> None:
        return

    peer = await Foreign.connect(await framed.serve({WRITE: refuse}), world.files["root"])
    before = counter("rpc_protocol_errors_total", "frame")
    await peer.write(open_write(1))
    assert await peer.read() == (1, DATA, REMOTE_CLOSED | NO_DATA, b"")
    await peer.write(frame(1, DATA, 0, b"late"), frame(1, DATA, REMOTE_CLOSED | NO_DATA))
    await peer.write(open_write(3))
    assert (await peer.read())[0] == 3
    assert counter("rpc_protocol_errors_total", "frame") == before
    await peer.write(frame(1, DATA, 0, b"after its end"))
    assert await peer.ended()
    assert counter("rpc_protocol_errors_total", "frame") == before + 1


async def test_a_message_that_is_none_fails_its_call_only(node: Node, world: World) -> None:
    before = counter("rpc_protocol_errors_total", "message")
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(frame(1, REQUEST, 0, request(NODE, "Ping", b"\xff\xff")), ping(3, b"next"))
    answers = {}
    for _ in range(2):
        stream_id, _, _, payload = await peer.read()
        answers[stream_id] = status_of(payload)
    assert answers[1][0] == 3  # INVALID_ARGUMENT
    assert answers[3] == (0, "")
    assert counter("rpc_protocol_errors_total", "message") == before + 1
    await peer.close()


async def test_a_request_over_the_methods_limit_fails_its_call_only(
    framed: Wire, world: World
) -> None:
    async def stat(message: Any, context: CallContext) -> Any:
        return dfs_pb2.StatResponse()

    peer = await Foreign.connect(await framed.serve({STAT: stat}, "m1"), world.files["root"])
    limit = METHODS[STAT].request_bytes_max
    for stream_id, size, code in ((1, limit + 1, 8), (3, limit, 0)):
        payload = field(1, b"x" * (size - 4))
        assert len(payload) == size
        await peer.write(
            frame(stream_id, REQUEST, 0, request("pydfs.v1.Namespace", "Stat", payload))
        )
        assert status_of((await peer.read())[3])[0] == code
    await peer.close()


async def test_a_call_in_the_wrong_shape_fails_alone(node: Node, world: World) -> None:
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(
        frame(1, REQUEST, REMOTE_OPEN, request(NODE, "Ping")),
        frame(3, REQUEST, 0, request(CHUNK, "ReadChunk")),
        frame(5, REQUEST, REMOTE_OPEN, request(CHUNK, "ReadChunk")),
        ping(7),
    )
    answers = [await peer.read() for _ in range(4)]
    assert {a[0]: status_of(a[3])[0] for a in answers} == {1: 3, 3: 3, 5: 3, 7: 0}
    await peer.close()


async def test_calls_beyond_the_limit_of_a_connection_are_told_to_come_later(
    node: Node, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAMS_PER_CONNECTION_MAX", 3)
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(*(ping(stream_id, b"wait") for stream_id in (1, 3, 5, 7)))
    stream_id, kind, _, payload = await peer.read()
    assert (stream_id, kind) == (7, RESPONSE)
    assert status_of(payload)[0] == 8  # RESOURCE_EXHAUSTED
    await node.check_others_go_on()
    await peer.close()


async def test_more_metadata_than_allowed_fails_the_call(node: Node, world: World) -> None:
    pairs = {f"key-{n}": "value" for n in range(limits.METADATA_PAIRS_MAX + 1)}
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(frame(1, REQUEST, 0, request(NODE, "Ping", metadata=pairs)), ping(3))
    answers = [await peer.read() for _ in range(2)]
    assert {a[0]: status_of(a[3])[0] for a in answers} == {1: 3, 3: 0}
    await peer.close()


async def test_connections_beyond_the_limit_are_not_accepted(
    node: Node, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_MAX", 1)
    before = counter("rpc_refused_peers_total", "too_many", "framed")
    with pytest.raises((OSError, ssl.SSLError)):
        await Foreign.connect(node.address, world.files["root"])
    assert counter("rpc_refused_peers_total", "too_many", "framed") == before + 1
    await node.check_others_go_on()


async def test_a_peer_without_a_certificate_is_refused_and_counted(
    node: Node, world: World
) -> None:
    before = counter("rpc_refused_peers_total", "handshake", "framed")
    peer = await Foreign.connect(node.address, None, ca=world.files["root"].ca)
    assert await peer.ended()
    await until(lambda: counter("rpc_refused_peers_total", "handshake", "framed") == before + 1)
    await node.check_others_go_on()


async def test_a_peer_of_a_foreign_ca_is_refused_and_counted(node: Node, world: World) -> None:
    before = counter("rpc_refused_peers_total", "handshake", "framed")
    eve = world.strange_files["eve"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(world.files["root"].ca)
    context.load_cert_chain(eve.cert, eve.key)
    host, _, port = node.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    assert await Foreign(reader, writer).ended()
    await until(lambda: counter("rpc_refused_peers_total", "handshake", "framed") == before + 1)
    await node.check_others_go_on()


async def test_a_peer_that_does_not_speak_tls_is_refused(node: Node) -> None:
    before = counter("rpc_refused_peers_total", "handshake", "framed")
    host, _, port = node.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(ping(1))
    async with asyncio.timeout(10):
        while await reader.read(1000):
            pass
    await until(lambda: counter("rpc_refused_peers_total", "handshake", "framed") == before + 1)
    await node.check_others_go_on()


async def test_a_peer_that_never_finishes_its_handshake_is_cut_off(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_MS_MAX", 50)
    labels = "rpc_refused_peers_total", "handshake", wire.transport
    before = counter(*labels)
    host, _, port = (await wire.serve({})).rpartition(":")
    reader, _writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(10):
        assert await reader.read(1) == b""
    await until(lambda: counter(*labels) == before + 1)


async def test_a_flood_of_small_calls_is_answered_in_full_and_in_turns(
    node: Node, world: World
) -> None:
    peer = await Foreign.connect(node.address, world.files["root"])
    ids = range(1, 2 * 5000, 2)
    backlogs: list[int] = []
    paused = False

    async def flood() -> None:
        await peer.write(*(ping(stream_id, b"%d" % stream_id) for stream_id in ids))

    flooding = asyncio.ensure_future(flood())
    answered = []
    for _ in ids:
        stream_id, _, _, payload = await peer.read()
        answered.append(stream_id)
        assert fields(payload_of(payload))[1] == [b"%d" % stream_id]
        backlogs += [len(c._backlog) for c in node.wire.server.connections]
        paused = paused or any(not c._reading for c in node.wire.server.connections)
    await flooding
    assert answered == list(ids)
    assert max(backlogs) > 0
    assert paused
    # What one read may bring beyond the bound: 256 KiB of frames of at least 40 bytes.
    assert max(backlogs) <= framed_connection.BACKLOG_FRAMES_MAX + 256 * limits.KIB // 40
    await peer.close()


async def test_a_peer_that_does_not_take_its_answers_is_not_listened_to(
    node: Node, world: World
) -> None:
    peer = await Foreign.connect(node.address, world.files["root"])
    await peer.write(ping(1))
    await peer.read()
    payload = b"x" * (100 * limits.KIB)

    async def ask_forever() -> None:
        stream_id = 3
        while True:
            await peer.write(ping(stream_id, payload))
            await asyncio.sleep(0)  # else the loop turns only when the transport is full
            stream_id += 2

    asking = asyncio.ensure_future(ask_forever())
    served = next(c for c in node.wire.server.connections if c.identity.name == "root")
    await until(lambda: served.write_paused and not served._reading)
    await node.check_others_go_on()
    assert served.writer.unsent_bytes <= 2 * limits.WRITE_BUFFER_BYTES_HIGH
    asking.cancel()
    await peer.close()


BROKEN_ANSWERS = {
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an answer to a call never made": frame(99, RESPONSE, 0),
    "a request from a server": frame(3, REQUEST, 0, request(NODE, "Ping")),
    "data for a unary call": frame(3, DATA, 0, b"x"),
    "an answer that is no message": frame(3, RESPONSE, 0, b"\xff\xff\xff"),
    "an even stream": frame(2, RESPONSE, 0),
}


@pytest.mark.parametrize("what", BROKEN_ANSWERS)
async def test_a_broken_answer_leaves_the_outcome_unknown_and_the_channel_usable(
    world: World, what: str
) -> None:
    answers = [BROKEN_ANSWERS[what], frame(3, RESPONSE, 0, b"")]
    greeting = frame(1, RESPONSE, 0, b"")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Foreign(reader, writer)
        await peer.read()
        await peer.write(greeting)
        await peer.read()
        await peer.write(answers.pop(0))
        await peer.ended()
        writer.close()

    files = world.files["cs1"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    channel = FramedChannel(address, world.tls("alice"), "chunkserver")
    with pytest.raises(OutcomeUnknown):
        await channel.unary(PING, dfs_pb2.PingRequest())
    assert await channel.unary(PING, dfs_pb2.PingRequest()) == dfs_pb2.PingResponse()
    await channel.close()
    server.close()
    with pytest.raises(Unavailable):
        await channel.unary(PING, dfs_pb2.PingRequest())

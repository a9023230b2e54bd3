"""The client's side: connecting, losing, finding again, and what each loss is called."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from pydfsnode.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    MessageTooLarge,
    OutcomeUnknown,
    Overloaded,
    PeerUnauthenticated,
    PortInUse,
    Unavailable,
)  # fmt: skip
from pydfsnode.rpc import client_connection
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.server import ServerStream
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs
from tests.unit.rpc.foreign import Foreign
from tests.unit.rpc.harness import PING, READ, STAT, WRITE, Wire, World, until


async def echo(request: Any, context: CallContext) -> Any:
    return dfs_pb2.PingResponse(payload=request.payload)


async def endless(request: Any, context: CallContext, stream: ServerStream) -> None:
    await stream.send(b"first")
    await asyncio.Event().wait()


async def test_one_connection_serves_all_calls_of_a_channel(framed: Wire) -> None:
    client = framed.client(await framed.serve({PING: echo}))
    await asyncio.gather(*(client.unary(PING, dfs_pb2.PingRequest()) for _ in range(50)))
    await client.unary(PING, dfs_pb2.PingRequest())
    assert len(framed.server.connections) == 1


async def test_what_is_encoded_already_is_sent_and_answered_as_it_is(framed: Wire) -> None:
    client = framed.client(await framed.serve({PING: echo}))
    for content in (b"connects", b"is connected"):
        request = dfs_pb2.PingRequest(payload=content).SerializeToString()
        answer = await client.ask(PING, request, timeout_ms=5000)
        assert answer == dfs_pb2.PingResponse(payload=content).SerializeToString()
    with pytest.raises(MessageTooLarge, match="at most"):
        await client.ask(STAT, bytes(1 << 17), timeout_ms=5000)


async def test_a_channel_connects_again_after_its_server_came_back(framed: Wire) -> None:
    address = await framed.serve({PING: echo})
    client = framed.client(address)
    await client.unary(PING, dfs_pb2.PingRequest())
    await framed.server.stop(1000)
    with pytest.raises(Unavailable, match="cannot connect"):
        await client.unary(PING, dfs_pb2.PingRequest())
    again = FramedServer({PING: echo}, framed.world.tls("cs1"), "chunkserver")
    await again.start(address)
    assert (await client.unary(PING, dfs_pb2.PingRequest(payload=b"x"))).payload == b"x"
    await client.close()
    await again.stop(1000)


async def test_a_connection_lost_after_sending_leaves_the_outcome_unknown(framed: Wire) -> None:
    started = asyncio.Event()

    async def stuck(request: Any, context: CallContext) -> Any:
        started.set()
        await asyncio.Event().wait()

    client = framed.client(await framed.serve({PING: stuck}))
    call = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    async with asyncio.timeout(10):
        await started.wait()
    for connection in framed.server.connections:
        connection.abort()
    with pytest.raises(OutcomeUnknown) as lost:
        await call
    assert lost.value.fields == {"reason": "lost"}


async def test_a_lost_stream_is_unavailable_only_when_asking_again_is_safe(framed: Wire) -> None:
    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        await stream.send(dfs_pb2.WriteChunkAck())
        await asyncio.Event().wait()

    client = framed.client(await framed.serve({READ: endless, WRITE: write}))
    read = client.stream(READ, dfs_pb2.ReadChunkRequest())
    written = client.stream(WRITE, dfs_pb2.WriteChunkPacket())
    await read.receive()
    await written.receive()
    for connection in framed.server.connections:
        connection.abort()
    with pytest.raises(Unavailable):
        await read.receive()
    with pytest.raises(OutcomeUnknown):
        await written.receive()
    with pytest.raises(OutcomeUnknown):
        await written.send(b"more")


async def test_a_server_that_stops_leaves_the_cut_calls_outcome_unknown(framed: Wire) -> None:
    started = asyncio.Event()

    async def stuck(request: Any, context: CallContext) -> Any:
        started.set()
        await asyncio.Event().wait()

    client = framed.client(await framed.serve({PING: stuck}))
    call = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    async with asyncio.timeout(10):
        await started.wait()
        await framed.server.stop(10)
    with pytest.raises(OutcomeUnknown):
        await call


async def test_a_call_while_the_server_stops_is_refused_undone(framed: Wire) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: CallContext) -> Any:
        started.set()
        await go_on.wait()
        return dfs_pb2.PingResponse()

    client = framed.client(await framed.serve({PING: slow}))
    first = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    async with asyncio.timeout(10):
        await started.wait()
        stopping = asyncio.ensure_future(framed.server.stop(10_000))
        await until(lambda: framed.server.stopping)
        with pytest.raises(Unavailable):
            await client.unary(PING, dfs_pb2.PingRequest())
        go_on.set()
        await first
        await stopping


async def test_a_peer_with_another_name_or_role_is_not_called(framed: Wire) -> None:
    called: list[str] = []

    async def look(request: Any, context: CallContext) -> Any:
        called.append(context.identity.name)
        return dfs_pb2.PingResponse()

    address = await framed.serve({PING: look})
    for role, name in (("master", None), ("chunkserver", "cs2")):
        channel = FramedChannel(address, framed.world.tls("alice"), role, name)
        with pytest.raises(PeerUnauthenticated, match="spiffe://testcluster/chunkserver/cs1"):
            await channel.unary(PING, dfs_pb2.PingRequest())
        await channel.close()
    assert called == []


async def test_a_server_of_another_ca_is_not_called(framed: Wire) -> None:
    address = await framed.serve({PING: echo})
    stranger = TlsStore.load(framed.world.strange_files["eve"])
    channel = FramedChannel(address, stranger, "chunkserver")
    with pytest.raises(PeerUnauthenticated, match="another CA"):
        await channel.unary(PING, dfs_pb2.PingRequest())
    await channel.close()


async def test_a_client_whose_certificate_the_server_refuses_learns_it(framed: Wire) -> None:
    address = await framed.serve({PING: echo})
    eve = framed.world.strange_files["eve"]
    channel = FramedChannel(address, framed.world.tls("alice"), "chunkserver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(framed.world.files["alice"].ca)
    context.load_cert_chain(eve.cert, eve.key)
    channel._tls.client_context = lambda: context  # type: ignore[method-assign]
    with pytest.raises(PeerUnauthenticated, match="does not accept our certificate"):
        await channel.unary(PING, dfs_pb2.PingRequest())
    await channel.close()


async def test_a_deadline_before_the_connection_is_made_means_that_nothing_was_sent(
    framed: Wire,
) -> None:
    silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    with pytest.raises(DeadlineExceeded, match="no connection"):
        await framed.client(address).unary(PING, dfs_pb2.PingRequest(), timeout_ms=50)
    silent.close()


async def test_a_streams_deadline_ends_it_on_both_sides(framed: Wire) -> None:
    cancelled = asyncio.Event()

    async def stuck(request: Any, context: CallContext, stream: ServerStream) -> None:
        try:
            await stream.send(b"first")
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = framed.client(await framed.serve({READ: stuck, PING: echo}))
    await client.unary(PING, dfs_pb2.PingRequest())
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest(), timeout_ms=200)
    await stream.receive()
    with pytest.raises(DeadlineExceeded):
        await stream.receive()
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_a_request_over_the_methods_limit_is_not_sent(framed: Wire) -> None:
    client = framed.client("127.0.0.1:1", role="master")
    with pytest.raises(MessageTooLarge):
        await client.unary(STAT, dfs_pb2.StatRequest(path="x" * 100_000))


async def test_more_calls_than_a_connection_takes_are_refused_at_home(
    framed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydfsnode import limits

    async def stuck(request: Any, context: CallContext) -> Any:
        await asyncio.Event().wait()

    client = framed.client(await framed.serve({PING: stuck, READ: endless}))
    await client.stream(READ, dfs_pb2.ReadChunkRequest()).open()
    monkeypatch.setattr(limits, "STREAMS_PER_CONNECTION_MAX", 2)
    call = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await client.unary(PING, dfs_pb2.PingRequest())
    call.cancel()


async def test_sending_on_a_call_that_the_server_ended_says_so(framed: Wire) -> None:
    async def brief(first: Any, context: CallContext, stream: ServerStream) -> None:
        await stream.send(dfs_pb2.WriteChunkAck(failed_node_id="cs3"))

    client = framed.client(await framed.serve({WRITE: brief}))
    async with client.stream(WRITE, dfs_pb2.WriteChunkPacket()) as stream:
        answer = await stream.receive()
        assert answer.failed_node_id == "cs3"
        assert await stream.receive() is None
        with pytest.raises(Cancelled):
            await stream.send(b"more")


async def test_a_sender_that_waits_for_credit_is_woken_by_the_end_of_the_call(
    framed: Wire,
) -> None:
    full = asyncio.Event()

    async def lazy(first: Any, context: CallContext, stream: ServerStream) -> None:
        await full.wait()
        raise Overloaded("no room", retry_after_ms=5)

    client = framed.client(await framed.serve({WRITE: lazy}))
    stream = await client.stream(WRITE, dfs_pb2.WriteChunkPacket())
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for _ in range(100):
            await stream.send(b"x" * (1 << 20))
            sent += 1

    sending = asyncio.ensure_future(send_all())
    await until(lambda: sent == 7)  # eight, with what each frame costs beside, are over the window
    full.set()
    with pytest.raises(Overloaded):
        await sending


async def test_a_closed_channel_calls_nobody(framed: Wire) -> None:
    client = framed.client(await framed.serve({PING: echo}))
    await client.unary(PING, dfs_pb2.PingRequest())
    await client.close()
    with pytest.raises(Unavailable):
        await client.unary(PING, dfs_pb2.PingRequest())
    with pytest.raises(Unavailable):
        await client.stream(READ, dfs_pb2.ReadChunkRequest())


async def test_an_old_connection_is_replaced_while_its_calls_go_on(framed: Wire) -> None:
    go_on = asyncio.Event()

    async def slow(request: Any, context: CallContext) -> Any:
        if request.payload == b"slow":
            await go_on.wait()
        return dfs_pb2.PingResponse(payload=request.payload)

    client = framed.client(await framed.serve({PING: slow}))
    await client.unary(PING, dfs_pb2.PingRequest())
    running = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest(payload=b"slow")))
    await until(lambda: any(c.calls for c in framed.server.connections))
    (old,) = framed.server.connections
    framed.server.connection_age_s = 0
    old.housekeeping(asyncio.get_running_loop().time())
    framed.server.connection_age_s = 300
    await until(lambda: client._connection.leaving)
    assert (await client.unary(PING, dfs_pb2.PingRequest(payload=b"new"))).payload == b"new"
    assert len(framed.server.connections) == 2
    go_on.set()
    assert (await running).payload == b"slow"
    await until(lambda: framed.server.connections != {old} and old.closed)
    assert len(framed.server.connections) == 1


async def test_an_idle_connection_is_closed_and_the_next_call_makes_another(
    framed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydfsnode import limits

    client = framed.client(await framed.serve({PING: echo}))
    await client.unary(PING, dfs_pb2.PingRequest())
    (old,) = framed.server.connections
    monkeypatch.setattr(limits, "CONNECTION_IDLE_MS", 0)
    old.housekeeping(asyncio.get_running_loop().time())
    monkeypatch.undo()
    await until(lambda: not framed.server.connections)
    await until(lambda: client._connection.closed)
    await client.unary(PING, dfs_pb2.PingRequest())
    assert len(framed.server.connections) == 1


async def test_a_silent_peer_is_asked_and_then_given_up(
    framed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = framed.client(await framed.serve({READ: endless, PING: echo}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    await stream.receive()
    connection = client._connection
    (served,) = framed.server.connections
    monkeypatch.setattr(client_connection, "KEEPALIVE_S", 0.0)
    connection.received_at = 0.0
    connection.housekeeping(1.0)
    await until(lambda: connection.received_at > 0)  # the Ping was answered
    served.transport.pause_reading()
    monkeypatch.setattr(client_connection, "KEEPALIVE_S", 1000.0)
    later = connection.received_at + 1001
    connection._probed_at = 0.0
    connection.housekeeping(later)
    assert not connection.closed
    connection.housekeeping(later + 1001)
    with pytest.raises(Unavailable):
        await stream.receive()


async def test_a_connection_under_a_removed_ca_ends(framed: Wire, world: World) -> None:
    directory = world.directory / "rotating"
    files = make_cluster_certs(directory, {"cs1": "chunkserver", "bob": "user"})
    tls = TlsStore.load(files["cs1"])
    server = FramedServer({PING: echo}, tls, "chunkserver")
    channel = FramedChannel(
        await server.start("127.0.0.1:0"), TlsStore.load(files["bob"]), "chunkserver"
    )
    await channel.unary(PING, dfs_pb2.PingRequest())
    (connection,) = server.connections
    replacement = make_cluster_certs(directory / "new", {"cs1": "chunkserver"})["cs1"]
    for name in ("ca", "cert", "key"):
        source = getattr(replacement, name)
        with open(source, "rb") as new, open(getattr(files["cs1"], name), "r+b") as old:
            old.truncate()
            old.write(new.read())
    connection.housekeeping(asyncio.get_running_loop().time())
    await channel.unary(PING, dfs_pb2.PingRequest())  # files changed, nothing was reloaded
    tls.reload()
    connection.housekeeping(asyncio.get_running_loop().time())
    await until(lambda: connection not in server.connections)
    with pytest.raises(PeerUnauthenticated):
        await channel.unary(PING, dfs_pb2.PingRequest())
    await channel.close()
    await server.stop(1000)


@pytest.mark.parametrize("kind", ["framed", "grpc"])
async def test_a_used_port_is_named(kind: str, world: World) -> None:
    wire = Wire(kind, world)
    address = await wire.serve({PING: echo})
    other = Wire(kind, world)
    second = type(wire.server)({PING: echo}, world.tls("cs1"), "chunkserver")
    with pytest.raises(PortInUse, match=address):
        await second.start(address)
    for bad in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "203.0.113.1:7001"):
        with pytest.raises(ConfigError, match=bad.partition(":")[0]):
            await second.start(bad)
    await other.close()
    await wire.close()


async def test_buffers_may_be_used_again_when_send_returns(framed: Wire) -> None:
    got: list[bytes] = []

    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        while (packet := await stream.receive()) is not None:
            got.append(bytes(packet))

    client = framed.client(await framed.serve({WRITE: write}))
    async with client.stream(WRITE, dfs_pb2.WriteChunkPacket()) as stream:
        for size in (10, 5_000, 100_000, 1 << 20):
            buffer = bytearray(b"a" * size)
            await stream.send([memoryview(buffer)[:4], memoryview(buffer)[4:]])
            buffer[:] = b"z" * size
        await stream.close_send()
        assert await stream.receive() is None
    assert [set(g) for g in got] == [{ord("a")}] * 4
    assert [len(g) for g in got] == [10, 5_000, 100_000, 1 << 20]


async def test_a_finished_call_leaves_nothing_behind(framed: Wire) -> None:
    client = framed.client(await framed.serve({READ: endless, PING: echo}))
    await client.unary(PING, dfs_pb2.PingRequest())
    stream = await client.stream(READ, dfs_pb2.ReadChunkRequest())
    await stream.receive()
    await stream.cancel()
    (served,) = framed.server.connections
    await until(lambda: not served.calls)
    assert not served.streams
    connection = client._connection
    assert not connection.calls
    assert not connection.streams
    assert (served.queued_bytes, connection.queued_bytes) == (0, 0)


async def test_a_foreign_port_is_unavailable_with_the_address(framed: Wire) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Foreign(reader, writer).writer.drain()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{plain.sockets[0].getsockname()[1]}"
    with pytest.raises(Unavailable, match=address):
        await framed.client(address).unary(PING, dfs_pb2.PingRequest())
    plain.close()

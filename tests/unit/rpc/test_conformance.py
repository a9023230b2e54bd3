"""What every transport must do the same way; each test runs over framed and over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    DeadlineExceeded,
    InvariantViolation,
    MessageTooLarge,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    PeerUnauthenticated,
    PermissionDenied,
    PydfsError,
    Unavailable,
    UnknownMethod,
)
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.server import ServerStream
from tests.unit.rpc.harness import (
    CREATE,
    PING,
    RAFT,
    READ,
    STAT,
    WRITE,
    Wire,
    counter,
)


async def echo(request: Any, context: CallContext) -> Any:
    return dfs_pb2.PingResponse(payload=request.payload, node_id=context.identity.name)


async def test_a_unary_call_returns_what_its_handler_returned(wire: Wire) -> None:
    client = wire.client(await wire.serve({PING: echo}))
    answer = await client.unary(PING, dfs_pb2.PingRequest(payload=b"abc"))
    assert (answer.payload, answer.node_id) == (b"abc", "alice")


async def test_many_calls_at_once_each_get_their_own_answer(wire: Wire) -> None:
    async def late(request: Any, context: CallContext) -> Any:
        await asyncio.sleep(0)
        return dfs_pb2.PingResponse(payload=request.payload)

    client = wire.client(await wire.serve({PING: late}))
    payloads = [b"%d" % n for n in range(200)]
    answers = await asyncio.gather(
        *(client.unary(PING, dfs_pb2.PingRequest(payload=p)) for p in payloads)
    )
    assert [a.payload for a in answers] == payloads


async def test_the_handler_sees_who_calls_what_and_for_how_long(wire: Wire) -> None:
    seen: list[CallContext] = []

    async def look(request: Any, context: CallContext) -> Any:
        seen.append(context)
        return dfs_pb2.PingResponse()

    client = wire.client(await wire.serve({PING: look}))
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.unary(
        PING, dfs_pb2.PingRequest(), timeout_ms=60_000, request_id="r-1", traceparent=traceparent
    )
    (context,) = seen
    assert context.identity.uri == "spiffe://testcluster/user/alice"
    assert context.method.path == PING
    assert (context.request_id, context.traceparent) == ("r-1", traceparent)
    assert context.transport == wire.transport
    assert context.peer.startswith("127.0.0.1:")
    remaining = context.remaining_ms()
    assert remaining is not None
    assert 0 < remaining <= 60_000


async def test_a_call_without_request_id_gets_one_and_a_trace(wire: Wire) -> None:
    seen: list[tuple[str, str]] = []

    async def look(request: Any, context: CallContext) -> Any:
        seen.append((context.request_id, context.traceparent))
        return dfs_pb2.PingResponse()

    client = wire.client(await wire.serve({PING: look}))
    await client.unary(PING, dfs_pb2.PingRequest())
    await client.unary(PING, dfs_pb2.PingRequest())
    (first, first_trace), (second, second_trace) = seen
    assert first
    assert first != second
    assert len(first_trace) == 55
    assert first_trace != second_trace


async def test_an_error_arrives_as_the_same_class_with_its_fields(wire: Wire) -> None:
    async def fail(request: Any, context: CallContext) -> Any:
        if request.path == "/leader":
            raise NotLeader("m1 does not lead", leader_hint="m2=10.0.0.2:7001")
        if request.path == "/busy":
            raise Overloaded("too much", retry_after_ms=120)
        raise NotFound(f"{request.path}: no such file", path=request.path)

    client = wire.client(await wire.serve({STAT: fail}, "m1"), role="master")
    with pytest.raises(NotLeader, match="m1 does not lead") as not_leader:
        await client.unary(STAT, dfs_pb2.StatRequest(path="/leader"))
    assert not_leader.value.leader_hint == "m2=10.0.0.2:7001"
    with pytest.raises(Overloaded) as overloaded:
        await client.unary(STAT, dfs_pb2.StatRequest(path="/busy"))
    assert overloaded.value.fields == {"retry_after_ms": 120}
    with pytest.raises(NotFound, match="/x: no such file") as not_found:
        await client.unary(STAT, dfs_pb2.StatRequest(path="/x"))
    assert not_found.value.fields == {"path": "/x"}


async def test_a_bug_in_a_handler_tells_the_caller_nothing_but_the_request_id(wire: Wire) -> None:
    async def bug(request: Any, context: CallContext) -> Any:
        raise ValueError("the secret is swordfish")

    client = wire.client(await wire.serve({PING: bug}))
    with pytest.raises(PydfsError, match="internal error, request r-7") as raised:
        await client.unary(PING, dfs_pb2.PingRequest(), request_id="r-7")
    assert "swordfish" not in raised.value.message


async def test_a_broken_invariant_in_a_handler_is_told_to_the_node(wire: Wire) -> None:
    told: list[BaseException] = []

    async def broken(request: Any, context: CallContext) -> Any:
        raise InvariantViolation("applied index went back")

    client = wire.client(await wire.serve({PING: broken}, on_invariant=told.append))
    with pytest.raises(PydfsError, match="internal error"):
        await client.unary(PING, dfs_pb2.PingRequest())
    assert [str(error) for error in told] == ["applied index went back"]


async def test_a_server_stream_delivers_raw_messages_in_order_and_ends(wire: Wire) -> None:
    async def read(request: Any, context: CallContext, stream: ServerStream) -> None:
        for number in range(request.length):
            await stream.send([b"%08d" % number, memoryview(b"x" * 100_000)])

    client = wire.client(await wire.serve({READ: read}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest(length=20))
    got = [await stream.receive() for _ in range(20)]
    assert [bytes(g[:8]) for g in got] == [b"%08d" % n for n in range(20)]
    assert all(bytes(g[8:]) == b"x" * 100_000 for g in got)
    assert await stream.receive() is None


async def test_an_error_in_a_stream_comes_after_what_was_sent_before(wire: Wire) -> None:
    async def read(request: Any, context: CallContext, stream: ServerStream) -> None:
        await stream.send(b"one")
        raise NotFound("chunk 7 is not here", chunk_id=7)

    client = wire.client(await wire.serve({READ: read}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    assert bytes(await stream.receive()) == b"one"
    with pytest.raises(NotFound, match="chunk 7"):
        await stream.receive()


async def test_a_bidirectional_stream_carries_raw_requests_and_whole_answers(wire: Wire) -> None:
    async def write(first: Any, context: CallContext, stream: ServerStream) -> None:
        total = 0
        while (packet := await stream.receive()) is not None:
            total += len(packet)
            await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=total))
        await stream.send(dfs_pb2.WriteChunkAck(acked_bytes=first.open.chunk_id, durable=True))

    client = wire.client(await wire.serve({WRITE: write}))
    stream = client.stream(WRITE, dfs_pb2.WriteChunkPacket(open={"chunk_id": 42}))
    for size, total in ((10, 10), (300_000, 300_010), (0, 300_010)):
        await stream.send([b"x" * size])
        assert (await stream.receive()).acked_bytes == total
    await stream.close_send()
    last = await stream.receive()
    assert (last.acked_bytes, last.durable) == (42, True)
    assert await stream.receive() is None


async def test_a_call_past_its_deadline_is_cancelled_at_the_server(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def stuck(request: Any, context: CallContext) -> Any:
        if request.payload == b"connect first":
            return dfs_pb2.PingResponse()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = wire.client(await wire.serve({PING: stuck}))
    await client.unary(PING, dfs_pb2.PingRequest(payload=b"connect first"))
    with pytest.raises((DeadlineExceeded, OutcomeUnknown)) as raised:
        await client.unary(PING, dfs_pb2.PingRequest(), timeout_ms=200)
    if wire.transport == "framed":  # it was sent: nobody knows what the handler had done
        assert isinstance(raised.value, OutcomeUnknown)
        assert raised.value.fields == {"reason": "timeout"}
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_cancelling_a_unary_call_cancels_its_handler(wire: Wire) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(request: Any, context: CallContext) -> Any:
        if request.payload == b"first":
            return dfs_pb2.PingResponse()
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = wire.client(await wire.serve({PING: stuck}))
    await client.unary(PING, dfs_pb2.PingRequest(payload=b"first"))
    call = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    async with asyncio.timeout(10):
        await started.wait()
        call.cancel()
        await cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelling_a_stream_cancels_its_handler(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def endless(request: Any, context: CallContext, stream: ServerStream) -> None:
        try:
            await stream.send(b"first")
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = wire.client(await wire.serve({READ: endless}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    assert bytes(await stream.receive()) == b"first"
    await stream.cancel()
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_a_closed_client_cancels_the_handlers_of_its_calls(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def endless(request: Any, context: CallContext, stream: ServerStream) -> None:
        try:
            await stream.send(b"first")
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = wire.client(await wire.serve({READ: endless}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    await stream.receive()
    await client.close()
    async with asyncio.timeout(10):
        await cancelled.wait()


async def test_a_request_over_the_methods_limit_is_refused_and_counted(wire: Wire) -> None:
    served: list[int] = []

    async def stat(request: Any, context: CallContext) -> Any:
        served.append(len(request.path))
        return dfs_pb2.StatResponse()

    client = wire.client(await wire.serve({STAT: stat}, "m1"), role="master")
    with pytest.raises(MessageTooLarge):
        await client.unary(STAT, dfs_pb2.StatRequest(path="x" * (64 * limits.KIB)))
    await client.unary(STAT, dfs_pb2.StatRequest(path="x" * (60 * limits.KIB)))
    assert served == [60 * limits.KIB]


async def test_a_role_that_may_not_call_a_method_is_refused_and_counted(wire: Wire) -> None:
    called: list[str] = []

    async def raft(first: Any, context: CallContext, stream: ServerStream) -> None:
        called.append(context.identity.uri)

    before = counter("rpc_refused_peers_total", "role", wire.transport)
    address = await wire.serve({RAFT: raft}, "m1")
    stream = wire.client(address, "alice", role="master").stream(RAFT, dfs_pb2.RaftPacket())
    with pytest.raises(PermissionDenied, match="a user may not call /pydfs"):
        await stream.receive()
    assert called == []
    assert counter("rpc_refused_peers_total", "role", wire.transport) == before + 1
    allowed = wire.client(address, "m2", role="master").stream(RAFT, dfs_pb2.RaftPacket())
    assert await allowed.receive() is None
    assert called == ["spiffe://testcluster/master/m2"]


async def test_a_method_that_is_not_served_is_unknown(wire: Wire) -> None:
    client = wire.client(await wire.serve({PING: echo}, "m1"), role="master")
    with pytest.raises(UnknownMethod, match="/Create"):
        await client.unary(CREATE, dfs_pb2.CreateRequest(path="/x"))


async def test_a_peer_of_another_cluster_is_refused_although_its_ca_is_ours(wire: Wire) -> None:
    called: list[str] = []

    async def look(request: Any, context: CallContext) -> Any:
        called.append(context.identity.uri)
        return dfs_pb2.PingResponse()

    before = counter("rpc_refused_peers_total", "cluster", wire.transport)
    address = await wire.serve({PING: look})
    if wire.transport == "framed":
        client = wire.client(address, "mallory")
        client._tls.peer_of = wire.world.tls("alice").peer_of  # it accepts us, we refuse it
    else:
        client = wire.client(address, "mallory")
    with pytest.raises(PeerUnauthenticated):
        await client.unary(PING, dfs_pb2.PingRequest())
    assert called == []
    assert counter("rpc_refused_peers_total", "cluster", wire.transport) == before + 1


async def test_nobody_listening_is_unavailable(wire: Wire) -> None:
    address = await wire.serve({PING: echo})
    await wire.server.stop(0)
    with pytest.raises(Unavailable):
        await wire.client(address).unary(PING, dfs_pb2.PingRequest(), timeout_ms=5_000)


async def test_stop_lets_a_running_unary_call_finish(wire: Wire) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: CallContext) -> Any:
        started.set()
        await go_on.wait()
        return dfs_pb2.PingResponse(payload=b"done")

    client = wire.client(await wire.serve({PING: slow}))
    call = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest()))
    async with asyncio.timeout(10):
        await started.wait()
        stopping = asyncio.ensure_future(wire.server.stop(10_000))
        await asyncio.sleep(0)
        go_on.set()
        assert (await call).payload == b"done"
        await stopping


async def test_a_slow_reader_bounds_what_the_sender_queues(wire: Wire) -> None:
    sent: list[int] = []
    packet = b"x" * limits.PACKET_BYTES

    async def endless(request: Any, context: CallContext, stream: ServerStream) -> None:
        while len(sent) < 200:
            await stream.send(packet)
            sent.append(len(packet))

    client = wire.client(await wire.serve({READ: endless, PING: echo}))
    stream = client.stream(READ, dfs_pb2.ReadChunkRequest())
    await stream.receive()  # it flows, and from here on nobody reads
    for number in range(50):  # other calls go on meanwhile
        answer = await client.unary(PING, dfs_pb2.PingRequest(payload=b"%d" % number))
        assert answer.payload == b"%d" % number
    stuck_at = sum(sent)
    # Transport buffers hold some more on gRPC; framed has a window.
    assert stuck_at <= limits.STREAM_WINDOW_BYTES + limits.PACKET_BYTES
    for _ in range(20):
        await stream.receive()
    assert sum(sent) > stuck_at
    await stream.cancel()

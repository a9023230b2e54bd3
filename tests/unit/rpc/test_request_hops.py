"""A call that is made while another is served is part of its request and has no more time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode.errors import OutcomeUnknown, PydfsError
from pydfsnode.obs.request_scope import request
from pydfsnode.obs.trace import parse_traceparent
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.server import ServerStream
from tests.unit.rpc.harness import PING, READ, Wire

PONG = dfs_pb2.PingResponse()


async def test_a_request_goes_on_from_hop_to_hop(framed: Wire) -> None:
    seen: list[CallContext] = []
    left_ms: list[int] = []

    async def last(asked: Any, context: CallContext) -> Any:
        seen.append(context)
        left_ms.append(context.remaining_ms() or 0)
        return PONG

    beyond = FramedServer({PING: last}, framed.world.tls("cs1"), "chunkserver")
    address = await beyond.start("127.0.0.1:0")
    onward = FramedChannel(address, framed.world.tls("cs1"), "chunkserver", "cs1")

    async def unary(asked: Any, context: CallContext) -> Any:
        seen.append(context)
        return await onward.unary(PING, asked, timeout_ms=60_000)

    async def stream(asked: Any, context: CallContext, sending: ServerStream) -> None:
        seen.append(context)
        await onward.unary(PING, dfs_pb2.PingRequest())
        await sending.send(b"done")

    client = framed.client(await framed.serve({PING: unary, READ: stream}))
    with request("r-9") as scope:
        await client.unary(PING, dfs_pb2.PingRequest(), timeout_ms=5_000)
        async with client.stream(READ, dfs_pb2.ReadChunkRequest()) as reading:
            while await reading.receive() is not None:
                pass
    assert len(seen) == 4
    assert {context.request_id for context in seen} == {"r-9"}
    traces = [parse_traceparent(context.traceparent) for context in seen]
    assert {trace.trace_id for trace in traces if trace} == {scope.trace.trace_id}
    assert len({trace.span_id for trace in traces if trace}) == 4, "each hop is a span of its own"
    assert left_ms[0] <= 5_000, "what the first hop had left, not what was asked for"
    await onward.close()
    await beyond.stop(1000)


async def test_who_is_called_learns_that_nobody_waits_any_more(framed: Wire) -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def stuck(asked: Any, context: CallContext) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set_result("cancelled")

    beyond = FramedServer({PING: stuck}, framed.world.tls("cs1"), "chunkserver")
    onward = FramedChannel(
        await beyond.start("127.0.0.1:0"), framed.world.tls("cs1"), "chunkserver", "cs1"
    )

    async def passes_on(asked: Any, context: CallContext) -> Any:
        return await onward.unary(PING, asked, timeout_ms=60_000)

    client = framed.client(await framed.serve({PING: passes_on}))
    with pytest.raises((OutcomeUnknown, PydfsError)):
        await client.unary(PING, dfs_pb2.PingRequest(), timeout_ms=200)
    assert await asyncio.wait_for(ended, 10) == "cancelled"
    await onward.close()
    await beyond.stop(1000)

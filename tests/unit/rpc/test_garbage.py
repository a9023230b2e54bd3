"""A call leaves nothing for the garbage collector: its pauses would be the server's."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.unit.rpc.harness import Wire

STAT = "/pydfs.v1.Namespace/Stat"
CALLS = 200


async def answer_later(request: Any, call: Any) -> pb.StatResponse:
    waited = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(waited.set_result, None)
    await waited
    return pb.StatResponse(status=pb.FileStatus(path=request.path))


async def test_calls_leave_no_cycles_behind(framed: Wire) -> None:
    client = framed.client(await framed.serve({STAT: answer_later}, "m1"), "alice", "master")

    async def ask() -> None:
        await client.unary(STAT, pb.StatRequest(path="/a"), timeout_ms=20_000)

    await ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await ask()
        left = gc.collect()
    finally:
        gc.enable()
    assert left < CALLS  # a few of the connection, none of each call

"""A chunkserver and the leader of it: what a lost answer ordered is carried out all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydfsnode.errors import OutcomeUnknown
from pydfsnode.fleet.bounds import COPY_TIMEOUT_MS, EXPECT_MS, WARM_UP_MS
from pydfsnode.roles.chunkserver.commands import Command
from pydfsnode.roles.chunkserver.heartbeat import HEARTBEAT, MasterLink, NodeState
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.storage.chunk_store import ChunkStore
from tests.support.masters import Master, node_config

LENGTH = 5


class LossyLine:
    """Asks the master as c3; the first *count* answers with orders do not come back."""

    def __init__(self, master: Master, count: int) -> None:
        self._master = master
        self._left = count
        self.lost: list[pb.Command] = []

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        answer = await self._master.call(path, request, "chunkserver", "c3")
        if path == HEARTBEAT and answer.commands and self._left:
            self._left -= 1
            self.lost.extend(answer.commands)
            raise OutcomeUnknown("the answer was lost")
        return answer


class Taken:
    """In place of a `CommandRunner`."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def submit(self, command: Command) -> None:
        self.commands.append(command)


async def short_of_one_on_c3(master: Master) -> int:
    """A chunk on c1 and c2 that wants three replicas; its id."""
    create = pb.CreateRequest(op=master.op(), path="/f", replication=3)
    inode_id = (await master.namespace("Create", create)).status.inode_id
    allocate = pb.AllocateChunkRequest(op=master.op(), inode_id=inode_id)
    chunk_id = int((await master.namespace("AllocateChunk", allocate)).chunk_id)
    done = pb.ChunkDone(chunk_id=chunk_id, version=1, length=LENGTH, crc32c=1)
    complete = pb.CompleteRequest(op=master.op(), inode_id=inode_id, last=done)
    await master.namespace("Complete", complete)
    for name in ("c1", "c2"):
        await master.report(name, [(chunk_id, 1, LENGTH)])
    master.clock.ahead_ms += WARM_UP_MS + EXPECT_MS
    for name in ("c1", "c2"):
        await master.heartbeat(name)
    return chunk_id


async def test_the_orders_of_lost_answers_are_taken_soon(tmp_path: Path) -> None:
    # Who is silent would be left out, and the clock jumps.
    master = await Master(node_config(tmp_path, dead_after_ms=2 * COPY_TIMEOUT_MS)).start()
    for name in ("c1", "c2", "c3"):
        await master.heartbeat(name)
        await master.report(name, [])
    chunk_id = await short_of_one_on_c3(master)
    began_ms = master.clock.monotonic_ms()
    store = await ChunkStore.open(tmp_path / "c3", 0)
    line, taken = LossyLine(master, count=2), Taken()

    async def learn(_: int) -> None:
        pass

    def state() -> NodeState:
        return NodeState("c3.test:1", "", 0, 1 << 40, 0, 0, incarnation=1, epoch=1)

    link = MasterLink("m1", line, store.index, state, learn, taken, 5)  # type: ignore[arg-type]
    running = asyncio.ensure_future(link.run())
    fleet, driver = master.role._fleet, master.role._driver
    try:
        async with asyncio.timeout(20):
            while not taken.commands:
                await fleet.step(driver)
                await asyncio.sleep(0.002)
        assert [command.chunk_id for command in line.lost] == [chunk_id] * 2
        (command,) = taken.commands
        assert (command.kind, command.chunk_id) == ("replicate", chunk_id)
        assert master.clock.monotonic_ms() - began_ms < COPY_TIMEOUT_MS
    finally:
        running.cancel()
        await asyncio.wait([running])
        await store.close()
        await master.stop()

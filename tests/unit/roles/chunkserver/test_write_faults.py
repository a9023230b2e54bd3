"""A server that fails in the middle of a write costs the caller nothing but time.

The client, its pipelines and the chunkservers are real, the masters are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from pydfsnode.client import wire_chunks
from pydfsnode.client.chunk_channels import ChannelChunkIO
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.filesystem_base import Creation
from pydfsnode.client.patience import Patience
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire import MasterCalls
from pydfsnode.config import ReplaceOnFailure
from pydfsnode.errors import DiskFull, MalformedMessage
from pydfsnode.limits import MIB
from pydfsnode.meta import ops
from tests.support.chunkservers import ChunkCluster, Chunkserver, chunk_cluster
from tests.unit.client.fakes import FakeCluster

SERVERS = ["c1", "c2", "c3", "c4"]
CHUNK = 4 * MIB
DATA = bytes(range(256)) * (3 * MIB // 256) + b"the end"


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path, len(SERVERS)) as running:
        yield running


class World:
    """A client of `servers`, and masters that believe in them."""

    def __init__(self, servers: ChunkCluster, policy: ReplaceOnFailure = "default") -> None:
        self.masters = FakeCluster(CHUNK, SERVERS)
        self.masters.fleet.listen_of = (  # type: ignore[method-assign]
            lambda node_id: servers[node_id].listen
        )
        self.masters.consensus.term = 5
        calls = MasterCalls(self.masters.router, OpSession(), 10_000)
        clock = self.masters.clock
        self.fs = AsyncFileSystem(
            calls,
            ChannelChunkIO(servers.connect, calls),
            Patience(clock, 10_000, random=lambda: 0.5, sleep=self.masters.sleep),
            creation=Creation(replace_on_failure=policy),
        )

    @property
    def resumed(self) -> list[tuple[str, ...]]:
        """The pipelines that took the place of broken ones."""
        proposed = self.masters.consensus.proposed
        return [op.targets for op in proposed if isinstance(op, ops.ResumeChunk)]

    def chunk_count(self) -> int:
        tree = self.masters.namespace.tree
        return int(tree.walk_file("/f", tree.caller("root")).chunk_count)


async def fail(server: Chunkserver, kind: str) -> None:
    """From now on *server* does so when it is written to."""
    if kind == "dies":
        await server.die()
        return

    async def failing(*_: object) -> Any:
        if kind == "stalls":
            await asyncio.Event().wait()
        if kind == "fills up":
            raise DiskFull("no space left on the disk")
        raise MalformedMessage("nonsense")

    store = cast(Any, server.store)
    store.append = store.finish = failing


@pytest.mark.parametrize("kind", ["dies", "stalls", "fills up", "answers wrongly"])
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("when", ["begin", "middle", "end"])
async def test_the_caller_sees_only_latency(
    servers: ChunkCluster, monkeypatch: pytest.MonkeyPatch, kind: str, position: int, when: str
) -> None:
    monkeypatch.setattr(wire_chunks, "STALL_MS", 300)
    monkeypatch.setattr(wire_chunks, "STALL_STEP_MS", 300)
    world = World(servers)
    victim = SERVERS[position]
    async with await world.fs.open_writer("/f") as writer:
        if when == "begin":
            await fail(servers[victim], kind)
        await writer.write(DATA[:MIB])
        if when != "begin":
            await writer.flush()
        if when == "middle":
            await fail(servers[victim], kind)
        await writer.write(DATA[MIB:])
        if when == "end":
            await writer.flush()
            await fail(servers[victim], kind)
    servers[victim].store.__dict__.pop("append", None)
    servers[victim].store.__dict__.pop("finish", None)
    assert world.chunk_count() == 1
    assert await world.fs.cat_file("/f") == DATA
    if when != "begin":  # flushed before: a replacement is asked for
        assert world.resumed
        assert all(victim not in targets and "c4" in targets for targets in world.resumed)


async def test_a_server_that_stores_something_else_is_not_believed(servers: ChunkCluster) -> None:
    world = World(servers)
    for name in ("c1", "c3"):
        store = cast(Any, servers[name].store)
        finish = store.finish

        async def lying(*args: object, finish: Any = finish) -> int:
            return int(await finish(*args)) ^ 1

        store.finish = lying
        await world.fs.pipe_file("/f", DATA)
        store.finish = finish
        assert await world.fs.cat_file("/f") == DATA
        assert world.resumed
        assert all(name not in targets for targets in world.resumed)
        world.masters.consensus.proposed.clear()


@pytest.mark.parametrize(
    ("policy", "flushes", "pipeline"),
    [
        ("never", True, ("c1", "c3")),
        ("default", False, ("c1", "c3")),
        ("default", True, ("c1", "c3", "c4")),
        ("always", False, ("c1", "c3", "c4")),
    ],
)
async def test_the_policy_says_whether_a_server_is_replaced(
    servers: ChunkCluster, policy: ReplaceOnFailure, flushes: bool, pipeline: tuple[str, ...]
) -> None:
    world = World(servers, policy)
    async with await world.fs.open_writer("/f") as writer:
        await writer.write(DATA[: 2 * MIB])
        if flushes:
            await writer.flush()
        else:
            sink = cast(Any, writer._file)._sink
            while sink.acked_bytes < 2 * MIB:
                await sink._wait_for_news()
        await servers["c2"].die()
        await writer.write(DATA[2 * MIB :])
    assert world.resumed == [pipeline]
    assert await world.fs.cat_file("/f") == DATA


async def test_with_too_few_servers_the_chunk_begins_anew(servers: ChunkCluster) -> None:
    world = World(servers, "never")
    world.masters.allocation._min_replicas = 3
    async with await world.fs.open_writer("/f") as writer:
        await writer.write(DATA[: 2 * MIB])
        await writer.flush()
        await servers["c1"].die()
        await writer.write(DATA[2 * MIB :])
    assert world.resumed == []
    assert await world.fs.cat_file("/f") == DATA


async def test_appends_and_syncs_over_real_servers(servers: ChunkCluster) -> None:
    world = World(servers)
    written = b""
    async with await world.fs.open_writer("/f") as writer:
        for number in range(5):
            piece = DATA[number * 100_000 : number * 100_000 + 70_001]
            await writer.write(piece)
            written += piece
            await (writer.sync() if number % 2 else writer.flush())
            assert await world.fs.cat_file("/f") == written
    for size in (1, 5000, CHUNK):
        async with await world.fs.append("/f") as writer:
            await writer.write(DATA[:size])
        written += DATA[:size]
        assert await world.fs.cat_file("/f") == written
    assert world.chunk_count() == -(-len(written) // CHUNK)


@pytest.mark.parametrize("kind", ["dies", "stalls", "fills up", "answers wrongly"])
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_file_of_one_packet_is_written_whatever_fails(
    servers: ChunkCluster, monkeypatch: pytest.MonkeyPatch, kind: str, position: int
) -> None:
    monkeypatch.setattr(wire_chunks, "STALL_MS", 300)
    monkeypatch.setattr(wire_chunks, "STALL_STEP_MS", 300)
    world, victim = World(servers), servers[SERVERS[position]]
    await fail(victim, kind)
    await world.fs.pipe_file("/f", DATA[:70_000])
    victim.store.__dict__.pop("append", None)
    victim.store.__dict__.pop("finish", None)
    assert world.chunk_count() == 1
    assert await world.fs.cat_file("/f") == DATA[:70_000]

"""ChannelChunkIO: reads are spread over replicas, failed servers asked last, bad ones reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pydfsnode import limits
from pydfsnode.client import chunk_channels
from pydfsnode.client.chunk_channels import SUSPECT_MS, ChannelChunkIO
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.errors import ChunkUnavailable, Unavailable
from pydfsnode.runtime.clock import ManualClock

CHUNK = ChunkLocation(
    7, 1, 0, 64 * limits.MIB, 0, tuple(Replica(f"c{n}", f"c{n}:7000") for n in (1, 2, 3))
)


class Calls:
    """Hears reports."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, str, str]] = []
        self.fails = False

    async def report_bad_replica(self, chunk_id: int, node_id: str, reason: str) -> None:
        if self.fails:
            raise Unavailable("no leader")
        self.reported.append((chunk_id, node_id, reason))


class Servers:
    """Stands in for read_chunk: asks the replicas in order until one is alive."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.bad: set[str] = set()
        self.asked: list[str] = []

    async def read_chunk(
        self, location: ChunkLocation, offset: int, length: int, connect: Any, on_bad: Any,
        _stall_ms: int,
    ) -> AsyncIterator[memoryview]:  # fmt: skip
        for replica in location.replicas:
            connect(replica.node_id, replica.listen)
            self.asked.append(replica.node_id)
            if replica.node_id in self.bad:
                on_bad(location.chunk_id, replica.node_id, "bad sum")
            elif replica.node_id not in self.dead:
                yield memoryview(bytes(length))
                return
        raise ChunkUnavailable("nobody")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    servers = Servers()
    monkeypatch.setattr(chunk_channels, "read_chunk", servers.read_chunk)
    return servers


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def chunks(calls: Calls, clock: ManualClock) -> ChannelChunkIO:
    return ChannelChunkIO(lambda _node, _listen: cast(Any, None), cast(Any, calls), clock)


async def read_all(chunks: ChannelChunkIO) -> None:
    for segment in range(12):
        await chunks.read(CHUNK, segment * 4 * limits.MIB, 4 * limits.MIB)


async def test_segments_are_spread_over_all_replicas(
    chunks: ChannelChunkIO, servers: Servers
) -> None:
    await read_all(chunks)
    assert {name: servers.asked.count(name) for name in ("c1", "c2", "c3")} == {
        "c1": 4, "c2": 4, "c3": 4,
    }  # fmt: skip


async def test_a_failed_server_is_asked_last_until_it_is_forgiven(
    chunks: ChannelChunkIO, servers: Servers, clock: ManualClock
) -> None:
    servers.dead = {"c2"}
    await read_all(chunks)
    assert servers.asked.count("c2") == 1, "once it failed, the others come first"
    clock.advance(SUSPECT_MS + 1)
    servers.dead = set()
    await read_all(chunks)
    assert servers.asked.count("c2") == 1 + 4


async def test_when_all_fail_all_are_suspects_and_still_asked(
    chunks: ChannelChunkIO, servers: Servers
) -> None:
    servers.dead = {"c1", "c2", "c3"}
    for _ in range(2):
        servers.asked.clear()
        with pytest.raises(ChunkUnavailable):
            await chunks.read(CHUNK, 0, 10)
        assert sorted(servers.asked) == ["c1", "c2", "c3"]


async def test_a_bad_replica_is_reported_and_the_read_goes_on(
    chunks: ChannelChunkIO, servers: Servers, calls: Calls
) -> None:
    servers.bad = {"c1"}
    packets = await chunks.read(CHUNK, 0, 10)
    assert sum(map(len, packets)) == 10
    await chunks.close()
    assert calls.reported == [(7, "c1", "bad sum")]


async def test_a_report_that_fails_harms_nothing(
    chunks: ChannelChunkIO, servers: Servers, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.bad, calls.fails = {"c1"}, True
    await chunks.read(CHUNK, 0, 10)
    await chunks.close()
    await asyncio.sleep(0)
    assert "not reported" in capsys.readouterr().err

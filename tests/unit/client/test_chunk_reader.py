"""Reads of chunks: any range, verified, going on with another replica where one fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client import chunk_reader
from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.errors import (
    ChunkUnavailable,
    CorruptionError,
    InvalidArgument,
    ReplicaNotFound,
    StaleChunkVersion,
)
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.rpc.chunk_packets import make_packet
from tests.support.chunkservers import ChunkCluster, chunk_cluster
from tests.support.memory_directory import memory_directory
from tests.unit.client.chunk_peers import CONTENT as CONTENT_OF_PEERS
from tests.unit.client.chunk_peers import Peers

LENGTH = 3 * MIB + 4321
CONTENT = (bytes(range(251)) * (LENGTH // 251 + 1))[:LENGTH]
CRC = crc32c(CONTENT)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as running:
        for server in running.servers.values():
            chunk = server.store.create(7, 1)
            await chunk.finish([CONTENT], CRC)
        yield running


async def _all(packets: AsyncIterator[memoryview]) -> bytes:
    return b"".join([bytes(view) async for view in packets])


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, LENGTH), (0, 1), (LENGTH - 1, 1), (BLOCK_BYTES - 1, 2), (MIB - 1, 2),
        (MIB, MIB), (12_345, 2 * MIB), (5, 0), (LENGTH, 0),
    ],
)  # fmt: skip
async def test_any_range_is_read(cluster: ChunkCluster, offset: int, length: int) -> None:
    location = cluster.location(7, LENGTH, CRC)
    found = await _all(read_chunk(location, offset, length, cluster.connect))
    assert found == CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, LENGTH + 1), (LENGTH, 1), (3, -1)])
async def test_a_range_outside_the_chunk_is_refused(
    cluster: ChunkCluster, offset: int, length: int
) -> None:
    with pytest.raises(InvalidArgument, match="not inside"):
        await _all(read_chunk(cluster.location(7, LENGTH, CRC), offset, length, cluster.connect))


@pytest.mark.parametrize("position", [0, MIB + 5, LENGTH - 1])
async def test_a_read_goes_on_where_a_corrupt_replica_ended(
    cluster: ChunkCluster, position: int
) -> None:
    cluster["c1"].flip(7, position)
    bad: list[tuple[int, str, str]] = []
    location = cluster.location(7, LENGTH, CRC)
    found = await _all(
        read_chunk(location, 0, LENGTH, cluster.connect, lambda *report: bad.append(report))
    )
    assert found == CONTENT
    assert [(chunk_id, node_id) for chunk_id, node_id, _ in bad] == [(7, "c1")]
    assert cluster["c1"].store.index.corrupt() == [7]
    assert cluster["c2"].store.index.corrupt() == []


async def test_a_read_goes_on_where_a_dying_server_ended(cluster: ChunkCluster) -> None:
    packets = read_chunk(cluster.location(7, LENGTH, CRC), 0, LENGTH, cluster.connect)
    found = bytes(await anext(packets))
    await cluster["c1"].die()
    found += await _all(packets)
    assert found == CONTENT


async def test_all_replicas_failed_says_which_and_why(cluster: ChunkCluster) -> None:
    cluster["c1"].flip(7, 0)
    await cluster["c2"].store.delete(7, 1)
    gone = Replica("c9", "127.0.0.1:1")
    location = ChunkLocation(
        7, 1, 0, LENGTH, CRC, (cluster["c1"].replica, cluster["c2"].replica, gone)
    )
    with pytest.raises(ChunkUnavailable) as failed:
        await _all(read_chunk(location, 0, LENGTH, cluster.connect))
    message = str(failed.value)
    assert "c1: chunk 7: block 0" in message
    assert "c2: chunk 7 version 1 is not on this server" in message
    assert "c9: 127.0.0.1:1: cannot connect" in message
    with pytest.raises(ChunkUnavailable, match="the masters know none"):
        await _all(read_chunk(ChunkLocation(7, 1, 0, LENGTH, CRC, ()), 0, LENGTH, cluster.connect))


async def test_another_version_is_not_read(cluster: ChunkCluster) -> None:
    store = cluster["c1"].store
    await store.seal(7, 1, 2, 1000)
    for version, error in ((1, StaleChunkVersion), (3, ReplicaNotFound)):
        with pytest.raises(error):
            store.find(7, version)
        location = cluster.location(7, 1000, 0, "c1", version=version)
        with pytest.raises(ChunkUnavailable):
            await _all(read_chunk(location, 0, 1000, cluster.connect))


async def test_whole_chunks_are_checked_against_what_the_masters_know(
    cluster: ChunkCluster,
) -> None:
    chunk = cluster["c1"].store.create(8, 1)
    await chunk.finish([CONTENT[::-1]], None)
    for name in ("c2", "c3"):
        await cluster[name].store.create(8, 1).finish([CONTENT], CRC)
    packets = read_chunk(cluster.location(8, LENGTH, CRC), 0, LENGTH, cluster.connect)
    given = [len(await anext(packets)) for _ in range(3)]
    with pytest.raises(CorruptionError, match="the masters know"):
        await anext(packets)
    assert sum(given) < LENGTH


async def test_a_small_wrong_replica_is_passed_over(cluster: ChunkCluster) -> None:
    await cluster["c1"].store.create(8, 1).finish([b"wrong"], None)
    await cluster["c2"].store.create(8, 1).finish([b"right"], None)
    bad: list[str] = []
    location = cluster.location(8, 5, crc32c(b"right"), "c1", "c2")
    found = await _all(
        read_chunk(location, 0, 5, cluster.connect, lambda _, node, __: bad.append(node))
    )
    assert found == b"right"
    assert bad == ["c1"]


async def test_a_server_that_hangs_is_left_for_another(cluster: ChunkCluster) -> None:
    location = cluster.location(7, LENGTH, CRC, "c2")
    hanging = ChunkLocation(7, 1, 0, LENGTH, CRC, (Replica("hangs", "-"), *location.replicas))

    def connect(node_id: str, listen: str) -> Any:
        return _Peer() if node_id == "hangs" else cluster.connect(node_id, listen)

    assert await _all(read_chunk(hanging, 0, LENGTH, connect, stall_ms=200)) == CONTENT
    assert _Peer.cancelled == 1


@pytest.mark.parametrize("sends", [0, 1])
async def test_a_server_that_stops_is_left_soon_while_there_is_another(
    monkeypatch: pytest.MonkeyPatch, sends: int
) -> None:
    monkeypatch.setattr(chunk_reader, "ELSEWHERE_MS", 1)
    peers = Peers(("c1", "c2"))
    peers["c1"].stops_after = sends
    found = await _all(read_chunk(peers.chunk, 0, len(CONTENT_OF_PEERS), peers.connect))
    assert found == CONTENT_OF_PEERS
    rest = sends * MIB
    assert peers["c2"].asked == [(rest, len(CONTENT_OF_PEERS) - rest)]
    peers.assert_nothing_is_open()


@pytest.mark.parametrize(
    "packets",
    [
        [make_packet(1, b"x" * 9)],
        [make_packet(0, b"x" * 11)],
        [make_packet(0, b"")],
        [(b"garbage",)],
        [(make_packet(0, b"x" * 10)[0], b"y" * 10)],
    ],
)
async def test_a_server_that_sends_something_else_is_left(packets: list[Any]) -> None:
    location = ChunkLocation(7, 1, 0, 10, 0, (Replica("liar", "-"),))
    with pytest.raises(ChunkUnavailable):
        await anext(read_chunk(location, 0, 10, lambda *_: _Peer(packets)))


class _Peer:
    """Sends what it was given, then ends; given nothing it hangs."""

    cancelled = 0

    def __init__(self, packets: list[Any] | None = None) -> None:
        self._packets = None if packets is None else [b"".join(packet) for packet in packets]

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        raise AssertionError(path)

    async def stream(self, path: str, first: Any, *, timeout_ms: int | None = None) -> Any:
        return self

    async def receive(self) -> bytes | None:
        if self._packets is None:
            await asyncio.Event().wait()
        return self._packets.pop(0) if self._packets else None

    async def cancel(self) -> None:
        type(self).cancelled += 1

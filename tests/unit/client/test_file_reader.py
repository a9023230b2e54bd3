"""AsyncFileReader: any range, reading ahead within bounds, replicas that moved."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import pytest

from pydfsnode import limits
from pydfsnode.client import file_reader
from pydfsnode.client.model import ChunkLocation
from pydfsnode.errors import ChunkUnavailable, InvalidArgument, IsADirectory, NotFound
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB
DATA = random.Random(5).randbytes(5 * MIB + 123)


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(file_reader, "SEGMENT_BYTES", MIB // 2)
    cluster = FakeCluster(2 * MIB)
    await cluster.connect().pipe_file("/f", DATA)
    return cluster


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (0, 1), (0, None), (None, None), (MIB, 3 * MIB + 7), (2 * MIB - 1, 2 * MIB + 1),
     (-10, None), (None, -10), (5 * MIB, 50 * MIB), (9 * MIB, 10 * MIB), (-99 * MIB, 5)],
)  # fmt: skip
async def test_a_range_is_what_python_slices(
    cluster: FakeCluster, start: int | None, end: int | None
) -> None:
    assert await cluster.connect().cat_file("/f", start, end) == DATA[start:end]


async def test_reads_in_order_give_the_file_whatever_their_sizes(cluster: FakeCluster) -> None:
    chance = random.Random(3)
    async with await cluster.connect().open_reader("/f") as reader:
        found = bytearray()
        while piece := await reader.read(chance.randrange(1, 700_000)):
            found += piece
            assert reader.tell() == len(found)
    assert found == DATA


async def test_seeks_between_reads_give_the_right_bytes(cluster: FakeCluster) -> None:
    chance = random.Random(4)
    async with await cluster.connect().open_reader("/f") as reader:
        for _ in range(200):
            position = chance.randrange(len(DATA) + 10)
            if chance.random() < 0.5:
                assert await reader.seek(position) == position
            position = reader.tell()
            size = chance.randrange(200_000)
            assert await reader.read(size) == DATA[position : position + size]


async def test_read_without_a_size_gives_the_rest(cluster: FakeCluster) -> None:
    async with await cluster.connect().open_reader("/f") as reader:
        await reader.seek(-100, 2)
        assert await reader.read() == DATA[-100:]
        assert await reader.read() == b""
        with pytest.raises(InvalidArgument):
            await reader.seek(-1)


async def test_a_single_read_after_a_seek_fetches_only_that(cluster: FakeCluster) -> None:
    async with await cluster.connect().open_reader("/f") as reader:
        await reader.seek(2 * MIB + 100)
        await reader.read(10)
    assert cluster.chunks.reads == [(2, 100, 10)]


async def test_who_begins_with_much_of_the_beginning_gets_the_rest_ahead(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "SEGMENT_BYTES", 2 * MIB)
    async with await cluster.connect().open_reader("/f") as reader:
        assert await reader.read(MIB) == DATA[:MIB]
        assert len(cluster.chunks.reads) > 1
        assert await reader.read_at_hand(10) == [DATA[MIB : MIB + 10], DATA[MIB + 10 : 2 * MIB]]
        assert reader.tell() == 2 * MIB
        assert await reader.read() == DATA[2 * MIB :]


@pytest.mark.parametrize(("bound", "segments"), [(MIB // 2, 1), (MIB, 2), (3 * MIB, 6)])
async def test_what_is_fetched_ahead_is_bounded_in_bytes(
    cluster: FakeCluster, bound: int, segments: int
) -> None:
    cluster.chunks.read_ahead_bytes = 4 * MIB  # for segments of the size above
    reader = await cluster.connect().open_reader("/f")
    cluster.chunks.read_ahead_bytes = bound
    consumed = 0
    async with aclosing(reader.packets()) as packets:
        async for packet in packets:
            await asyncio.sleep(0)
            consumed += len(packet)
            asked = sum(length for _, _, length in cluster.chunks.reads)
            # The packet in hand is half of its segment, which counts as a whole until it is used.
            before = consumed - len(packet)
            assert asked - before <= bound + MIB // 4
            assert asked >= min(before + bound, len(DATA)) - MIB // 2, "and it is used"
            if consumed == len(packet):
                assert len(cluster.chunks.reads) == segments, "all of the bound is used"
    assert consumed == len(DATA)


async def test_a_small_bound_makes_small_segments(cluster: FakeCluster) -> None:
    cluster.chunks.read_ahead_bytes = MIB
    reader = await cluster.connect().open_reader("/f")
    assert b"".join([bytes(packet) async for packet in reader.packets()]) == DATA
    assert max(length for _, _, length in cluster.chunks.reads) == MIB // 4


async def test_a_range_inside_a_segment_is_one_request_for_it_alone(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_work: object) -> None:
        raise AssertionError("a task for a single request")

    async with await cluster.connect().open_reader("/f") as reader:
        monkeypatch.setattr(asyncio, "ensure_future", fail)
        for start in (4 * MIB + 8192, 0, 2 * MIB - 4096):
            assert await reader.read_range(start, start + 4096) == DATA[start : start + 4096]
    assert cluster.chunks.reads == [(3, 8192, 4096), (1, 0, 4096), (1, 2 * MIB - 4096, 4096)]
    assert cluster.router.calls.count("Locate") == 1


async def test_replicas_that_moved_are_found_by_asking_the_masters_again(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    reader = await fs.open_reader("/f")
    for chunk_id in (1, 2, 3):
        for server in ("c1", "c2", "c3"):
            cluster.chunks.stored["c9", chunk_id] = cluster.chunks.stored.pop((server, chunk_id)) \
                if (server, chunk_id) in cluster.chunks.stored else \
                cluster.chunks.stored["c9", chunk_id]  # fmt: skip
    cluster.fleet.servers = ["c9"]
    assert await reader.read() == DATA
    assert cluster.router.calls.count("Locate") >= 2


async def test_a_chunk_without_replicas_is_waited_for_until_the_timeout(
    cluster: FakeCluster,
) -> None:
    cluster.chunks.dead = {"c1", "c2", "c3"}
    began = cluster.clock.monotonic_ms()
    with pytest.raises(ChunkUnavailable):
        await cluster.connect().cat_file("/f", 0, 10)
    assert cluster.clock.monotonic_ms() - began == 10_000


async def test_replicas_that_come_back_in_time_are_read(cluster: FakeCluster) -> None:
    cluster.chunks.dead = {"c1", "c2", "c3"}

    def recover(_chunk: ChunkLocation) -> None:
        if len(cluster.chunks.reads) == 4:
            cluster.chunks.dead.clear()

    cluster.chunks.before_read = recover
    assert await cluster.connect().cat_file("/f", 0, 10) == DATA[:10]


async def test_a_file_that_was_replaced_while_it_was_read_is_an_error(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    reader = await fs.open_reader("/f")
    await fs.pipe_file("/f", b"another")
    cluster.chunks.stored = {k: v for k, v in cluster.chunks.stored.items() if k[1] == 4}
    with pytest.raises(ChunkUnavailable, match="was changed while it was read"):
        await reader.read()


async def test_a_chunk_is_located_anew_once_and_its_new_place_is_remembered(
    cluster: FakeCluster,
) -> None:
    reader = await cluster.connect().open_reader("/f")
    (chunk,) = [each for each in reader._locations.chunks if each.offset == 2 * MIB]
    cluster.fleet.readable_by_chunk = {chunk.chunk_id: ["c9"]}
    moved = await reader._locate_again(chunk)
    assert [replica.node_id for replica in moved.replicas] == ["c9"]
    assert (moved.chunk_id, moved.length) == (chunk.chunk_id, chunk.length)
    cluster.chunks.stored["c9", chunk.chunk_id] = cluster.chunks.stored["c1", chunk.chunk_id]
    cluster.chunks.dead = {"c1", "c2", "c3"}
    cluster.router.calls.clear()
    assert await reader.read_range(2 * MIB, 2 * MIB + 10) == DATA[2 * MIB : 2 * MIB + 10]
    assert cluster.router.calls == []


async def test_a_chunk_that_was_made_longer_is_found_where_it_lay(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    reader = await fs.open_reader("/f")
    last = reader._locations.chunks[-1]
    async with await fs.append("/f") as writer:
        await writer.write(b"more")
    longer = await reader._locate_again(last)
    assert longer.chunk_id != last.chunk_id
    assert (longer.offset, longer.length) == (last.offset, last.length + 4)


@pytest.mark.parametrize("kept", [0, 10, 4 * MIB, 4 * MIB + 1])
async def test_a_chunk_that_was_cut_off_is_not_found_again(cluster: FakeCluster, kept: int) -> None:
    fs = cluster.connect()
    reader = await fs.open_reader("/f")
    await fs.truncate("/f", kept)
    with pytest.raises(ChunkUnavailable, match="was changed while it was read"):
        await reader._locate_again(reader._locations.chunks[-1])


async def test_a_failed_read_can_be_repeated_at_the_same_position(cluster: FakeCluster) -> None:
    reader = await cluster.connect().open_reader("/f")
    assert await reader.read(100) == DATA[:100]
    cluster.chunks.dead = {"c1", "c2", "c3"}
    with pytest.raises(ChunkUnavailable):
        await reader.read(3 * MIB)
    cluster.chunks.dead = set()
    assert reader.tell() == 100
    assert await reader.read(3 * MIB) == DATA[100 : 100 + 3 * MIB]


async def test_directories_and_missing_files_cannot_be_opened(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.mkdir("/d")
    with pytest.raises(IsADirectory):
        await fs.open_reader("/d")
    with pytest.raises(NotFound):
        await fs.open_reader("/nothing")

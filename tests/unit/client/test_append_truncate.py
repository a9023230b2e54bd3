"""Appending to and truncating files, inline and of chunks, whatever breaks on the way."""

from __future__ import annotations

import random

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.filesystem_base import Creation
from pydfsnode.client.model import AllocatedChunk
from pydfsnode.errors import (
    FileUnderConstruction,
    InvalidArgument,
    IsADirectory,
    NotFound,
    PipelineBroken,
    Unavailable,
)
from tests.unit.client.fakes import FakeCluster, FakeSink

MIB = limits.MIB
INLINE = limits.INLINE_BYTES_MAX
BLOCK = limits.BLOCK_BYTES


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(2 * MIB)


async def append(fs: AsyncFileSystem, path: str, data: bytes) -> None:
    async with await fs.append(path) as writer:
        await writer.write(data)


# ---- append


@pytest.mark.parametrize("before", [0, 10, INLINE, INLINE + 1, 2 * MIB, 3 * MIB])
@pytest.mark.parametrize("more", [0, 10, INLINE + 1, 2 * MIB + 1])
async def test_what_is_appended_lies_behind_what_was_there(
    cluster: FakeCluster, before: int, more: int
) -> None:
    fs, first, second = cluster.connect(), content(before), content(more, 2)
    await fs.pipe_file("/f", first)
    async with await fs.append("/f") as writer:
        assert writer.tell() == before
        await writer.write(second)
        assert writer.tell() == before + more
    assert writer.status.size == before + more
    assert not writer.status.under_construction
    assert await fs.cat_file("/f") == first + second
    assert writer.status.inline is (0 < before + more <= INLINE)


async def test_a_small_file_that_stays_small_takes_two_requests(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"a")
    cluster.router.calls.clear()
    await append(fs, "/f", b"b")
    assert cluster.router.calls == ["Append", "CompleteInline"]


async def test_nothing_appended_changes_nothing(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"a")
    cluster.router.calls.clear()
    await append(fs, "/f", b"")
    assert cluster.router.calls == ["Append", "Complete"]


async def test_masters_without_room_let_the_writer_make_chunks_of_it(cluster: FakeCluster) -> None:
    cluster = FakeCluster(2 * MIB, inline_total_bytes_max=5)
    fs = cluster.connect()
    await fs.pipe_file("/f", b"abc")
    await append(fs, "/f", b"def")
    assert cluster.router.calls[-3:] == ["CompleteInline", "AllocateChunk", "Complete"]
    assert await fs.cat_file("/f") == b"abcdef"


async def test_a_client_that_wants_no_small_files_makes_chunks_of_them(
    cluster: FakeCluster,
) -> None:
    await cluster.connect().pipe_file("/f", b"abc")
    fs = cluster.connect(creation=Creation(inline_bytes_max=0))
    await append(fs, "/f", b"def")
    assert not (await fs.info("/f")).inline
    assert await fs.cat_file("/f") == b"abcdef"


@pytest.mark.parametrize("before", [0, 10, 3 * MIB])
@pytest.mark.parametrize("more", [0, 10, MIB + 1])
async def test_an_append_that_is_given_up_leaves_the_file_as_it_was(
    cluster: FakeCluster, before: int, more: int
) -> None:
    fs, data = cluster.connect(), content(before)
    await fs.pipe_file("/f", data)
    writer = await fs.append("/f")
    await writer.write(content(more, 2))
    await writer.abort()
    assert not (await fs.info("/f")).under_construction
    assert await fs.cat_file("/f") == data


@pytest.mark.parametrize(
    ("written", "kept"), [(2 * MIB, 0), (4 * MIB, 2 * MIB), (5 * MIB, 4 * MIB)]
)
async def test_chunks_that_the_masters_know_whole_stay_when_an_append_is_given_up(
    cluster: FakeCluster, written: int, kept: int
) -> None:
    fs, data = cluster.connect(), content(written)
    await fs.pipe_file("/f", b"")
    writer = await fs.append("/f")
    await writer.write(data)
    await writer.abort()
    assert not (await fs.info("/f")).under_construction
    assert await fs.cat_file("/f") == data[:kept]


async def test_a_pipeline_that_breaks_while_appending_leaves_an_equal_file(
    cluster: FakeCluster,
) -> None:
    fs, first, second = cluster.connect(), content(MIB), content(3 * MIB, 2)
    await fs.pipe_file("/f", first)
    broken: list[str] = []

    def breaks(step: str, chunk: AllocatedChunk, _sink: FakeSink | None) -> str | None:
        if step != "finish" or broken:
            return None
        broken.append(chunk.targets[1].node_id)
        return broken[0]

    cluster.chunks.breaks = breaks
    await append(fs, "/f", second)
    assert broken
    assert await fs.cat_file("/f") == first + second


async def test_append_needs_a_closed_file(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    with pytest.raises(NotFound):
        await fs.append("/f")
    await fs.mkdir("/d")
    with pytest.raises(IsADirectory):
        await fs.append("/d")
    await fs.pipe_file("/f", b"x")
    writer = await fs.append("/f")
    with pytest.raises(FileUnderConstruction):
        await cluster.connect().append("/f")
    await writer.close()
    await append(cluster.connect(), "/f", b"y")


# ---- truncate


@pytest.mark.parametrize("size", [0, 10, INLINE, INLINE + 1, 2 * MIB, 3 * MIB, 5 * MIB])
@pytest.mark.parametrize(
    "kept",
    [0, 1, 9, BLOCK - 1, BLOCK, BLOCK + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 4 * MIB],
)
async def test_the_first_bytes_stay(cluster: FakeCluster, size: int, kept: int) -> None:
    fs, data = cluster.connect(), content(size)
    await fs.pipe_file("/f", data)
    if kept > size:
        with pytest.raises(InvalidArgument, match="/f"):
            await fs.truncate("/f", kept)
        assert await fs.cat_file("/f") == data
        return
    status = await fs.truncate("/f", kept)
    assert (status.size, status.under_construction) == (kept, False)
    assert await fs.cat_file("/f") == data[:kept]
    await append(fs, "/f", b"more")
    assert await fs.cat_file("/f") == data[:kept] + b"more"


async def test_a_cut_at_the_edge_of_a_chunk_is_one_request_after_a_look(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", content(5 * MIB))
    cluster.router.calls.clear()
    await fs.truncate("/f", 4 * MIB)
    assert cluster.router.calls == ["Locate", "Truncate"]


@pytest.mark.parametrize("step", ["open", "write", "finish"])
async def test_a_cut_goes_on_with_other_servers(cluster: FakeCluster, step: str) -> None:
    fs, data = cluster.connect(), content(2 * MIB)
    await fs.pipe_file("/f", data)
    broken: list[int] = []

    def breaks(at: str, chunk: AllocatedChunk, _sink: FakeSink | None) -> str | None:
        if at != step or broken:
            return None
        broken.append(chunk.chunk_id)
        return "c2"

    cluster.chunks.breaks = breaks
    await fs.truncate("/f", MIB + 5)
    assert broken
    assert cluster.fleet.excluded[-1] == ["c2"]
    assert await fs.cat_file("/f") == data[: MIB + 5]


async def test_a_cut_gives_up_after_many_breaks_and_the_file_is_as_it_was(
    cluster: FakeCluster,
) -> None:
    fs, data = cluster.connect(), content(2 * MIB)
    await fs.pipe_file("/f", data)
    cluster.chunks.breaks = lambda _step, _chunk, _sink: "c1"
    with pytest.raises(PipelineBroken):
        await fs.truncate("/f", 5)
    assert not (await fs.info("/f")).under_construction
    assert await fs.cat_file("/f") == data


async def test_a_cut_that_the_masters_do_not_answer_leaves_the_file_closed(
    cluster: FakeCluster,
) -> None:
    fs, data = cluster.connect(), content(2 * MIB)
    await fs.pipe_file("/f", data)

    def unreachable(path: str, _request: object) -> None:
        if path.endswith("Truncate"):
            raise Unavailable("nobody there")

    cluster.router.before = unreachable
    with pytest.raises(Unavailable):
        await fs.truncate("/f", 5)
    assert not (await fs.info("/f")).under_construction
    assert await fs.cat_file("/f") == data


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_a_file_that_another_writes_is_not_cut(cluster: FakeCluster, size: int) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", content(size))
    writer = await cluster.connect().append("/f")
    for kept in (0, 5):
        with pytest.raises(FileUnderConstruction):
            await fs.truncate("/f", kept)
    await writer.close()
    assert await fs.cat_file("/f") == content(size)


async def test_truncate_refuses_a_negative_size(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"x")
    with pytest.raises(InvalidArgument):
        await fs.truncate("/f", -1)

"""Files whose sizes lie at the edges: 0, 1, and those of inline contents, blocks and chunks."""

from __future__ import annotations

import random

import pytest

from pydfsnode import limits
from pydfsnode.client import file_reader
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.filesystem_base import Creation
from tests.unit.client.fakes import FakeCluster

CHUNK = limits.CHUNK_BYTES_MIN
EDGES = (limits.INLINE_BYTES_MAX, limits.BLOCK_BYTES, CHUNK, 2 * CHUNK)
SIZES = (0, 1, *(edge + step for edge in EDGES for step in (-1, 0, 1)))
DATA = random.Random(55).randbytes(max(SIZES))
NO_INLINE = Creation(inline_bytes_max=0)


@pytest.fixture(params=[Creation(), NO_INLINE], ids=["inline", "chunks-only"])
def fs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncFileSystem:
    # Several segments a chunk, so that their edges are met too.
    monkeypatch.setattr(file_reader, "SEGMENT_BYTES", CHUNK // 4)
    return FakeCluster(CHUNK).connect(creation=request.param)


async def write_in_pieces(fs: AsyncFileSystem, size: int, piece: int) -> None:
    async with await fs.open_writer("/f") as writer:
        for start in range(0, size, piece):
            await writer.write(DATA[start : min(start + piece, size)])


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_comes_back_as_it_was(fs: AsyncFileSystem, size: int) -> None:
    await fs.pipe_file("/f", DATA[:size])
    assert (await fs.info("/f")).size == size
    assert await fs.cat_file("/f") == DATA[:size]
    async with await fs.open_reader("/f") as reader:
        assert await reader.read() == DATA[:size]
        assert await reader.read() == b""
        assert b"".join([bytes(packet) async for packet in reader.packets()]) == DATA[:size]


@pytest.mark.parametrize("size", SIZES)
async def test_ranges_at_the_edges_of_any_file(fs: AsyncFileSystem, size: int) -> None:
    await fs.pipe_file("/f", DATA[:size])
    positions = sorted({0, 1, size // 2, *(size + step for step in (-1, 0, 1) if size + step > 0),
                        *(edge + step for edge in EDGES for step in (-1, 0, 1))})  # fmt: skip
    async with await fs.open_reader("/f") as reader:
        for start in positions:
            for length in (0, 1, 2, limits.BLOCK_BYTES):
                expected = DATA[:size][start : start + length]
                assert await reader.read_range(start, start + length) == expected
                await reader.seek(start)
                assert await reader.read(length) == expected


@pytest.mark.parametrize("size", SIZES)
async def test_pieces_that_do_not_fit_the_edges_make_the_same_file(
    fs: AsyncFileSystem, size: int
) -> None:
    await write_in_pieces(fs, size, 99_991)
    assert await fs.cat_file("/f") == DATA[:size]
    await fs.pipe_file("/same", DATA[:size])
    assert (await fs.info("/f")).checksum == (await fs.info("/same")).checksum


@pytest.mark.parametrize("size", [size for size in SIZES if size])
async def test_a_file_may_grow_from_any_size_to_the_next(fs: AsyncFileSystem, size: int) -> None:
    await fs.pipe_file("/f", DATA[: size - 1])
    async with await fs.append("/f") as writer:
        await writer.write(DATA[size - 1 : size])
    assert await fs.cat_file("/f") == DATA[:size]


async def test_an_empty_file_asks_no_chunkserver(fs: AsyncFileSystem) -> None:
    await fs.pipe_file("/f", b"")
    async with await fs.open_reader("/f") as reader:
        assert (reader.size, await reader.read(), await reader.read_range(0, 10)) == (0, b"", b"")
    assert fs._chunks.reads == []  # type: ignore[attr-defined]

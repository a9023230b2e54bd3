"""bench io writes what it says, notices wrong bytes, and keeps checking out of the figure."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pydfsnode.cli import bench_io
from pydfsnode.cli.bench_io import PIECE_BYTES, Pieces
from pydfsnode.errors import CorruptionError

SIZE = 2 * PIECE_BYTES + 12_345


class FakeFile:
    """Keeps what was written; gives it back in packets of 1 MiB."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.closed = False
        self.ranges: list[tuple[int, int]] = []

    @asynccontextmanager
    async def open_writer(self) -> AsyncIterator[FakeFile]:
        yield self
        self.closed = True

    @asynccontextmanager
    async def open_reader(self) -> AsyncIterator[FakeFile]:
        yield self

    async def write(self, data: bytes) -> int:
        self.content += data
        return len(data)

    async def packets(self, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        for first in range(start, end, 1 << 20):
            yield memoryview(self.content)[first : min(first + (1 << 20), end)]

    async def read_range(self, start: int, end: int) -> bytes:
        self.ranges.append((start, end))
        return bytes(self.content[start:end])


class StepClock:
    """A second passes at each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1_000_000_000
        return self.now_ns


@pytest.fixture
def pieces() -> Pieces:
    return Pieces(SIZE, random.Random(1).randbytes)


async def test_what_was_written_is_the_size_asked_for_and_not_repetitive(pieces: Pieces) -> None:
    file = FakeFile()
    assert await bench_io.write(file.open_writer, pieces, StepClock()) == round(SIZE / 1e6, 1)
    assert file.closed
    assert len(file.content) == SIZE
    assert file.content[:PIECE_BYTES] != file.content[PIECE_BYTES : 2 * PIECE_BYTES]


async def test_checking_is_not_part_of_the_read_figure(pieces: Pieces) -> None:
    file = FakeFile()
    await bench_io.write(file.open_writer, pieces)
    # Nine packets: each has two looks at the clock, one second apart, which must not count.
    figure = await bench_io.read(file.open_reader, pieces, clock=StepClock())
    assert figure == bench_io.megabytes_per_s(SIZE, 10 * 1_000_000_000)


@pytest.mark.parametrize("streams", [1, 2, 3, 7])
async def test_several_streams_read_all_of_it_and_nothing_twice(
    pieces: Pieces, streams: int
) -> None:
    file = FakeFile()
    await bench_io.write(file.open_writer, pieces)
    assert await bench_io.read(file.open_reader, pieces, streams) > 0
    assert await bench_io.read(file.open_reader, Pieces(0, random.Random(1).randbytes), 3) == 0


async def test_random_reads_are_aligned_spread_and_checked(pieces: Pieces) -> None:
    file = FakeFile()
    await bench_io.write(file.open_writer, pieces)
    load = await bench_io.read_at_random(file.open_reader, pieces, 50)
    assert load.count == 50
    assert len(set(file.ranges)) > 40
    assert all(start % 4096 == 0 and end - start == 4096 for start, end in file.ranges)
    assert max(end for _, end in file.ranges) <= SIZE
    start = file.ranges[-1][0]
    file.content[start] ^= 1
    with pytest.raises(CorruptionError, match="than were written"):
        await bench_io.read_at_random(file.open_reader, pieces, 50)


async def test_a_file_without_room_for_a_random_read_has_no_figure() -> None:
    tiny = Pieces(4095, random.Random(1).randbytes)
    load = await bench_io.read_at_random(FakeFile().open_reader, tiny, 50)
    assert (load.count, load.quantile_ms(0.99)) == (0, 0.0)


def test_shares_are_of_the_figure_with_the_same_name() -> None:
    figures = {
        "write_mb_per_s": 40.0,
        "tls_write_mb_per_s": 50.0,
        "read_mb_per_s": 3.0,
        "tls_read_several_mb_per_s": 7.0,
        "read_p99_ms": 1.0,
        "tls_read_p99_ms": 1.0,
    }
    assert bench_io.shares(figures) == {"write_of_tls_percent": 80.0}


@pytest.mark.parametrize("damage", ["flip", "cut", "swap"])
@pytest.mark.parametrize("streams", [1, 3])
async def test_wrong_bytes_are_an_error_and_not_a_figure(
    pieces: Pieces, damage: str, streams: int
) -> None:
    file = FakeFile()
    await bench_io.write(file.open_writer, pieces)
    if damage == "flip":
        file.content[PIECE_BYTES + 5] ^= 1
    elif damage == "cut":
        del file.content[-1:]
    else:
        first, second = file.content[:PIECE_BYTES], file.content[PIECE_BYTES : 2 * PIECE_BYTES]
        file.content[: 2 * PIECE_BYTES] = second + first
    with pytest.raises(CorruptionError, match="wrote"):
        await bench_io.read(file.open_reader, pieces, streams)


def test_pieces_are_the_same_on_each_walk_and_nothing_is_a_size_too(pieces: Pieces) -> None:
    assert pieces.checksum() == pieces.checksum() != 0
    assert list(Pieces(0, random.Random(1).randbytes)) == []

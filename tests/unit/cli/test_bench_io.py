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

    async def packets(self) -> AsyncIterator[bytes | memoryview]:
        for start in range(0, len(self.content), 1 << 20):
            yield memoryview(self.content)[start : start + (1 << 20)]


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
    figure = await bench_io.read(file.open_reader, pieces, StepClock())
    assert figure == bench_io.megabytes_per_s(SIZE, 10 * 1_000_000_000)


@pytest.mark.parametrize("damage", ["flip", "cut", "swap"])
async def test_wrong_bytes_are_an_error_and_not_a_figure(pieces: Pieces, damage: str) -> None:
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
        await bench_io.read(file.open_reader, pieces)


def test_pieces_are_the_same_on_each_walk_and_nothing_is_a_size_too(pieces: Pieces) -> None:
    assert pieces.checksum() == pieces.checksum() != 0
    assert list(Pieces(0, random.Random(1).randbytes)) == []

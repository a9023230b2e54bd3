"""Reading past the page cache gives the same verified bytes, and refuses the same damage."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter

MIB = limits.MIB
SIZES = (1, limits.BLOCK_BYTES, MIB - 1, MIB, MIB + 1, 3 * MIB + 12_345)


def written(path: Path, size: int) -> bytes:
    """A finished chunk file 7.1 of *size* random bytes at *path*, on a real disk."""
    content = random.Random(size).randbytes(size)
    writer = ChunkFileWriter(path, 7, 1)
    for start in range(0, size, MIB):
        writer.append([content[start : start + MIB]])
    writer.finish()
    return content


@pytest.mark.parametrize("size", SIZES)
def test_direct_reads_equal_cached_ones(tmp_path: Path, size: int) -> None:
    content = written(tmp_path / "c", size)
    with ChunkFileReader(tmp_path / "c", 7, 1, size) as reader:
        for start in range(0, size, MIB):
            length = min(MIB, size - start)
            for past_cache in (True, False):
                got = reader.read(start, length, past_cache=past_cache)
                assert got == content[start : start + length]
        assert reader.read(size // 2, 1, past_cache=True) == content[size // 2 : size // 2 + 1]


def test_a_flipped_bit_is_found_by_a_direct_read(tmp_path: Path) -> None:
    written(tmp_path / "c", 2 * MIB)
    fd = os.open(tmp_path / "c", os.O_RDWR)
    (byte,) = os.pread(fd, 1, MIB + 5)
    os.pwrite(fd, bytes([byte ^ 1]), MIB + 5)
    os.fsync(fd)
    os.close(fd)
    with ChunkFileReader(tmp_path / "c", 7, 1, 2 * MIB) as reader:
        reader.read(0, MIB, past_cache=True)
        with pytest.raises(CorruptionError, match="block 16"):
            reader.read(MIB, MIB, past_cache=True)


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_reader_goes_on_with_the_file_that_it_opened(tmp_path: Path, change: str) -> None:
    content = written(tmp_path / "c", MIB)
    with ChunkFileReader(tmp_path / "c", 7, 1, MIB) as reader:
        (tmp_path / "c").unlink()
        if change == "replaced":
            (tmp_path / "c").write_bytes(bytes(2 * MIB))
        assert reader.read(0, MIB, past_cache=True) == content


def test_a_reader_leaves_no_descriptor_open(tmp_path: Path) -> None:
    written(tmp_path / "c", MIB)
    before = len(os.listdir("/proc/self/fd"))
    with ChunkFileReader(tmp_path / "c", 7, 1, MIB) as reader:
        reader.read(0, MIB, past_cache=True)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("size", SIZES)
def test_the_checksum_of_a_range_is_that_of_its_bytes_or_not_known(
    tmp_path: Path, size: int
) -> None:
    content = written(tmp_path / "c", size)
    chance = random.Random(size)
    edges = [0, 1, limits.BLOCK_BYTES, MIB, size - 1, size, *(chance.randrange(size) for _ in "ab")]
    with ChunkFileReader(tmp_path / "c", 7, 1, size) as reader:
        for start in edges:
            for end in edges:
                if start < end <= size:
                    known = reader.checksum(start, end - start)
                    whole = start % limits.BLOCK_BYTES == 0 and (
                        end % limits.BLOCK_BYTES == 0 or end == size
                    )
                    assert known == (crc32c(content[start:end]) if whole else None)

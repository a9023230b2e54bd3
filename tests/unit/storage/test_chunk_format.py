"""The bytes of a chunk file: sizes can be inverted, the vector of FORMAT-chunks.md stays."""

import re
from pathlib import Path

import pytest

import pydfsnode.storage
from pydfsnode._fast import block_checksums, crc32c
from pydfsnode.errors import CorruptionError
from pydfsnode.limits import BLOCK_BYTES, CHUNK_BYTES_MAX
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_format import Tail

EDGES = [1, 2, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 16 * BLOCK_BYTES, CHUNK_BYTES_MAX]


def _tail(content: bytes, chunk_id: int = 7, version: int = 2) -> bytes:
    tail = Tail(crc32c(content), block_checksums(content, BLOCK_BYTES))
    return chunk_format.encode_tail(chunk_id, version, len(content), tail)


@pytest.mark.parametrize("length", EDGES)
def test_a_file_size_gives_the_length_of_its_data(length: int) -> None:
    assert chunk_format.data_bytes(length + chunk_format.tail_bytes(length)) == length


def test_no_two_lengths_have_the_same_file_size_and_other_sizes_are_refused() -> None:
    around = range(BLOCK_BYTES - 5, BLOCK_BYTES + 6)
    sizes = {length + chunk_format.tail_bytes(length): length for length in around}
    assert len(sizes) == len(around)
    for size in range(min(sizes), max(sizes) + 1):
        assert chunk_format.data_bytes(size) == sizes.get(size)
    assert [chunk_format.data_bytes(size) for size in (0, 1, 48, 52)] == [None] * 4


@pytest.mark.parametrize("length", [1, BLOCK_BYTES, 3 * BLOCK_BYTES + 17])
def test_folding_block_checksums_gives_the_checksum_of_the_whole(length: int) -> None:
    content = bytes(n * 7 % 251 for n in range(length))
    checksums = block_checksums(content, BLOCK_BYTES)
    assert chunk_format.fold_checksums(checksums, length) == crc32c(content)


def test_the_written_vector_is_what_the_code_writes() -> None:
    text = (Path(pydfsnode.storage.__file__).parent / "FORMAT-chunks.md").read_text()
    text = text[: text.index("## A segment")]
    vector = bytes.fromhex("".join(re.findall(r"^[0-9a-f]{32,64}$", text, re.MULTILINE)))
    assert vector == b"abc" + _tail(b"abc", 0x102, 3)


@pytest.mark.parametrize("position", range(52))
def test_every_flipped_bit_of_a_tail_is_detected(position: int) -> None:
    tail = bytearray(_tail(b"some bytes"))
    assert len(tail) == 52
    for bit in range(8):
        tail[position] ^= 1 << bit
        with pytest.raises(CorruptionError):
            chunk_format.decode_tail(bytes(tail), 7, 2, 10)
        tail[position] ^= 1 << bit
    assert chunk_format.decode_tail(bytes(tail), 7, 2, 10).crc32c == crc32c(b"some bytes")


@pytest.mark.parametrize(("chunk_id", "version", "length"), [(8, 2, 10), (7, 3, 10), (7, 2, 9)])
def test_a_tail_of_another_chunk_version_or_length_is_refused(
    chunk_id: int, version: int, length: int
) -> None:
    with pytest.raises(CorruptionError, match="chunk"):
        chunk_format.decode_tail(_tail(b"some bytes"), chunk_id, version, length)

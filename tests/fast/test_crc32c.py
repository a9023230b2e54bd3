"""The compiled CRC-32C, in each of its kernels, equals the bitwise definition."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from tests.reference import crc32c as reference

# RFC 3720 appendix B.4, and the check value of the catalogue of CRC algorithms.
VECTORS = {
    "no bytes": (b"", 0x00000000),
    "check value": (b"123456789", 0xE3069283),
    "32 zeros": (bytes(32), 0x8A9136AA),
    "32 ones": (b"\xff" * 32, 0x62A8AB43),
    "32 rising": (bytes(range(32)), 0x46DD794E),
    "32 falling": (bytes(range(31, -1, -1)), 0x113FDB5C),
    "iSCSI read PDU": (
        bytes.fromhex(
            "01c00000000000000000000000000000140000000000040000000014"
            "0000001828000000000000000200000000000000"
        ),
        0xD9963A56,
    ),
}
# Around the words, the three streams of up to 128 words each, and the GIL's threshold.
EDGE_SIZES = [
    *range(130),
    383,
    384,
    385,
    3071,
    3072,
    3073,
    3095,
    3096,
    3119,
    3120,
    6143,
    6144,
    6200,
    # What is folded: from 512 bytes on, 256 and then 64 at once.
    *range(510, 514),
    575,
    576,
    767,
    768,
    1023,
    1024,
    1087,
]
RANDOM_BYTES = random.Random(3720).randbytes(40_000)


KERNELS = fast.kernels()


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    fast.force_kernel(request.param)
    yield request.param
    fast.force_kernel(KERNELS[-1])


def test_each_kernel_can_be_forced_and_the_fastest_is_used_otherwise() -> None:
    assert fast.hardware() == KERNELS[-1]
    assert KERNELS[0] == "portable"
    for name in KERNELS:
        fast.force_kernel(name)
        assert fast.hardware() == name
    with pytest.raises(ValueError, match="not in list"):
        fast.force_kernel("abacus")
    assert fast.hardware() == KERNELS[-1]


@pytest.mark.parametrize("name", VECTORS)
def test_published_vectors(kernel: str, name: str) -> None:
    data, expected = VECTORS[name]
    assert fast.crc32c(data) == expected == reference.crc32c(data)


@pytest.mark.parametrize("size", EDGE_SIZES)
def test_every_edge_of_the_kernels_at_every_alignment(kernel: str, size: int) -> None:
    expected = reference.crc32c(RANDOM_BYTES[8 : 8 + size])
    for alignment in range(8):
        padded = bytearray(alignment) + RANDOM_BYTES[8 : 8 + size]
        assert fast.crc32c(memoryview(padded)[alignment:]) == expected


def test_sizes_around_the_release_of_the_gil(kernel: str) -> None:
    expected = reference.crc32c(RANDOM_BYTES[:32_767])
    for size in (32_767, 32_768, 32_769, 40_000):
        whole = reference.crc32c(RANDOM_BYTES[32_767:size], expected)
        assert fast.crc32c(RANDOM_BYTES[:size]) == whole


@given(data=st.binary(max_size=600), value=st.integers(0, 2**32 - 1))
def test_random_bytes_and_values_agree(data: bytes, value: int) -> None:
    expected = reference.crc32c(data, value)
    try:
        for name in KERNELS:
            fast.force_kernel(name)
            assert fast.crc32c(data, value) == expected
    finally:
        fast.force_kernel(KERNELS[-1])


@given(data=st.binary(max_size=400), cut=st.integers(0, 400))
def test_a_continued_checksum_equals_the_whole(data: bytes, cut: int) -> None:
    assert fast.crc32c(data[cut:], fast.crc32c(data[:cut])) == fast.crc32c(data)


@given(data=st.binary(min_size=1, max_size=400), bit=st.integers(0))
def test_a_flipped_bit_changes_the_checksum(data: bytes, bit: int) -> None:
    flipped = bytearray(data)
    flipped[bit // 8 % len(data)] ^= 1 << bit % 8
    assert fast.crc32c(flipped) != fast.crc32c(data)


@given(first=st.binary(max_size=200), second=st.binary(max_size=200))
def test_combine_equals_the_checksum_of_the_joined_bytes(first: bytes, second: bytes) -> None:
    sums = fast.crc32c(first), fast.crc32c(second)
    joined = fast.crc32c_combine(*sums, len(second))
    assert joined == reference.crc32c(first + second)
    assert joined == reference.crc32c_combine(*sums, len(second))


def test_combine_takes_sizes_beyond_memory() -> None:
    # Joining k zeros to the zeros before, by doubling, must equal one step of the whole size.
    zeros = fast.crc32c(b"\0")
    for exponent in range(63):
        zeros = fast.crc32c_combine(zeros, zeros, 2**exponent)
    step = fast.crc32c(b"\0")
    rest = fast.crc32c(b"")
    for exponent in range(63):
        rest = fast.crc32c_combine(rest, _zeros(2**exponent), 2**exponent)
    assert fast.crc32c_combine(step, rest, 2**63 - 1) == zeros


def _zeros(size: int) -> int:
    """The checksum of *size* zeros, a power of two, by doubling."""
    value, have = fast.crc32c(b"\0"), 1
    while have < size:
        value, have = fast.crc32c_combine(value, value, have), 2 * have
    return value


@given(data=st.binary(max_size=300), block_size=st.integers(1, 310))
def test_block_checksums_agree_and_verify(data: bytes, block_size: int) -> None:
    sums = fast.block_checksums(data, block_size)
    assert sums == reference.block_checksums(data, block_size)
    assert fast.verify_blocks(data, sums, block_size) == -1


@given(
    data=st.binary(min_size=1, max_size=300),
    block_size=st.integers(1, 40),
    flips=st.sets(st.integers(0, 299), min_size=1, max_size=4),
)
def test_verify_names_the_first_bad_block(data: bytes, block_size: int, flips: set[int]) -> None:
    sums = fast.block_checksums(data, block_size)
    damaged = bytearray(data)
    for at in {flip % len(data) for flip in flips}:
        damaged[at] ^= 0x10
    expected = min(flip % len(data) for flip in flips) // block_size
    assert fast.verify_blocks(damaged, sums, block_size) == expected
    assert reference.verify_blocks(bytes(damaged), sums, block_size) == expected


def test_blocks_of_large_data_agree_between_kernels_and_with_a_damaged_sum() -> None:
    data = random.Random(7).randbytes(300_001)
    sums = fast.block_checksums(data, 65_536)
    try:
        for name in KERNELS:
            fast.force_kernel(name)
            assert fast.block_checksums(data, 65_536) == sums
    finally:
        fast.force_kernel(KERNELS[-1])
    damaged = bytearray(sums)
    damaged[4 * 4 + 3] ^= 0x80
    assert fast.verify_blocks(data, damaged, 65_536) == 4
    assert len(sums) == 4 * 5


@pytest.mark.parametrize("wrong", [b"", bytes(7), bytes(9), bytes(12)])
def test_checksums_of_another_count_are_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="must be 8"):
        fast.verify_blocks(bytes(100), wrong, 50)


@pytest.mark.parametrize("block_size", [0, -1])
def test_a_block_size_below_one_is_refused(block_size: int) -> None:
    with pytest.raises(ValueError, match="block_size"):
        fast.block_checksums(b"abc", block_size)
    with pytest.raises(ValueError, match="block_size"):
        fast.verify_blocks(b"abc", bytes(4), block_size)


def test_text_and_scattered_bytes_are_refused() -> None:
    with pytest.raises(TypeError):
        fast.crc32c("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        fast.crc32c(memoryview(b"abcdef")[::2])
    with pytest.raises(OverflowError):
        fast.crc32c(b"", 2**32)


def test_a_buffer_is_free_again_after_every_call_even_a_refused_one() -> None:
    data = bytearray(100)
    fast.crc32c(data)
    fast.block_checksums(data, 7)
    with pytest.raises(ValueError):
        fast.verify_blocks(data, bytearray(3), 7)
    data.clear()  # BufferError while an export is held


def test_large_data_is_summed_without_the_gil() -> None:
    data, rounds = bytes(4 << 20), 200
    done = 0
    started = threading.Event()

    def sum_often() -> None:
        nonlocal done
        started.set()
        for _ in range(rounds):
            fast.crc32c(data)
            done += 1

    interval = sys.getswitchinterval()
    worker = threading.Thread(target=sum_often)
    # So long that only a voluntary release lets this thread run before the worker is through.
    sys.setswitchinterval(60)
    try:
        worker.start()
        started.wait()
        seen = done
    finally:
        sys.setswitchinterval(interval)
        worker.join()
    assert seen < rounds

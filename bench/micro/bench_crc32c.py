"""CRC-32C in both kernels beside zlib's CRC-32, the fastest checksum of the standard library."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from pydfsnode import limits
from tests.reference import crc32c as reference

SIZES = [64, 4 * limits.KIB, limits.BLOCK_BYTES, limits.PACKET_BYTES]
PACKET = random.Random(1).randbytes(limits.PACKET_BYTES)

KERNELS: dict[str, Callable[[bytes], int]] = {
    "fastest": fast.crc32c,
    "portable": fast.crc32c,
    "zlib.crc32": zlib.crc32,
}


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], int]]:
    of_this_processor = fast.kernels()
    fast.force_kernel("portable" if request.param == "portable" else of_this_processor[-1])
    yield KERNELS[request.param]
    fast.force_kernel(of_this_processor[-1])


@pytest.mark.parametrize("size", SIZES)
def test_checksum(benchmark: BenchmarkFixture, kernel: Callable[[bytes], int], size: int) -> None:
    benchmark.group = f"checksum of {size} bytes"
    benchmark(kernel, PACKET[:size])


@pytest.mark.benchmark(group="checksum of 64 bytes")
def test_checksum_in_python(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.crc32c, PACKET[:64])


@pytest.mark.benchmark(group="all blocks of a packet")
def test_block_checksums(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.block_checksums, PACKET, limits.BLOCK_BYTES)


@pytest.mark.benchmark(group="all blocks of a packet")
def test_verify_blocks(benchmark: BenchmarkFixture) -> None:
    sums = fast.block_checksums(PACKET, limits.BLOCK_BYTES)
    assert benchmark(fast.verify_blocks, PACKET, sums, limits.BLOCK_BYTES) == -1


@pytest.mark.benchmark(group="all blocks of a packet")
def test_block_by_block_with_zlib(benchmark: BenchmarkFixture) -> None:
    view = memoryview(PACKET)
    starts = range(0, limits.PACKET_BYTES, limits.BLOCK_BYTES)
    benchmark(lambda: [zlib.crc32(view[at : at + limits.BLOCK_BYTES]) for at in starts])


@pytest.mark.benchmark(group="combine two checksums")
def test_combine_a_block(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.crc32c_combine, 1, 2, limits.BLOCK_BYTES)


@pytest.mark.benchmark(group="combine two checksums")
def test_recompute_a_block_instead(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.crc32c, PACKET[: limits.BLOCK_BYTES], 1)

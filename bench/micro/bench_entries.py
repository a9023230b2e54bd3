"""Encoding and scanning log entries of 200 bytes beside struct and zlib.

The reference's own checksum is bitwise; struct and zlib.crc32 are what plain Python would use.
"""

from __future__ import annotations

import zlib
from collections import deque
from itertools import islice

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from tests.reference.entries import HEAD

PAYLOAD = bytes(range(200))
COUNT = 256
RUN = b"".join(fast.encode_entry(index, 7, 1, PAYLOAD) for index in range(COUNT))

CACHE = deque(fast.encode_entry(index, 7, 1, PAYLOAD) for index in range(10_000))
TAIL = len(CACHE) - COUNT


def encode_with_struct(index: int, term: int, kind: int, payload: bytes) -> bytes:
    unsummed = HEAD.pack(0, len(payload), index, term, kind, 0, 0) + payload
    return zlib.crc32(memoryview(unsummed)[4:]).to_bytes(4, "little") + unsummed[4:]


def scan_with_struct(run: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    offset = 0
    while offset < len(run):
        checksum, size, index, term, kind, _, _ = HEAD.unpack_from(run, offset)
        entry = run[offset : offset + HEAD.size + size]
        if zlib.crc32(memoryview(entry)[4:]) != checksum:
            raise ValueError(f"corrupt at {offset}")
        found.append((index, term, kind, entry))
        offset += len(entry)
    return found


@pytest.mark.benchmark(group="encode one entry")
def test_encode(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.encode_entry, 123_456, 7, 1, PAYLOAD)


@pytest.mark.benchmark(group="encode one entry")
def test_encode_with_struct(benchmark: BenchmarkFixture) -> None:
    benchmark(encode_with_struct, 123_456, 7, 1, PAYLOAD)


@pytest.mark.benchmark(group=f"scan {COUNT} entries")
def test_scan(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(fast.scan_entries, RUN)) == COUNT


@pytest.mark.benchmark(group=f"scan {COUNT} entries")
def test_scan_with_struct(benchmark: BenchmarkFixture) -> None:
    run = b"".join(encode_with_struct(index, 7, 1, PAYLOAD) for index in range(COUNT))
    assert len(benchmark(scan_with_struct, run)) == COUNT


@pytest.mark.benchmark(group=f"assemble the last {COUNT} entries of {len(CACHE)}")
def test_assemble(benchmark: BenchmarkFixture) -> None:
    _, count = benchmark(fast.assemble_entries, CACHE, TAIL, len(CACHE), 1 << 20)
    assert count == COUNT


@pytest.mark.benchmark(group=f"assemble the last {COUNT} entries of {len(CACHE)}")
def test_assemble_with_join(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: b"".join(islice(CACHE, TAIL, None)))

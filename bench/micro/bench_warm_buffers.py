"""A packet received into a warm buffer beside one received into fresh memory."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import limits
from pydfsnode._fast import WarmBuffer

PACKET = bytes(limits.PACKET_BYTES)


def test_warm(benchmark: BenchmarkFixture) -> None:
    def fill() -> None:
        with memoryview(WarmBuffer(len(PACKET))) as view:
            view[:] = PACKET

    benchmark(fill)


def test_fresh(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: bytearray(PACKET))

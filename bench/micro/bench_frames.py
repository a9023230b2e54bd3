"""Cutting frames out of a connection's bytes beside the plain Python reader."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from pydfsnode import limits
from tests.reference import frames as reference

COUNT = 100
SMALL = (fast.frame_head(200, 1, 1, 0) + bytes(200)) * COUNT
ONE = fast.frame_head(200, 1, 1, 0) + bytes(200)
PACKET = fast.frame_head(limits.PACKET_BYTES, 1, 3, 0) + bytes(limits.PACKET_BYTES)
READ_BYTES = 256 * limits.KIB  # what a TLS transport hands over at a time


def receive(reader: fast.FrameReader, received: bytes) -> int:
    """Frames completed by *received*; the copy into the view stands for the transport's read."""
    source, at, count = memoryview(received), 0, 0
    while at < len(source):
        view = reader.get_buffer(-1)
        size = min(len(view), len(source) - at)
        view[:size] = source[at : at + size]
        count += len(reader.buffer_updated(size))
        at += size
    return count


def receive_in_python(reader: reference.FrameReader, received: bytes) -> int:
    pieces = range(0, len(received), READ_BYTES)
    return sum(len(reader.feed(received[at : at + READ_BYTES])) for at in pieces)


CASES = {f"{COUNT} small frames": (SMALL, COUNT), "1 small frame": (ONE, 1), "1 MiB": (PACKET, 1)}


@pytest.mark.parametrize("case", CASES)
def test_receive(benchmark: BenchmarkFixture, case: str) -> None:
    benchmark.group = f"receive {case}"
    received, count = CASES[case]
    assert benchmark(receive, fast.FrameReader(limits.FRAME_BYTES_MAX), received) == count


@pytest.mark.parametrize("case", CASES)
def test_receive_in_python(benchmark: BenchmarkFixture, case: str) -> None:
    benchmark.group = f"receive {case}"
    received, count = CASES[case]
    reader = reference.FrameReader(limits.FRAME_BYTES_MAX)
    assert benchmark(receive_in_python, reader, received) == count


@pytest.mark.benchmark(group="head of a frame")
def test_frame_head(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.frame_head, 200, 1, 3, 0)


@pytest.mark.benchmark(group="head of a frame")
def test_frame_head_with_struct(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.frame_head, 200, 1, 3, 0)

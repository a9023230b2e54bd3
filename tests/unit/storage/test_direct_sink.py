"""A file written through a sink holds exactly what was given to it, however it was cut."""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode._fast import WarmBuffer
from pydfsnode.storage import aligned_units
from pydfsnode.storage.aligned_units import UNIT_BYTES
from pydfsnode.storage.direct_sink import DirectSink


@pytest.fixture(params=["disk", "shm"])
def descriptor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A new file, on a disk and on a file system that may know no O_DIRECT."""
    directory = tmp_path if request.param == "disk" else Path("/dev/shm")
    path = directory / f"pydfs-sink-{os.getpid()}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    yield fd
    os.close(fd)
    path.unlink()


def content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size + 1, 0)


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [1],
        [UNIT_BYTES],
        [UNIT_BYTES, 1],
        [UNIT_BYTES - 1, 1, UNIT_BYTES],
        [3 * UNIT_BYTES + 17],
        [5, 2 * UNIT_BYTES, 7],
        [UNIT_BYTES, 100, UNIT_BYTES, 100],
    ],
)
def test_the_file_holds_what_was_written(descriptor: int, sizes: list[int]) -> None:
    chooser = random.Random(5)
    parts = [chooser.randbytes(size) for size in sizes]
    sink = DirectSink(descriptor)
    for part in parts:
        sink.write([memoryview(part)])
    assert sink.settle() == sum(sizes)
    assert content(descriptor) == b"".join(parts)
    assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT


def test_writing_goes_on_after_a_settle(descriptor: int) -> None:
    first, second, third = (random.Random(n).randbytes(UNIT_BYTES + 9) for n in range(3))
    sink = DirectSink(descriptor)
    sink.write([first])
    sink.settle()
    sink.write([second, third])
    assert sink.settle() == 3 * (UNIT_BYTES + 9)
    assert content(descriptor) == first + second + third


def test_large_parts_pass_the_page_cache_by_where_the_disk_can(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    try:
        sink = DirectSink(fd)
        sink.write([bytes(UNIT_BYTES)])
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT
        sink.settle()
    finally:
        os.close(fd)


def test_units_are_used_again(descriptor: int) -> None:
    aligned_units._pool.clear()
    for _ in range(3):
        sink = DirectSink(descriptor)
        sink.write([bytes(UNIT_BYTES)])
        sink.release()
        sink.release()
    assert len(aligned_units._pool) == 1


@pytest.mark.parametrize("before", [0, 100, UNIT_BYTES])
def test_a_unit_that_is_aligned_already_is_written_as_it_is(descriptor: int, before: int) -> None:
    parts = [random.Random(n).randbytes(size) for n, size in enumerate((before, UNIT_BYTES, 9))]
    received = WarmBuffer(UNIT_BYTES + 16, 16)
    with memoryview(received) as view:
        view[16:] = parts[1]
    sink = DirectSink(descriptor)
    for part in (parts[0], received.frozen_view()[16:], parts[2]):
        sink.write([memoryview(part)])
    assert sink.settle() == sum(map(len, parts))
    assert content(descriptor) == b"".join(parts)

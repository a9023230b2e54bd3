"""A range is read in one job a packet, and its file is closed whatever becomes of the read."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, ReplicaNotFound, Unavailable
from pydfsnode.limits import PACKET_BYTES
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.disk_threads import DiskThreads
from pydfsnode.storage.range_read import RangeRead
from tests.support.memory_directory import memory_directory

SIZE = 3 * PACKET_BYTES + 77
CONTENT = (bytes(range(251)) * (SIZE // 251 + 1))[:SIZE]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ChunkStore]:
    opened = await ChunkStore.open(tmp_path, 0)
    await opened.create(7, 1).finish([CONTENT], None)
    yield opened
    await opened.close()


def open_chunks(directory: Path) -> list[str]:
    """What this process has open below the chunks of *directory*."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # that of the listing itself
            continue
        if target.startswith(str(directory / "chunks")):
            found.append(target)
    return found


async def until_closed(directory: Path) -> None:
    async with asyncio.timeout(20):
        while open_chunks(directory):
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("offset", "length", "jobs"), [(5, 100, 1), (0, SIZE, 4), (PACKET_BYTES - 1, 2, 2)]
)
async def test_a_job_for_each_packet_and_none_besides(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    offset: int, length: int, jobs: int,
) -> None:  # fmt: skip
    begun: list[Callable[..., Any]] = []
    submit, start = DiskThreads.submit, DiskThreads.start

    def noted_submit(self: DiskThreads, disk: Any, work: Callable[..., Any], *args: Any) -> None:
        begun.append(work)
        submit(self, disk, work, *args)

    def noted_start(
        self: DiskThreads, disk: Any, work: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        begun.append(work)
        return start(self, disk, work, *args)

    monkeypatch.setattr(DiskThreads, "submit", noted_submit)
    monkeypatch.setattr(DiskThreads, "start", noted_start)
    packets = [packet async for packet in store.read(7, 1, offset, length)]
    assert b"".join(packet.data for packet in packets) == CONTENT[offset : offset + length]
    assert [packet.crc32c for packet in packets] == [crc32c(packet.data) for packet in packets]
    assert len(begun) == jobs
    assert not open_chunks(tmp_path)


async def test_a_read_that_is_given_up_closes_its_file(store: ChunkStore, tmp_path: Path) -> None:
    packets = store.read(7, 1, 0, SIZE)
    assert isinstance(packets, AsyncGenerator)
    await anext(packets)
    assert open_chunks(tmp_path)
    await packets.aclose()
    await until_closed(tmp_path)


async def test_a_cancelled_read_closes_its_file(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    read = ChunkFileReader.read

    def held_up(self: ChunkFileReader, *args: Any, **named: Any) -> memoryview:
        reading.set()
        go_on.wait(20)
        return read(self, *args, **named)

    monkeypatch.setattr(ChunkFileReader, "read", held_up)
    task = asyncio.ensure_future(anext(store.read(7, 1, 0, SIZE)))
    await asyncio.to_thread(reading.wait, 20)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_closed(tmp_path)


async def test_a_corrupt_block_closes_the_file_and_marks_the_replica(
    store: ChunkStore, tmp_path: Path
) -> None:
    (path,) = (path for path in (tmp_path / "chunks").rglob("*") if path.is_file())
    with path.open("r+b") as file:
        file.seek(PACKET_BYTES + 3)
        file.write(b"\xff\x00\xff")
    with pytest.raises(CorruptionError, match="block 16"):
        [packet async for packet in store.read(7, 1, 0, SIZE)]
    await until_closed(tmp_path)
    with pytest.raises(CorruptionError, match="corrupt"):
        await anext(store.read(7, 1, 0, 1))


async def test_a_chunk_that_vanished_is_not_there(store: ChunkStore, tmp_path: Path) -> None:
    (path,) = (path for path in (tmp_path / "chunks").rglob("*") if path.is_file())
    path.unlink()
    with pytest.raises(ReplicaNotFound):
        await anext(store.read(7, 1, 0, 1))


async def test_nothing_is_opened_after_the_close(store: ChunkStore, tmp_path: Path) -> None:
    held = store.find(7, 1)
    reading = RangeRead(store._replicas, store._touched, held, 0, SIZE)
    reading.close()
    with pytest.raises(Unavailable, match="given up"):
        reading.next()
    assert not open_chunks(tmp_path)

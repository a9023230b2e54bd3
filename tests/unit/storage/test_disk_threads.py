"""Each disk has its own threads: one that hangs holds up nobody else, and is left out."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import DurabilityFailure, PydfsError, StorageError
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_locks import ChunkLocks
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.disk_threads import THREADS_PER_DISK, DiskThreads

CHUNKS = 4 * THREADS_PER_DISK
LOOKS_MAX = 2


class HangingDisk:
    """Everything that is made durable below a directory waits, from `hang` on, for `goes_on`."""

    def __init__(self, below: Path) -> None:
        self._below = str(below)
        self._fdatasync = os.fdatasync
        self.hang = False
        self.goes_on = threading.Event()
        self.entered = threading.Event()

    def fdatasync(self, fd: int) -> None:
        if self.hang and os.readlink(f"/proc/self/fd/{fd}").startswith(self._below):
            self.entered.set()
            self.goes_on.wait(60)
        self._fdatasync(fd)


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingDisk]:
    disk = HangingDisk(tmp_path / "a")
    monkeypatch.setattr(os, "fdatasync", disk.fdatasync)
    yield disk
    disk.goes_on.set()


async def _opened(directory: Path, *names: str) -> ChunkStore:
    return await ChunkStore.open_disks(
        [ChunkDisk(directory / name, number=number) for number, name in enumerate(names)]
    )


async def _write_all(store: ChunkStore) -> tuple[list[asyncio.Task[int]], list[asyncio.Task[int]]]:
    """Begin to write many chunks: (those on the first disk, those on the second)."""
    found: tuple[list[asyncio.Task[int]], list[asyncio.Task[int]]] = ([], [])
    for chunk_id in range(CHUNKS):
        chunk = store.create(chunk_id, 1)
        disk = store._replicas.disk_of(chunk_id)
        writing = asyncio.ensure_future(chunk.finish([b"content"], None))
        found[store.disks.all.index(disk)].append(writing)
    return found


async def test_a_disk_that_hangs_holds_up_only_its_own_chunks_and_is_left_out(
    tmp_path: Path, hanging: HangingDisk
) -> None:
    store = await _opened(tmp_path, "a", "b")
    hanging.hang = True
    on_a, on_b = await _write_all(store)
    assert len(on_a) > THREADS_PER_DISK
    assert await asyncio.gather(*on_b) == [crc32c(b"content")] * len(on_b)
    await asyncio.to_thread(hanging.entered.wait, 10)
    assert not any(writing.done() for writing in on_a)

    for _ in range(LOOKS_MAX):
        store.look_at_disks(LOOKS_MAX)
        assert not store.disks.failed
    store.look_at_disks(LOOKS_MAX)
    for writing in on_a:
        with pytest.raises(StorageError, match="does not answer"):
            await writing
    while not store.disks.failed:
        await asyncio.sleep(0)
    assert [disk.directory.name for disk in store.disks.failed] == ["a"]
    assert len(store.index) == len(on_b)
    for chunk_id in range(CHUNKS, CHUNKS + 5):
        await store.create(chunk_id, 1).finish([b"content"], None)
    await store.close()
    hanging.goes_on.set()
    assert len(store.index) == len(on_b) + 5, "what a hung thread ends later does not count"


async def test_a_store_whose_only_disk_hangs_fails(tmp_path: Path, hanging: HangingDisk) -> None:
    store = await _opened(tmp_path, "a")
    hanging.hang = True
    writing = asyncio.ensure_future(store.create(1, 1).finish([b"content"], None))
    await asyncio.to_thread(hanging.entered.wait, 10)
    for _ in range(LOOKS_MAX + 1):
        store.look_at_disks(LOOKS_MAX)
    with pytest.raises(PydfsError):
        await writing
    assert isinstance(await store.failed, DurabilityFailure)
    await store.close()


async def test_the_looks_of_a_process_that_was_stopped_do_not_count_time(tmp_path: Path) -> None:
    threads, disk = DiskThreads(), ChunkDisk(tmp_path)
    first, second = threading.Event(), threading.Event()
    one = threads.start(disk, first.wait, 10)
    two = threads.start(disk, second.wait, 10)
    while len(threads._jobs[disk].running) < 2:
        await asyncio.sleep(0)
    assert threads.look(1) == []
    first.set()
    await one
    assert threads.look(1) == [], "the oldest is another one"
    assert threads.look(1) == [disk]
    second.set()
    assert await two
    assert threads.look(1) == []
    threads.close()


async def test_an_error_is_told_and_work_that_was_not_begun_can_be_cancelled(
    tmp_path: Path,
) -> None:
    threads, disk = DiskThreads(), ChunkDisk(tmp_path)
    with pytest.raises(ZeroDivisionError):
        await threads.start(disk, lambda: 1 // 0)
    go, done = threading.Event(), threading.Event()
    busy = [threads.start(disk, go.wait, 10) for _ in range(THREADS_PER_DISK)]
    waiting = threads.start(disk, done.set)
    waiting.cancel()
    assert await threads.start(None, lambda: 7) == 7, "what is of no disk goes on"
    go.set()
    await asyncio.gather(*busy)
    threads.close()
    assert not done.is_set()


def test_who_waits_for_a_chunk_that_hangs_gives_up_and_others_are_not_held_up() -> None:
    locks = ChunkLocks(wait_s=0.01)
    with locks.all([3, 1, 3]):
        with pytest.raises(StorageError, match=r"chunk 3.*does not answer"), locks.one(3):
            pass
        with locks.one(3 + 1024):
            pass
    with locks.one(3):
        pass
    assert not locks._locks


async def test_a_store_closes_although_a_disk_hangs_that_nobody_noticed(
    tmp_path: Path, hanging: HangingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskThreads.close, "__defaults__", ((), 0.01))
    store = await _opened(tmp_path, "a")
    hanging.hang = True
    writing = asyncio.ensure_future(store.create(1, 1).finish([b"content"], None))
    await asyncio.to_thread(hanging.entered.wait, 10)
    await store.close()
    assert not writing.done()
    hanging.goes_on.set()
    assert await writing == crc32c(b"content")

"""How much is free is told at once, also by a disk that hangs."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from pydfsnode.storage.answered_soon import FRESH_S, USABLE_S, AnsweredSoon
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_store import ChunkStore


class Free(NamedTuple):
    f_bavail: int
    f_frsize: int = 1


class Disk:
    """Answers with `free`, from `hang` on after `goes_on`."""

    def __init__(self) -> None:
        self.free = 7
        self.asked = 0
        self.hang = False
        self.goes_on = threading.Event()

    def ask(self) -> int:
        self.asked += 1
        if self.hang:
            self.goes_on.wait(60)
        return self.free


def test_a_disk_that_hangs_is_taken_at_its_last_word_and_asked_only_once() -> None:
    soon, disk = AnsweredSoon(wait_s=0.01), Disk()
    assert soon.measure(disk.ask) == 7
    disk.free, disk.hang = 9, True
    assert [soon.measure(disk.ask) for _ in range(5)] == [7] * 5
    assert disk.asked == 2
    disk.hang = False
    disk.goes_on.set()
    asked = soon._asked
    assert asked is not None
    assert asked.result(10) == 9
    soon._wait_s = 10
    assert soon.measure(disk.ask) == 9


def test_an_answer_counts_for_a_moment_where_there_is_a_clock() -> None:
    disk, now_s = Disk(), [5.0]
    soon = AnsweredSoon(seconds=lambda: now_s[0])
    assert [soon.measure(disk.ask) for _ in range(3)] == [7] * 3
    assert disk.asked == 1
    now_s[0] += 2 * USABLE_S
    disk.free = 8
    assert soon.measure(disk.ask) == 8


def test_nobody_waits_for_the_next_answer_while_the_last_one_is_young() -> None:
    disk, now_s = Disk(), [5.0]
    soon = AnsweredSoon(wait_s=10, seconds=lambda: now_s[0])
    assert soon.measure(disk.ask) == 7
    now_s[0] += 2 * FRESH_S
    disk.free, disk.hang = 8, True
    assert [soon.measure(disk.ask) for _ in range(3)] == [7] * 3
    disk.goes_on.set()
    asked = soon._asked
    assert asked is not None
    assert asked.result(10) == 8
    assert soon.measure(disk.ask) == 8
    assert disk.asked == 2


def test_an_error_is_told_also_one_that_says_that_it_took_too_long() -> None:
    soon, disk = AnsweredSoon(), Disk()
    soon.measure(disk.ask)
    for kind in (PermissionError, TimeoutError):

        def fail(kind: type[OSError] = kind) -> int:
            raise kind("no")

        with pytest.raises(kind, match="no"):
            soon.measure(fail)
    assert soon.measure(disk.ask) == 7


def test_its_thread_ends_with_it() -> None:
    soon = AnsweredSoon()
    soon.measure(Disk().ask)
    pool = soon._pool
    del soon
    gc.collect()
    assert pool.shutdown(10)


async def test_a_disk_that_does_not_say_how_much_is_free_does_not_hold_up_the_loop(
    tmp_path: Path,
) -> None:
    free = Disk()
    free.free = 1 << 40

    def statvfs(_: Path) -> Free:
        return Free(free.ask())

    store = await ChunkStore.open_disks([ChunkDisk(tmp_path, statvfs=statvfs)])
    assert store.free_bytes() == 1 << 40
    free.hang = True
    assert await asyncio.wait_for(_write(store), 20) == 1
    assert store.free_bytes() == 1 << 40
    free.goes_on.set()
    await store.close()


async def _write(store: ChunkStore) -> int:
    await store.create(1, 1).finish([b"content"], None)
    return len(store.index)

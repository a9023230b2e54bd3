"""Brings small chunks that are finished at the same time together, so that they share a sync.

While one batch of a disk is made durable the next one gathers: no timer, and a chunk that is alone
does not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from pydfsnode.errors import PydfsError, Unavailable
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_growing import GrowingChunks

BATCH_CHUNKS_MAX = 256

Outcomes = list[int | PydfsError]
Batch = Sequence[tuple[ChunkFileWriter, int | None]]
Start = Callable[[ChunkDisk | None, Batch], "asyncio.Future[Outcomes]"]


class _Waiting(NamedTuple):
    writer: ChunkFileWriter
    crc: int | None
    done: asyncio.Future[int]


class ChunkPacker:
    """Make it inside the loop."""

    def __init__(self, growing: GrowingChunks, start: Start) -> None:
        """*start* begins `ChunkReplicas.finish_all` in a thread of the disk."""
        self._loop = asyncio.get_running_loop()
        self._growing = growing
        self._start = start
        self._waiting: dict[ChunkDisk | None, list[_Waiting]] = {}
        self._busy: set[ChunkDisk | None] = set()

    async def finish(self, writer: ChunkFileWriter, crc: int | None) -> int:
        """As `ChunkReplicas.finish`; goes on when the caller is cancelled."""
        disk = self._growing.disk(writer)
        done: asyncio.Future[int] = self._loop.create_future()
        done.add_done_callback(_look_at_error)
        self._waiting.setdefault(disk, []).append(_Waiting(writer, crc, done))
        if disk not in self._busy:
            self._next(disk)
        return await asyncio.shield(done)

    def _next(self, disk: ChunkDisk | None) -> None:
        waiting = self._waiting.pop(disk, [])
        batch, rest = waiting[:BATCH_CHUNKS_MAX], waiting[BATCH_CHUNKS_MAX:]
        if rest:
            self._waiting[disk] = rest
        self._busy.discard(disk)
        if not batch:
            return
        try:
            future = self._start(disk, [(one.writer, one.crc) for one in batch])
        except PydfsError as error:  # the store is closed, or its disks failed
            _tell(batch, [error] * len(batch))
            self._next(disk)
            return
        self._busy.add(disk)
        future.add_done_callback(partial(self._ended, disk, batch))

    def _ended(
        self, disk: ChunkDisk | None, batch: list[_Waiting], future: asyncio.Future[Outcomes]
    ) -> None:
        if future.cancelled():
            _tell(batch, [Unavailable("the chunk store is closed: this node stops")] * len(batch))
        elif (error := future.exception()) is not None:
            _tell(batch, [error] * len(batch))
        else:
            _tell(batch, future.result())
        self._next(disk)


def _tell(batch: Sequence[_Waiting], outcomes: Sequence[int | BaseException]) -> None:
    for one, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            one.done.set_exception(outcome)
        else:
            one.done.set_result(outcome)


def _look_at_error(future: asyncio.Future[int]) -> None:
    """Mark the error of what nobody awaits any more as seen."""
    if not future.cancelled():
        future.exception()

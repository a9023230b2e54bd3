"""The threads that do the blocking work of a chunk store: each disk has its own.

So a disk that is slow or hangs holds up only what was asked of it. A job that does not come back is
noticed by `look`: a job counts by the looks that it outlasts, not by time, so that a process that
was stopped for a while does not take its disks for hung.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar, TypeVarTuple

from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.daemon_pool import DaemonPool

THREADS_PER_DISK = 8
"""Also of the work that is of no disk."""
CLOSE_WAIT_S = 5.0
"""A disk whose work does not end in this time is left as it is when the node stops."""

T = TypeVar("T")
Args = TypeVarTuple("Args")


class _Jobs:
    """The work of one disk."""

    def __init__(self, name: str) -> None:
        self.pool = DaemonPool(THREADS_PER_DISK, name)
        self.running: dict[object, None] = {}
        """One key for each job that a thread does now, the oldest first."""
        self.waited_for: set[asyncio.Future[object]] = set()
        self.oldest: object = None
        """At the last look."""
        self.looks = 0
        """How many in a row it was there before that one."""

    def do(self, work: Callable[[], T]) -> T:
        """Run *work*, in a thread of the pool."""
        job = object()
        self.running[job] = None
        try:
            return work()
        finally:
            del self.running[job]


class DiskThreads:
    """Begin and await work; make it inside the loop. `None` is the work that is of no disk."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[ChunkDisk | None, _Jobs] = {None: _Jobs("chunk-io")}

    def submit(self, disk: ChunkDisk | None, work: Callable[[*Args], object], *args: *Args) -> None:
        """Begin *work*; nobody asks what became of it."""
        jobs = self._jobs_of(disk)
        jobs.pool.submit(partial(jobs.do, partial(work, *args)))

    def start(
        self, disk: ChunkDisk | None, work: Callable[[*Args], T], *args: *Args
    ) -> asyncio.Future[T]:
        """Begin *work* in a thread of *disk*; its error needs not be looked at.

        What still waits for a thread is not done at all when the future is cancelled.
        """
        jobs = self._jobs_of(disk)
        done: asyncio.Future[T] = self._loop.create_future()
        jobs.waited_for.add(done)  # type: ignore[arg-type]  # sets are not covariant
        inner = jobs.pool.submit(partial(jobs.do, partial(work, *args)))

        def ended(inner: Future[T]) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, done, inner)

        def left(done: asyncio.Future[T]) -> None:
            jobs.waited_for.discard(done)
            if done.cancelled():
                inner.cancel()
            else:
                done.exception()  # seen

        inner.add_done_callback(ended)
        done.add_done_callback(left)
        return done

    def look(self, looks_max: int) -> list[ChunkDisk]:
        """The disks that have been at one job for more than *looks_max* looks, this one among them.

        To be called at even intervals.
        """
        hung = []
        for disk, jobs in self._jobs.items():
            oldest = next(iter(list(jobs.running)), None)
            same = oldest is not None and oldest is jobs.oldest
            jobs.looks = jobs.looks + 1 if same else 0
            jobs.oldest = oldest
            if disk is not None and jobs.looks >= looks_max:
                hung.append(disk)
        return hung

    def abandon(self, disk: ChunkDisk, error: Exception) -> None:
        """Whoever waits for work of *disk* gets *error* instead; its threads stay where they are.

        What waits there for a thread is not done any more.
        """
        jobs = self._jobs_of(disk)
        jobs.pool.shutdown(0, cancel=True)
        for done in list(jobs.waited_for):
            if not done.done():
                done.set_exception(error)
        # Work that is still asked of it is refused by the store, in threads that can do that.
        self._jobs[disk] = _Jobs("chunk-io")

    def close(
        self, failed: Sequence[ChunkDisk] = (), wait_s: float = CLOSE_WAIT_S
    ) -> list[ChunkDisk]:
        """Begin nothing more and wait for what was begun, but not for disks that *failed*.

        Returns:
            The disks whose work has not ended: what is on them must not be touched here.
        """
        hung = []
        for disk, jobs in list(self._jobs.items()):
            ended = jobs.pool.shutdown(0 if disk in failed else wait_s)
            if disk is not None and not ended:
                hung.append(disk)
        return hung

    def _jobs_of(self, disk: ChunkDisk | None) -> _Jobs:
        jobs = self._jobs.get(disk)
        if jobs is None:
            assert disk is not None
            jobs = self._jobs[disk] = _Jobs(f"chunk-io-{disk.directory.name}")
        return jobs


def _settle(done: asyncio.Future[T], inner: Future[T]) -> None:
    if done.done():  # abandoned or cancelled
        return
    if inner.cancelled():
        done.cancel()
    elif (error := inner.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(inner.result())

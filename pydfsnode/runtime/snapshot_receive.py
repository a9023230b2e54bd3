"""Receives a snapshot from the leader: verifies each frame, stages its rows, installs them.

One transfer at a time: a newer snapshot supersedes an older one under way, the same one again is
refused while it runs. What was staged of a broken stream stays, and the next one goes on from
there. Nothing of the present state is touched before all rows are staged and durable (trap F7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from pydfsnode.errors import MalformedMessage, Overloaded, PermissionDenied, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import member_name
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.runtime.snapshot_frames import (
    Place,
    RowFrame,
    RowsSoFar,
    SnapshotReply,
    StateRow,
    frame_slices,
)

RESTS = 3
"""After each slice, so many times as long as it took: nobody waits for this node, others that share
its machine and its disk are waited for."""
FRAME_S = 120.0
"""A sender that is silent for longer has gone, though its connection stands."""
RETRY_AFTER_MS = 1_000

_log = get_logger("runtime.snapshot_receive")
T = TypeVar("T")
_Key = tuple[int, int]


class IncomingStream(Protocol):
    """The stream of a sender, after its header. Failures are PydfsErrors."""

    async def receive(self) -> RowFrame | None:
        """The next frame; None when the sender ended the stream."""
        ...

    async def send(self, reply: SnapshotReply) -> None:
        """Answer."""
        ...


class SnapshotStage(Protocol):
    """Where rows wait to become the state (storage.raft_log); on the storage thread.

    `after`, `row_count` and `crc`, the CRC32C of all packed rows, say what it holds.
    """

    @property
    def after(self) -> Place | None:
        """The last row held."""
        ...

    @property
    def row_count(self) -> int:
        """Rows held."""
        ...

    @property
    def crc(self) -> int:
        """As last given to `add`."""
        ...

    def add(self, rows: Sequence[StateRow], row_count: int, crc: int) -> None:
        """Stage *rows*; with them there are *row_count*, of checksum *crc*."""
        ...

    def finish(self, row_count: int, crc: int) -> None:
        """Make all durable. Raises CorruptionError when other rows are here than those."""
        ...


class SnapshotFollower(Protocol):
    """The part of the driver used here."""

    def snapshot_offered(self, header: SnapshotHeader) -> bool:
        """Whether it is wanted: of a current leader, and beyond what is committed here."""
        ...

    def install_snapshot(self, header: SnapshotHeader) -> Awaitable[bool]:
        """Make what is staged the state of this node; whether that was done."""
        ...

    def run_on_log(self, job: Callable[[], T]) -> Awaitable[T]:
        """Run *job* on the storage thread, after everything before it."""
        ...


class SnapshotReceiver:
    """See the module. *stage* is `RaftLog.stage`: (index, term of index) to the stage for it."""

    def __init__(
        self, driver: SnapshotFollower, stage: Callable[[int, int], SnapshotStage]
    ) -> None:
        self._driver = driver
        self._stage = stage
        self._present: _Key | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, header: SnapshotHeader, caller: str, stream: IncomingStream) -> None:
        """Serve one stream that began with *header*; *caller* is its certificate's name.

        Raises:
            PermissionDenied: the header speaks in another's name.
            Overloaded: this snapshot is on its way already, by another stream.
            Unavailable: a newer one took its place.
            MalformedMessage, CorruptionError: a frame is not what it should be.
        """
        if member_name(header.sender) != caller:
            raise PermissionDenied(f"'{caller[:64]}' offered a snapshot of '{header.sender[:64]}'")
        key, present = (header.term, header.index), self._present
        if present is not None and key == present:
            raise Overloaded(
                f"the snapshot at {header.index} is being received already: come again later",
                retry_after_ms=RETRY_AFTER_MS,
            )
        if (present is not None and key < present) or not self._driver.snapshot_offered(header):
            await stream.send(SnapshotReply(wanted=False))
            return
        await self._alone(key, self._transfer(header, stream, frozenset(self._tasks)))

    async def _alone(self, key: _Key, transfer: Coroutine[Any, Any, None]) -> None:
        """Run *transfer* to its end; it waits for those that this ends."""
        for older in self._tasks:
            older.cancel()
        task = asyncio.get_running_loop().create_task(transfer, name=f"snapshot at {key[1]}")
        self._tasks.add(task)
        self._present = key
        try:
            await _settled(task, when_cancelled=task.cancel)
        finally:
            self._tasks.discard(task)
            if self._present == key:
                self._present = None
        if task.cancelled():
            raise Unavailable("a newer snapshot took the place of this one")
        task.result()

    async def _transfer(
        self, header: SnapshotHeader, stream: IncomingStream, older: frozenset[asyncio.Task[None]]
    ) -> None:
        for task in older:
            await _settled(task)
        if older and not self._driver.snapshot_offered(header):
            await stream.send(SnapshotReply(wanted=False))
            return
        run = self._driver.run_on_log
        stage = await _result(run(lambda: self._stage(header.index, header.index_term)))
        so_far = RowsSoFar(stage.row_count, stage.crc, stage.after)
        _log.info(
            "snapshot begins", sender=header.sender, index=header.index, rows_held=stage.row_count
        )
        await stream.send(
            SnapshotReply(wanted=True, resume_after=stage.after, row_count=stage.row_count)
        )
        last, time_s = False, asyncio.get_running_loop().time
        while not last:
            frame = await _next_frame(stream)
            last = frame.last
            slices, began_s = frame_slices(frame, so_far), time_s()
            while (part := await asyncio.to_thread(next, slices, None)) is not None:
                rows, so_far = part
                await _result(run(_adding(stage, rows, so_far)))
                await asyncio.sleep(RESTS * (time_s() - began_s))
                began_s = time_s()
        await _result(run(lambda: stage.finish(so_far.row_count, so_far.crc32c)))
        installed = await _result(self._driver.install_snapshot(header))
        _log.info("snapshot ends", index=header.index, rows=so_far.row_count, installed=installed)
        await stream.send(SnapshotReply(installed=installed, row_count=so_far.row_count))


async def _next_frame(stream: IncomingStream) -> RowFrame:
    try:
        async with asyncio.timeout(FRAME_S):
            frame = await stream.receive()
    except TimeoutError:
        raise Unavailable(f"no frame of the snapshot came for {FRAME_S} s") from None
    if frame is None:
        raise MalformedMessage("the stream of a snapshot ended before its last frame")
    return frame


async def _result(work: Awaitable[T]) -> T:
    """The result of *work*, which goes on to its end when this task is cancelled.

    The cancellation comes after it: the next transfer must not meet a step of this one.
    """
    future = asyncio.ensure_future(work)
    await _settled(future)
    return future.result()


async def _settled(
    future: asyncio.Future[Any], when_cancelled: Callable[[], object] = lambda: None
) -> None:
    """Return when *future* is done, whatever it gave; only then raise a cancellation of this task.

    *when_cancelled* is called at each.
    """
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            cancelled = True
            when_cancelled()
    if cancelled:
        if not future.cancelled():
            future.exception()  # seen: nobody is left to be told
        raise asyncio.CancelledError


def _adding(
    stage: SnapshotStage, rows: Sequence[StateRow], so_far: RowsSoFar
) -> Callable[[], None]:
    return lambda: stage.add(rows, so_far.row_count, so_far.crc32c)

"""Sends snapshots to masters that lack entries which the leader's log holds no more.

One transfer a peer, over a view of the state table that stays open until it ends. Rows are read and
compressed in a thread, one frame ahead of what is sent, no faster than the configured rate. A
broken stream is dialled again and goes on where the receiver says, while this node leads in the
same term (trap F5). However a transfer ends, the driver hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from pydfsnode.errors import CorruptionError, PydfsError, StorageError, invariant
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.effects import SnapshotWanted
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.runtime.clock import Clock, stopwatch_s
from pydfsnode.runtime.retry import SNAPSHOT_TO_MASTER
from pydfsnode.runtime.snapshot_frames import (
    FRAME_ROWS_BYTES,
    FrameCutter,
    Place,
    RowFrame,
    SnapshotReply,
    StateRow,
)
from pydfsnode.runtime.supervisor import Supervisor

RESTS = 8
"""How many times its working time the sender rests: clients' writes must hardly notice it.

p99 of writes, 4 masters and a client on 2 cores, 200,000 entries behind (`bench.macro.raft`):
20 to 150 ms for 6 s without a rest, 3.9 to 15 ms for 9 s with 3, 3.5 to 10 ms for 16 s with 10,
in slices of 256 rows, which hold the interpreter for 3 ms; with 64 rows they hold it for one.
"""
FRUITLESS_ATTEMPTS_MAX = 8
"""Attempts without a row more than before, after which a transfer is given up."""
OPEN_S = 60.0
"""For the answer to the opening: the receiver may have to clear an older snapshot first."""
SEND_S = 60.0
"""For the receiver to make room for one frame."""
INSTALL_S = 600
"""For the receiver to make the rows durable and its state of them."""
ALIVE_S = 1.0
FRAME_ROWS_BYTES_MIN = 16 * 1024

_log = get_logger("runtime.snapshot_send")


class StateView(Protocol):
    """A consistent view of the state table (storage.raft_log)."""

    @property
    def index(self) -> int:
        """The applied index of its rows."""
        ...

    def rows(self, after: Place | None = None) -> Iterator[StateRow]:
        """Rows past *after*, ascending by (table, key)."""
        ...

    def close(self) -> None:
        """Let the store forget what only this view needs."""
        ...


class SnapshotStream(Protocol):
    """A stream to a receiver, opened with the header. Failures are PydfsErrors."""

    async def send(self, frame: RowFrame) -> None:
        """Send *frame*; waits while the receiver has no room."""
        ...

    async def receive(self) -> SnapshotReply:
        """The receiver's next answer."""
        ...


class SnapshotDial(Protocol):
    """Opens a stream to the member *peer* (rpc.snapshot_stream)."""

    def __call__(
        self, peer: str, header: SnapshotHeader
    ) -> AbstractAsyncContextManager[SnapshotStream]:
        """Connect and send *header* on entering; end the stream on leaving."""
        ...


class SnapshotLeader(Protocol):
    """The part of the driver used here."""

    def snapshot_header(self, view_index: int, stream: int) -> SnapshotHeader | None:
        """What begins a stream of the view at *view_index*; None when this node leads no more."""
        ...

    def snapshot_alive(self, peer: str, stream: int) -> None:
        """The transfer makes progress."""
        ...

    def snapshot_finished(self, peer: str, stream: int, ok: bool) -> None:
        """The transfer ended; *ok*: the peer has the snapshot or needs none."""
        ...


class Pace:
    """Spreads bytes evenly over time: how long to wait before each piece."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_ms = 0.0

    def delay_ms(self, size: int, now_ms: int) -> int:
        """How long after *now_ms* to send a piece of *size* bytes, which then counts as sent."""
        starts_ms = max(self._free_ms, now_ms)
        self._free_ms = starts_ms + size * 1000 / self._bytes_per_s
        return int(starts_ms - now_ms)


@dataclass(frozen=True, slots=True)
class SendingParts:
    """What transfers are made of.

    Attributes:
        sleep: of seconds.
        random: uniform in [0, 1).
        stopwatch_s: seconds of a fine clock.
    """

    open_view: Callable[[], StateView]
    dial: SnapshotDial
    clock: Clock
    bytes_per_s: int
    random: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    stopwatch_s: Callable[[], float] = stopwatch_s


class SnapshotTransfers:
    """`ports.SnapshotSender`. Give it the driver by `bind` before the driver starts.

    A view that cannot be read stops the node, by way of *supervisor* (INV-STOP).
    """

    def __init__(self, parts: SendingParts, supervisor: Supervisor) -> None:
        self._parts = parts
        self._supervisor = supervisor
        self._leader: SnapshotLeader | None = None
        self._running: dict[str, tuple[SnapshotWanted, asyncio.Task[bool]]] = {}
        self._next: dict[str, SnapshotWanted] = {}
        self._stopped = False

    def bind(self, leader: SnapshotLeader) -> None:
        """Set the driver, which in turn needs this object to be made."""
        self._leader = leader

    def start(self, wanted: SnapshotWanted) -> None:
        """Send a snapshot to `wanted.peer` unless that is under way; returns at once.

        One of an older view of the peer is ended first: its header would be refused.
        """
        running = self._running.get(wanted.peer)
        if running is None:
            self._begin(wanted)
        elif running[0].stream != wanted.stream:
            self._next[wanted.peer] = wanted
            running[1].cancel()

    async def stop(self) -> None:
        """End all transfers; no view is open afterwards and none begins."""
        self._stopped = True
        self._next.clear()
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, wanted: SnapshotWanted) -> None:
        leader = self._leader
        invariant(leader is not None, "a snapshot is wanted before the driver was bound")
        assert leader is not None
        if self._stopped:
            return
        transfer = _Transfer(self._parts, leader, wanted)
        task = self._supervisor.spawn(f"snapshot to {wanted.peer}", transfer.run())
        self._running[wanted.peer] = (wanted, task)

        def ended(task: asyncio.Task[bool]) -> None:
            # Taken out first: the driver may ask for the next one at once.
            del self._running[wanted.peer]
            ok = not task.cancelled() and task.exception() is None and task.result()
            metrics().counter("raft_snapshots_sent_total", "ok" if ok else "failed").inc()
            leader.snapshot_finished(wanted.peer, wanted.stream, ok)
            following = self._next.pop(wanted.peer, None)
            if following is not None:
                self.start(following)

        task.add_done_callback(ended)


class _LocalFailure(Exception):
    """Rows could not be read here; not to be taken for a failure of the other side."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Transfer:
    """One peer's snapshot, over as many streams as it takes."""

    def __init__(self, parts: SendingParts, leader: SnapshotLeader, wanted: SnapshotWanted) -> None:
        self._parts = parts
        self._leader = leader
        self._peer = wanted.peer
        self._stream = wanted.stream
        self._pace = Pace(parts.bytes_per_s)
        # At a low rate frames are small, so that each shows in time that the transfer is alive.
        self._frame_bytes = min(FRAME_ROWS_BYTES, max(FRAME_ROWS_BYTES_MIN, parts.bytes_per_s))
        self._rows_held = -1
        self._bytes_sent = 0

    async def run(self) -> bool:
        """Whether the peer has the snapshot, or needs none."""
        started_ms = self._parts.clock.monotonic_ms()
        try:
            view = self._parts.open_view()
        except StorageError as error:
            if isinstance(error, CorruptionError):
                raise
            _log.warning("no snapshot can be made", peer=self._peer, why=str(error))
            return False
        try:
            ok = await self._run(view)
        finally:
            view.close()
        _log.info(
            "snapshot sent" if ok else "snapshot given up",
            peer=self._peer, index=view.index, compressed_bytes=self._bytes_sent,
            took_ms=self._parts.clock.monotonic_ms() - started_ms,
        )  # fmt: skip
        return ok

    async def _run(self, view: StateView) -> bool:
        header = self._header(view)
        backoff = SNAPSHOT_TO_MASTER.backoff(self._parts.random)
        first_term = header.term if header is not None else 0
        held_before = -1
        while header is not None and header.term == first_term:
            try:
                return await self._attempt(view, header)
            except _LocalFailure as failure:
                raise failure.error from None
            except (PydfsError, OSError) as error:  # a TimeoutError is an OSError
                _log.info(
                    "snapshot stream broke", peer=self._peer, index=view.index,
                    rows_held=self._rows_held, why=str(error) or type(error).__name__,
                )  # fmt: skip
            if self._rows_held > held_before:
                held_before = self._rows_held
                backoff.reset()
            delay_ms = backoff.next_ms()
            if backoff.attempts >= FRUITLESS_ATTEMPTS_MAX:
                return False
            await self._parts.sleep(delay_ms / 1000)
            header = self._header(view)
        return False

    def _header(self, view: StateView) -> SnapshotHeader | None:
        return self._leader.snapshot_header(view.index, self._stream)

    async def _attempt(self, view: StateView, header: SnapshotHeader) -> bool:
        async with self._parts.dial(self._peer, header) as stream:
            async with asyncio.timeout(OPEN_S):
                reply = await stream.receive()
            if not reply.wanted:
                return True
            self._rows_held = reply.row_count
            self._leader.snapshot_alive(self._peer, self._stream)
            frames = _FramesAhead(view, reply, self._frame_bytes, self._parts)
            try:
                while True:
                    frame = await frames.next_frame()
                    await self._send(stream, frame)
                    if frame.last:
                        return await self._installed(stream)
                    now = self._header(view)
                    if now is None or now.term != header.term:
                        return False
            finally:
                await frames.close()

    async def _send(self, stream: SnapshotStream, frame: RowFrame) -> None:
        size = len(frame.rows)
        delay_ms = self._pace.delay_ms(size, self._parts.clock.monotonic_ms())
        if delay_ms:
            await self._parts.sleep(delay_ms / 1000)
        async with asyncio.timeout(SEND_S):
            await stream.send(frame)
        self._bytes_sent += size
        self._leader.snapshot_alive(self._peer, self._stream)

    async def _installed(self, stream: SnapshotStream) -> bool:
        """The receiver's answer to the last frame; until it comes, the transfer is alive."""
        answer = asyncio.ensure_future(stream.receive())
        try:
            for _ in range(int(INSTALL_S / ALIVE_S)):
                await asyncio.wait({answer}, timeout=ALIVE_S)
                self._leader.snapshot_alive(self._peer, self._stream)
                if answer.done():
                    return answer.result().installed
            raise TimeoutError(f"no answer to the last frame within {INSTALL_S} s")
        finally:
            # Not waited for: whoever drops this coroutine where it waits must be able to end it.
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())
            answer.cancel()


class _FramesAhead:
    """Frames of a view, each cut in a thread, slice by slice, while the one before it is sent.

    After each slice it rests for `RESTS` times as long as that took: the leader's loop needs the
    interpreter that the thread holds, and its writes come first.
    """

    def __init__(
        self, view: StateView, reply: SnapshotReply, frame_bytes: int, parts: SendingParts
    ) -> None:
        self._parts = parts
        self._cutter = FrameCutter(view.rows(reply.resume_after), reply.row_count, frame_bytes)
        self._closing = False
        self._ahead = self._begin()

    def _begin(self) -> asyncio.Task[RowFrame | None]:
        return asyncio.get_running_loop().create_task(self._cut(), name="snapshot frame")

    async def _cut(self) -> RowFrame | None:
        frame, parts = None, self._parts
        while frame is None and not self._closing:
            began_s = parts.stopwatch_s()
            frame = await asyncio.to_thread(self._cutter.work)
            rest_s = RESTS * (parts.stopwatch_s() - began_s)
            if rest_s > 0:
                await parts.sleep(rest_s)
        return frame

    async def next_frame(self) -> RowFrame:
        """The next frame. Raises _LocalFailure when its rows cannot be read."""
        await asyncio.wait({self._ahead})
        try:
            frame = self._ahead.result()
        except Exception as error:
            raise _LocalFailure(error) from error
        invariant(frame is not None, "a frame of a closed view")
        assert frame is not None
        if not frame.last:
            self._ahead = self._begin()
        return frame

    async def close(self) -> None:
        """Return when no thread reads the view, however often this task is cancelled."""
        self._closing = True
        cancelled = False
        while not self._ahead.done():
            try:
                await asyncio.wait({self._ahead})
            except asyncio.CancelledError:
                cancelled = True
        self._ahead.exception()  # seen: it ended this transfer, or one that has ended anyway
        if cancelled:
            raise asyncio.CancelledError

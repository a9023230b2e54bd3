"""Both ends of a snapshot in memory: a view, a stage, two drivers, and streams that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from pydfsnode.errors import CorruptionError, PydfsError, Unavailable
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.snapshot_frames import Place, RowFrame, SnapshotReply, StateRow
from pydfsnode.runtime.snapshot_receive import SnapshotReceiver
from pydfsnode.runtime.snapshot_send import SendingParts, SnapshotTransfers
from pydfsnode.runtime.supervisor import Supervisor

T = TypeVar("T")
LEADER, FOLLOWER = "m1#0000000a", "m2#0000000b"


def state_rows(count: int, size: int = 2_000) -> list[StateRow]:
    """Rows of two tables, hard to compress and all different."""
    made = []
    for number in range(count):
        value = b"".join((number * 7919 + i).to_bytes(4, "big") for i in range(size // 4))
        made.append((16 + number % 2, number.to_bytes(8, "big"), value))
    return sorted(made)


class View:
    """A view of fixed rows; `failure` is raised in the middle of reading."""

    def __init__(self, rows: list[StateRow], index: int = 100) -> None:
        self.index = index
        self.is_closed = False
        self.failure: PydfsError | None = None
        self._rows = rows

    def rows(self, after: Place | None = None) -> Iterator[StateRow]:
        for row in self._rows:
            assert not self.is_closed, "read after it was closed"
            if self.failure is not None:
                raise self.failure
            if after is None or row[:2] > after:
                yield row

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """Keeps what is added."""

    def __init__(self, index: int, index_term: int) -> None:
        self.of = (index, index_term)
        self.rows: list[StateRow] = []
        self.after: Place | None = None
        self.row_count = 0
        self.crc = 0
        self.is_finished = False

    def add(self, rows: Sequence[StateRow], row_count: int, crc: int) -> None:
        self.rows += rows
        self.after = self.rows[-1][:2]
        self.row_count, self.crc = row_count, crc

    def finish(self, row_count: int, crc: int) -> None:
        if (row_count, crc) != (self.row_count, self.crc) or row_count != len(self.rows):
            raise CorruptionError("staged rows differ")
        self.is_finished = True


class Leader:
    """A driver that leads in `term`, until that is 0."""

    def __init__(self, term: int = 3) -> None:
        self.term = term
        self.configuration = b"conf"
        self.alive = 0
        self.finished: list[tuple[str, int, bool]] = []
        self.ended = asyncio.Event()

    def snapshot_header(self, view_index: int, stream: int) -> SnapshotHeader | None:
        if not self.term:
            return None
        return SnapshotHeader(self.term, LEADER, stream, view_index, 2, self.configuration)

    def snapshot_alive(self, peer: str, stream: int) -> None:
        self.alive += 1

    def snapshot_finished(self, peer: str, stream: int, ok: bool) -> None:
        self.finished.append((peer, stream, ok))
        self.ended.set()


class Follower:
    """A driver that has committed `commit_index`; log jobs run in a thread."""

    def __init__(self) -> None:
        self.term = 3
        self.commit_index = 10
        self.stage: Stage | None = None
        self.installed: list[SnapshotHeader] = []
        self.is_installing = False
        self.may_install = asyncio.Event()
        self.may_install.set()
        self.receiver = SnapshotReceiver(self, self._stage)

    def _stage(self, index: int, index_term: int) -> Stage:
        if self.stage is None or self.stage.of != (index, index_term):
            self.stage = Stage(index, index_term)
        return self.stage

    def snapshot_offered(self, header: SnapshotHeader) -> bool:
        return header.term >= self.term and header.index > self.commit_index

    def run_on_log(self, job: Callable[[], T]) -> Awaitable[T]:
        return asyncio.ensure_future(asyncio.to_thread(job))

    async def install_snapshot(self, header: SnapshotHeader) -> bool:
        self.is_installing = True
        await self.may_install.wait()
        assert self.stage is not None
        assert self.stage.is_finished
        self.installed.append(header)
        self.commit_index = header.index
        return True


class Pipe:
    """Both directions of one stream. The side that ends it tells the other by *failure*."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[RowFrame | PydfsError] = asyncio.Queue(maxsize=2)
        self.replies: asyncio.Queue[SnapshotReply | PydfsError] = asyncio.Queue()

    async def receive(self) -> RowFrame | None:  # the follower's end
        return _given(await self.frames.get())

    async def send(self, reply: SnapshotReply) -> None:
        self.replies.put_nowait(reply)


def _given(thing: T | PydfsError) -> T:
    if isinstance(thing, PydfsError):
        raise thing
    return thing


class Network:
    """Dials `follower`. `tamper(number of the frame since the first dial, frame)` may change a
    frame or raise, which breaks the stream."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.tamper: Callable[[int, RowFrame], RowFrame] = lambda number, frame: frame
        self.dials = 0
        self.frames = 0
        self.refused: list[Exception] = []

    @asynccontextmanager
    async def dial(self, peer: str, header: SnapshotHeader) -> AsyncIterator[_Near]:
        assert peer == FOLLOWER
        self.dials += 1
        pipe = Pipe()
        serving = asyncio.ensure_future(self.follower.receiver.receive(header, "m1", pipe))
        serving.add_done_callback(lambda task: self._served(task, pipe))
        try:
            yield _Near(self, pipe, serving)
        finally:
            serving.cancel()
            await asyncio.wait({serving})

    def _served(self, task: asyncio.Task[None], pipe: Pipe) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, PydfsError), error
            self.refused.append(error)
            pipe.replies.put_nowait(error)


class _Near:
    """The sender's end."""

    def __init__(self, network: Network, pipe: Pipe, serving: asyncio.Task[None]) -> None:
        self._network = network
        self._pipe = pipe
        self._serving = serving

    async def send(self, frame: RowFrame) -> None:
        self._network.frames += 1
        frame = self._network.tamper(self._network.frames, frame)
        putting = asyncio.ensure_future(self._pipe.frames.put(frame))
        await asyncio.wait({putting, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()
        if self._serving.done():
            raise Unavailable("the receiver ended the stream")

    async def receive(self) -> SnapshotReply:
        return _given(await self._pipe.replies.get())


class Sending:
    """Transfers of `view` through `network`, without waiting for real."""

    def __init__(self, view: View, network: Network, bytes_per_s: int = 1 << 40) -> None:
        self.leader = Leader()
        self.clock = ManualClock()
        self.slept_s: list[float] = []
        self.supervisor = Supervisor()
        self.views: list[View] = []

        def open_view() -> View:
            self.views.append(view)
            return view

        parts = SendingParts(
            open_view,
            network.dial,
            self.clock,
            bytes_per_s,
            lambda: 0.5,
            self._sleep,
            lambda: 0.0,
        )
        self.transfers = SnapshotTransfers(parts, self.supervisor)
        self.transfers.bind(self.leader)

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.clock.advance(round(seconds * 1000))
        await asyncio.sleep(0)

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            await self.leader.ended.wait()
        return self.leader.finished[-1][2]

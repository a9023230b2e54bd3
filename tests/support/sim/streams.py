"""Streams of snapshots between simulated masters: in order, until something breaks them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydfsnode.errors import PydfsError, Unavailable
from pydfsnode.raft.messages import SnapshotHeader, decode_message, encode_message

if TYPE_CHECKING:
    from tests.support.sim.node import Process

_UNREACHABLE_S = 0.05
_NOTICED_S = (0.01, 5.0)
"""How long it takes until the other side sees that a connection is gone."""


class StreamEnd:
    """One end; what is sent comes out at `other`, in order."""

    def __init__(self, process: Process, dialled: bool) -> None:
        self.process = process
        self.dialled = dialled
        self.other: StreamEnd = self
        self._items: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: PydfsError | None = None
        self._last_arrival_s = 0.0
        process.ends.append(self)

    async def send(self, item: Any) -> None:
        """Queue *item* for the other end."""
        if self._error is not None:
            raise self._error
        sim, there = self.process.sim, self.other.process
        weather = sim.network.weather
        cut = (self.process.name, there.name) in sim.network.cut
        if cut or sim.net_rng.random() < weather.loss / 3:
            self.broken("the connection broke")
            return
        arrival_s = sim.scheduler.now_s + sim.network.delay_s()
        self._last_arrival_s = max(self._last_arrival_s, arrival_s)
        sim.scheduler.at(self._last_arrival_s, self.other.put, item, loop=there.loop)

    async def receive(self) -> Any:
        """The next item; at its end None, or an error to who dialled: it awaits an answer."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                if self.dialled:
                    raise Unavailable("the other master ended the stream")
                return None
            self._waiter = self.process.loop.create_future()
            await self._waiter
        return self._items.popleft()

    def put(self, item: Any) -> None:
        """Something arrived."""
        self._items.append(item)
        self._wake()

    def end(self, error: PydfsError | None = None) -> None:
        """Nothing more comes: the other end is done, or failed with *error*."""
        self._ended = True
        self._error = self._error or error
        self._wake()

    def close(self, error: PydfsError | None = None) -> None:
        """Tell the other end that this one is done."""
        sim, there = self.process.sim, self.other.process
        self._last_arrival_s = max(self._last_arrival_s, sim.scheduler.now_s + 0.001)
        sim.scheduler.at(self._last_arrival_s, self.other.end, error, loop=there.loop)
        if self in self.process.ends:
            self.process.ends.remove(self)

    def broken(self, why: str) -> None:
        """Both ends see, each in its time, that the connection is gone."""
        sim = self.process.sim
        for end in (self, self.other):
            at_s = sim.scheduler.now_s + sim.net_rng.uniform(*_NOTICED_S)
            sim.scheduler.at(at_s, end.end, Unavailable(why), loop=end.process.loop)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class SimDial:
    """`snapshot_send.SnapshotDial` of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @asynccontextmanager
    async def __call__(self, peer: str, header: SnapshotHeader) -> AsyncIterator[StreamEnd]:
        """See `SnapshotDial`."""
        here = self._process
        sim = here.sim
        there = sim.process_of(peer)
        if there is None or (here.name, there.name) in sim.network.cut:
            await asyncio.sleep(_UNREACHABLE_S)
            raise Unavailable(f"{peer} cannot be reached")
        sim.counts["snapshots"] += 1
        near, far = StreamEnd(here, True), StreamEnd(there, False)
        near.other, far.other = far, near
        sim.scheduler.at(
            sim.scheduler.now_s + sim.network.delay_s(), there.serve_snapshot,
            encode_message(header), here.name, far, loop=there.loop,
        )  # fmt: skip
        try:
            yield near
        finally:
            near.close()


async def serve(process: Process, header: bytes, caller: str, stream: StreamEnd) -> None:
    """As the service does with a stream: the receiver's failure goes to the sender."""
    decoded = decode_message(header)
    assert isinstance(decoded, SnapshotHeader)
    error: PydfsError | None = None
    try:
        await process.receiver.receive(decoded, caller, stream)
    except PydfsError as failure:
        error = failure
    finally:
        stream.close(error)

"""Linearizable reads: callers of one loop turn share one confirmation by the other masters."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from pydfsnode import limits
from pydfsnode.errors import Overloaded, PydfsError
from pydfsnode.raft.effects import ReadReady
from pydfsnode.runtime.answers import refuse

RETRY_AFTER_MS = 20

Barrier = asyncio.Future[None]


class ReadBarriers:
    """New ones gather until `begin`, then wait for the core, then for their index to be applied."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._new: dict[bool, list[Barrier]] = {}
        self._asked: dict[int, list[Barrier]] = {}
        self._confirmed: list[tuple[int, int]] = []  # heap of (index, read id)
        self._pending = 0
        self._last_id = 0

    @property
    def has_new(self) -> bool:
        """Whether some wait to be given to the core."""
        return bool(self._new)

    def add(self, by_lease: bool = False) -> Barrier:
        """A future that resolves when the state may be read.

        Args:
            by_lease: the leader's lease will do.

        Raises:
            Overloaded: too many wait.
        """
        if self._pending >= limits.PENDING_READS_MAX:
            raise Overloaded(
                f"{self._pending} reads wait for confirmation: try again in {RETRY_AFTER_MS} ms",
                retry_after_ms=RETRY_AFTER_MS,
            )
        barrier: Barrier = self._loop.create_future()
        self._new.setdefault(by_lease, []).append(barrier)
        self._pending += 1
        return barrier

    def begin(self) -> list[tuple[int, bool]]:
        """Close the gathering; the read ids under which the core is asked, and which by lease."""
        begun = []
        for by_lease, barriers in self._new.items():
            self._last_id += 1
            self._asked[self._last_id] = barriers
            begun.append((self._last_id, by_lease))
        self._new = {}
        return begun

    def confirmed(self, ready: ReadReady, applied_index: int) -> None:
        """The core confirmed a read: it may be answered once its index is applied."""
        if ready.index <= applied_index:
            self._release(ready.read_id)
        else:
            heappush(self._confirmed, (ready.index, ready.read_id))

    def applied(self, index: int) -> None:
        """Answer the confirmed reads up to *index*."""
        while self._confirmed and self._confirmed[0][0] <= index:
            self._release(heappop(self._confirmed)[1])

    def _release(self, read_id: int) -> None:
        barriers = self._asked.pop(read_id)
        self._pending -= len(barriers)
        for barrier in barriers:
            if not barrier.done():
                barrier.set_result(None)

    def failed(self, read_id: int, error: PydfsError) -> None:
        """The core cannot confirm the read."""
        self._fail(self._asked.pop(read_id), error)

    def fail_new(self, error: PydfsError) -> None:
        """Refuse those not yet given to the core."""
        new, self._new = self._new, {}
        for barriers in new.values():
            self._fail(barriers, error)

    def fail_confirmed(self, error: PydfsError) -> None:
        """Nobody leads this node: what confirmed reads wait for may never come."""
        confirmed, self._confirmed = self._confirmed, []
        for _, read_id in confirmed:
            self.failed(read_id, error)

    def fail_all(self, error: PydfsError) -> None:
        """The node ends."""
        self.fail_new(error)
        for read_id in list(self._asked):
            self.failed(read_id, error)
        self._confirmed.clear()

    def _fail(self, barriers: list[Barrier], error: PydfsError) -> None:
        self._pending -= len(barriers)
        refuse(barriers, error)

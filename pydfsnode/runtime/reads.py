"""Linearizable reads: callers of one loop turn share one confirmation by the other masters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from heapq import heappop, heappush

from pydfsnode import limits
from pydfsnode.errors import Overloaded, PydfsError
from pydfsnode.raft.effects import ReadReady
from pydfsnode.runtime.answers import refuse

RETRY_AFTER_MS = 20

Barrier = asyncio.Future[None]


@dataclass(slots=True)
class _Asked:
    """Barriers under one read id, and how many reads wait for them."""

    barriers: list[Barrier] = field(default_factory=list)
    reads: int = 0


class ReadBarriers:
    """New ones gather until `begin`, then wait for the core, then for their index to be applied."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._new: dict[bool, _Asked] = {}
        self._asked: dict[int, _Asked] = {}
        self._confirmed: list[tuple[int, int]] = []  # heap of (index, read id)
        self._pending = 0
        self._last_id = 0

    @property
    def has_new(self) -> bool:
        """Whether some wait to be given to the core."""
        return bool(self._new)

    def add(self, by_lease: bool = False, reads: int = 1) -> Barrier:
        """A future that resolves when the state may be read.

        Args:
            by_lease: the leader's lease will do.
            reads: how many wait for it.

        Raises:
            Overloaded: too many wait.
        """
        if self._pending + reads > limits.PENDING_READS_MAX:
            raise Overloaded(
                f"{self._pending} reads wait for confirmation: try again in {RETRY_AFTER_MS} ms",
                retry_after_ms=RETRY_AFTER_MS,
            )
        barrier: Barrier = self._loop.create_future()
        new = self._new.get(by_lease)
        if new is None:
            new = self._new[by_lease] = _Asked()
        new.barriers.append(barrier)
        new.reads += reads
        self._pending += reads
        return barrier

    def begin(self) -> list[tuple[int, bool]]:
        """Close the gathering; the read ids under which the core is asked, and which by lease."""
        begun = []
        for by_lease, asked in self._new.items():
            self._last_id += 1
            self._asked[self._last_id] = asked
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
        asked = self._asked.pop(read_id)
        self._pending -= asked.reads
        for barrier in asked.barriers:
            if not barrier.done():
                barrier.set_result(None)

    def failed(self, read_id: int, error: PydfsError) -> None:
        """The core cannot confirm the read."""
        self._fail(self._asked.pop(read_id), error)

    def fail_new(self, error: PydfsError) -> None:
        """Refuse those not yet given to the core."""
        new, self._new = self._new, {}
        for asked in new.values():
            self._fail(asked, error)

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

    def _fail(self, asked: _Asked, error: PydfsError) -> None:
        self._pending -= asked.reads
        refuse(asked.barriers, error)

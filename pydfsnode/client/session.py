"""Op ids of one client instance: numbered, and freed in an order that the masters can forget by.

The masters keep the outcome of every operation until `first_unacked` passes it (INV-ONCE), at most
`SESSION_OUTCOMES_MAX` for a client. So the window [first_unacked, next seq) is bounded here: one
stuck operation holds new ones back instead of pushing its own outcome out of the masters' table.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydfsnode import limits
from pydfsnode.client.model import OpId


def new_client_id() -> int:
    """A random number in 1..2^64-1; 0 means "no session" on the wire."""
    return secrets.randbelow(2**64 - 1) + 1


class OpSession:
    """Hands out op ids 1, 2, 3, ... and tracks which of them still wait for their answer."""

    def __init__(
        self, client_id: int | None = None, inflight_max: int = limits.CLIENT_SESSION_INFLIGHT_MAX
    ) -> None:
        self.client_id = new_client_id() if client_id is None else client_id
        self._inflight_max = inflight_max
        self._next_seq = 1
        # A dict keeps insertion order, which is seq order: its first key is the oldest unanswered.
        self._unanswered: dict[int, None] = {}
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def first_unacked(self) -> int:
        """The answers of all operations below this are known here."""
        return next(iter(self._unanswered), self._next_seq)

    @asynccontextmanager
    async def operation(self) -> AsyncIterator[OpId]:
        """Yield the op id of one mutation; on leaving, its outcome is known or given up for good.

        Waits while the window of unanswered operations is full (INV-BOUND).
        """
        while self._next_seq - self.first_unacked >= self._inflight_max:
            room = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room
        seq = self._next_seq
        self._next_seq += 1
        self._unanswered[seq] = None
        try:
            yield OpId(self.client_id, seq, self.first_unacked)
        finally:
            del self._unanswered[seq]
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if not room.done():
                room.set_result(None)

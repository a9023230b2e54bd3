"""Op ids of one client instance: numbered, and freed in an order that the masters can forget by.

The masters keep the outcome of every operation until `first_unacked` passes it (INV-ONCE), at most
`SESSION_OUTCOMES_MAX` for a client. So the window [first_unacked, next seq) is bounded here: one
stuck operation holds new ones back instead of pushing its own outcome out of the masters' table.
"""

from __future__ import annotations

import asyncio
import secrets

from pydfsnode import limits


def new_client_id() -> int:
    """A random number in 1..2^64-1; 0 means "no session" on the wire."""
    return secrets.randbelow(2**64 - 1) + 1


class OpSession:
    """Hands out op ids 1, 2, 3, ... and tracks which of them still wait for their answer.

    An operation is between `begin` and `end`; before it, `wait_for_room` while `is_full`.
    """

    __slots__ = ("_ended", "_inflight_max", "_next_seq", "_waiting", "client_id", "first_unacked")

    def __init__(
        self, client_id: int | None = None, inflight_max: int = limits.CLIENT_SESSION_INFLIGHT_MAX
    ) -> None:
        self.client_id = new_client_id() if client_id is None else client_id
        self.first_unacked = 1
        """The answers of all operations below this are known here."""
        self._inflight_max = inflight_max
        self._next_seq = 1
        self._ended: set[int] = set()  # above first_unacked
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether the window of unanswered operations has no room for another (INV-BOUND)."""
        return self._next_seq - self.first_unacked >= self._inflight_max

    async def wait_for_room(self) -> None:
        """Return when the window has room."""
        while self.is_full:
            room = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room

    def begin(self) -> int:
        """The number of a new operation; `end` it."""
        seq = self._next_seq
        self._next_seq = seq + 1
        return seq

    def end(self, seq: int) -> None:
        """The outcome of operation *seq* is known or given up: nobody will ask for it again."""
        if seq != self.first_unacked:
            self._ended.add(seq)
            return
        seq += 1
        ended = self._ended
        while seq in ended:
            ended.remove(seq)
            seq += 1
        self.first_unacked = seq
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if not room.done():
                room.set_result(None)

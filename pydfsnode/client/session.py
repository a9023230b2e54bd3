"""Op ids of one client instance: numbered, and freed in an order that the masters can forget by.

The masters keep the outcome of every operation until `first_unacked` passes it (INV-ONCE), at most
`SESSION_OUTCOMES_MAX` for a client. So the window [first_unacked, next seq) is bounded here: one
stuck operation holds new ones back instead of pushing its own outcome out of the masters' table.
"""

from __future__ import annotations

import asyncio
import secrets

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

    def operation(self) -> Operation:
        """`async with` it: yields the op id of one mutation.

        Entering waits while the window of unanswered operations is full (INV-BOUND); after leaving,
        the outcome is known or given up for good.
        """
        return Operation(self)

    @property
    def is_full(self) -> bool:
        """Whether the window has no room for another operation."""
        return self._next_seq - self.first_unacked >= self._inflight_max

    async def wait_for_room(self) -> None:
        """Return when the window has room."""
        while self.is_full:
            room = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room

    def begin(self) -> OpId:
        """The next op id; `end` it."""
        seq = self._next_seq
        self._next_seq = seq + 1
        self._unanswered[seq] = None
        return OpId(self.client_id, seq, next(iter(self._unanswered)))

    def end(self, op: OpId) -> None:
        """Nobody will ask for the outcome of *op* again."""
        del self._unanswered[op.seq]
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if not room.done():
                room.set_result(None)


class Operation:
    """One mutation from `OpSession.operation`; cheaper than a generator for what each one pays."""

    __slots__ = ("_op", "_session")

    def __init__(self, session: OpSession) -> None:
        self._session = session

    async def __aenter__(self) -> OpId:
        session = self._session
        if session.is_full:
            await session.wait_for_room()
        self._op = op = session.begin()
        return op

    async def __aexit__(self, *failure: object) -> None:
        self._session.end(self._op)

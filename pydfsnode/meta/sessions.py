"""Which operation of which client had which outcome, so that none takes effect twice (INV-ONCE).

An active session holds the outcomes that its client may still ask for: those from its floor on.
A session idle for SESSION_IDLE_MS of log time (or SESSION_IDLE_MS_MIN, when the table is full) goes
dormant: only its floor remains, above all that it ever did, so that a returning client works on and
an old retry is refused. Once a dormant session had to be forgotten, an unknown client that says it
has done something before is refused too: never a silent second execution (Raft thesis §6.3).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pydfsnode import limits
from pydfsnode._fast import ActiveSessions
from pydfsnode.errors import CorruptionError, InvalidArgument, Overloaded, SessionExpired
from pydfsnode.meta.inodes import Natural
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Outcome

OUTCOMES_MAX = 500_000  # limits.py candidate
"""Outcomes of all sessions together."""
DORMANT_SESSIONS_MAX = 200_000  # limits.py candidate
EVICTIONS_PER_OP_MAX = 16
"""A jump of the clock must not make one operation pay for the whole table."""
_ID_MAX = 2**64 - 1
_SEQ_MAX = _ID_MAX - 1
"""The floor above it is a number of 64 bits too."""
_TIME_MAX = 2**63 - 1


class SessionBounds(NamedTuple):
    """The limits of a table; tests make them small."""

    sessions: int = limits.SESSIONS_MAX
    outcomes: int = OUTCOMES_MAX
    outcomes_per_session: int = limits.SESSION_OUTCOMES_MAX
    dormant: int = DORMANT_SESSIONS_MAX
    idle_ms: int = limits.SESSION_IDLE_MS
    idle_ms_min: int = limits.SESSION_IDLE_MS_MIN


class Remembered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An outcome with the index and log time of its operation and the floor from then on."""

    index: Natural
    at_ms: Natural
    floor: Natural
    outcome: Outcome


class Dormant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What remains of an idle session. `order`: grows from one that falls asleep to the next."""

    order: Natural
    floor: Natural


class SessionTable(ActiveSessions):
    """All sessions. `admit` and `remember`, which every operation passes, are compiled."""

    __slots__ = ("bounds",)
    dormant: dict[int, Dormant]

    def __init__(self, bounds: SessionBounds | None = None) -> None:
        self.bounds = bounds or SessionBounds()
        super().__init__(Remembered, self.bounds.outcomes, self.bounds.outcomes_per_session)

    @property
    def active(self) -> list[int]:
        """The clients of active sessions in the order of their last operations."""
        return self.clients()

    def judge(self, op: Op, index: int, clock_ms: int) -> None:
        """What `admit` asks when *op* is no plain case: make room for it, or refuse it.

        Raises:
            SessionExpired: *op* may have been applied, but its outcome is gone.
            InvalidArgument: ids or a time that cannot be.
            Overloaded: the table is full of outcomes that retries may still ask for.
        """
        check_head(op)
        self._make_room(op, index, clock_ms)
        floor = self._floor(op)
        if op.seq < floor:
            raise SessionExpired(
                f"operation {op.seq} of client {op.client_id:#x} is older than what is remembered "
                f"({floor} and later): look whether it happened",
                reason="outcome_forgotten", floor=floor,
            )  # fmt: skip

    def _floor(self, op: Op) -> int:
        floor = self.floor_of(op.client_id)
        if floor is not None:
            return floor
        dormant = self.dormant.get(op.client_id)
        if dormant is not None:
            return dormant.floor
        if self.forgotten_count and op.first_unacked > 1:
            raise SessionExpired(
                f"client {op.client_id:#x} is not known any more: start a new session",
                reason="session_forgotten",
            )
        return 0

    def _make_room(self, op: Op, index: int, clock_ms: int) -> None:
        """Let idle sessions sleep; Overloaded when no outcome for *op* can be kept then."""
        bounds = self.bounds
        for evicted in range(EVICTIONS_PER_OP_MAX):
            full = self.outcome_count >= bounds.outcomes or (
                self.client_count() >= bounds.sessions and not self.is_active(op.client_id)
            )
            idle_ms = bounds.idle_ms_min if full else bounds.idle_ms
            oldest = self.oldest_client()
            heard_ms = self.last_heard_ms(oldest)
            if heard_ms is None or clock_ms - heard_ms <= idle_ms:
                # No session's time goes back, so until then nobody can have been idle for so long.
                since_ms = clock_ms if heard_ms is None else heard_ms
                self.nobody_idle_ms = min(since_ms + bounds.idle_ms, _ID_MAX)
                if full:
                    raise Overloaded(
                        f"the session table is full ({self.client_count()} clients, "
                        f"{self.outcome_count} outcomes): come again later",
                        retry_after_ms=1000,
                    )
                return
            self._send_to_sleep(oldest, index * EVICTIONS_PER_OP_MAX + evicted)

    def _send_to_sleep(self, client_id: int, order: int) -> None:
        self.dormant[client_id] = Dormant(order, self.end(client_id))
        self.dormant_changed(client_id)
        if len(self.dormant) > self.bounds.dormant:
            longest = next(iter(self.dormant))
            del self.dormant[longest]
            self.dormant_changed(longest)
            self.forgotten_count += 1

    # ---- rows

    def load(self, client_id: int, seq: int, row: Remembered | Dormant) -> None:
        """Take back a row; rows come in any order, `finish_load` follows.

        Raises:
            CorruptionError: there is no such operation, or it is here already.
        """
        if isinstance(row, Dormant):
            self.dormant[client_id] = row
            return
        try:
            self.restore(client_id, seq, row.index, row.at_ms, row.floor, row.outcome)
        except ValueError as error:
            raise CorruptionError(
                f"the state table does not fit together: {error}: restore this master from its "
                "peers"
            ) from None

    def finish_load(self) -> None:
        """Restore the order of use."""
        self.order_by_use()
        by_order = sorted(self.dormant.items(), key=lambda item: item[1].order)
        self.dormant.clear()
        self.dormant.update(by_order)
        self.clear_changes()


def check_head(op: Op) -> None:
    """Raise InvalidArgument unless ids and time of *op* are possible."""
    if not (0 < op.client_id <= _ID_MAX and 0 < op.seq <= _SEQ_MAX and op.first_unacked <= op.seq):
        raise InvalidArgument(
            f"operation {op.seq} of client {op.client_id:#x} with first unacknowledged "
            f"{op.first_unacked} is malformed: client ids and sequences start at 1"
        )
    if not 0 <= op.at_ms <= _TIME_MAX:
        raise InvalidArgument(f"the time stamp {op.at_ms} of an operation is out of range")

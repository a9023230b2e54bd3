"""The session table in plain dictionaries: how `pydfsnode.meta.sessions` must behave."""

from __future__ import annotations

from collections.abc import Iterable

from pydfsnode.errors import Overloaded, SessionExpired
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Outcome
from pydfsnode.meta.sessions import (
    EVICTIONS_PER_OP_MAX,
    Dormant,
    Remembered,
    SessionBounds,
    check_head,
)


class Session:
    """Outcomes by seq, in the order in which they were applied."""

    __slots__ = ("at_ms", "floor", "outcomes")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.at_ms = 0
        self.outcomes: dict[int, Remembered] = {}


class SessionTable:
    """All sessions, active ones in the order of their last operation.

    `touched` collects (client_id, seq) of changed rows until it is cleared; seq 0 is the row of a
    dormant session. True: the row is new, so that nothing of it is written once it is gone again.
    """

    def __init__(self, bounds: SessionBounds | None = None) -> None:
        self.bounds = bounds or SessionBounds()
        self.active: dict[int, Session] = {}
        self.dormant: dict[int, Dormant] = {}
        self.outcome_count = 0
        self.forgotten_count = 0
        self.touched: dict[tuple[int, int], bool] = {}
        self._newest = 0  # the client at the end of `active`; 0: not known
        self._nobody_idle_ms = 0  # up to this log time no session falls asleep

    def admit(self, op: Op, index: int, clock_ms: int) -> Outcome | None:
        """The first outcome of *op*; None when it must be applied now and can be remembered.

        Raises:
            SessionExpired: *op* may have been applied, but its outcome is gone.
            InvalidArgument: ids or a time that cannot be.
            Overloaded: the table is full of outcomes that retries may still ask for.
        """
        session = self.active.get(op.client_id)
        if session is not None:
            remembered = session.outcomes.get(op.seq)
            if remembered is not None:
                return remembered.outcome
        check_head(op)
        if (
            session is None
            or clock_ms > self._nobody_idle_ms
            or self.outcome_count >= self.bounds.outcomes
        ):
            self._make_room(op, index, clock_ms)
        floor = self._floor(op)
        if op.seq < floor:
            raise SessionExpired(
                f"operation {op.seq} of client {op.client_id:#x} is older than what is remembered "
                f"({floor} and later): look whether it happened",
                reason="outcome_forgotten", floor=floor,
            )  # fmt: skip
        return None

    def _floor(self, op: Op) -> int:
        session = self.active.get(op.client_id)
        if session is not None:
            if len(session.outcomes) >= self.bounds.outcomes_per_session:
                return max(session.floor, min(session.outcomes))
            return session.floor
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
                len(self.active) >= bounds.sessions and op.client_id not in self.active
            )
            idle_ms = bounds.idle_ms_min if full else bounds.idle_ms
            oldest = next(iter(self.active), 0)
            if not oldest or clock_ms - self.active[oldest].at_ms <= idle_ms:
                # No session's time goes back, so until then nobody can have been idle for so long.
                heard_ms = self.active[oldest].at_ms if oldest else clock_ms
                self._nobody_idle_ms = heard_ms + bounds.idle_ms
                if full:
                    raise Overloaded(
                        f"the session table is full ({len(self.active)} clients, "
                        f"{self.outcome_count} outcomes): come again later",
                        retry_after_ms=1000,
                    )
                return
            self._send_to_sleep(oldest, index * EVICTIONS_PER_OP_MAX + evicted)

    def remember(self, op: Op, index: int, clock_ms: int, outcome: Outcome) -> None:
        """Keep the outcome of *op*, just applied, and drop what its client says it holds."""
        client_id = op.client_id
        session = self.active.get(client_id)
        if session is None or client_id != self._newest:
            # To the end: the order of the dict is that of use.
            self.active.pop(client_id, None)
            if session is None:
                session = Session(self._wake(client_id))
            self.active[client_id] = session
            self._newest = client_id
        session.at_ms = clock_ms
        if op.first_unacked > session.floor:
            self._raise_floor(client_id, session, op.first_unacked)
        outcomes = session.outcomes
        if len(outcomes) >= self.bounds.outcomes_per_session:
            self._raise_floor(client_id, session, min(outcomes) + 1)
        outcomes[op.seq] = Remembered(index, clock_ms, session.floor, outcome)
        self.outcome_count += 1
        self.touched.setdefault((client_id, op.seq), True)

    def _raise_floor(self, client_id: int, session: Session, floor: int) -> None:
        before, outcomes = session.floor, session.outcomes
        if floor <= before:
            return
        session.floor = floor
        passed: Iterable[int] = range(before, floor)
        if floor - before > len(outcomes):
            passed = [seq for seq in outcomes if seq < floor]
        for seq in passed:
            if outcomes.pop(seq, None) is not None:
                self.outcome_count -= 1
                place = client_id, seq
                if self.touched.get(place):
                    del self.touched[place]
                else:
                    self.touched[place] = False

    def _send_to_sleep(self, client_id: int, order: int) -> None:
        session = self.active.pop(client_id)
        self._newest = 0
        floor = max(session.floor, max(session.outcomes, default=0) + 1)
        self._raise_floor(client_id, session, floor)
        self.dormant[client_id] = Dormant(order, floor)
        self.touched[client_id, 0] = False
        if len(self.dormant) > self.bounds.dormant:
            longest = next(iter(self.dormant))
            del self.dormant[longest]
            self.touched[longest, 0] = False
            self.forgotten_count += 1

    def _wake(self, client_id: int) -> int:
        dormant = self.dormant.pop(client_id, None)
        if dormant is None:
            return 0
        self.touched[client_id, 0] = False
        return dormant.floor

    def last_heard_ms(self, client_id: int) -> int | None:
        """The log time of the client's last operation; None: idle for so long that it sleeps."""
        session = self.active.get(client_id)
        return None if session is None else session.at_ms

    # ---- rows

    def row(self, client_id: int, seq: int) -> Remembered | Dormant | None:
        """What the table holds under (client_id, seq); None: the row is gone."""
        if seq == 0:
            return self.dormant.get(client_id)
        session = self.active.get(client_id)
        return None if session is None else session.outcomes.get(seq)

    def load(self, client_id: int, seq: int, row: Remembered | Dormant) -> None:
        """Take back a row; rows come in any order, `finish_load` follows."""
        if isinstance(row, Dormant):
            self.dormant[client_id] = row
            return
        session = self.active.get(client_id)
        if session is None:
            session = self.active[client_id] = Session(0)
            self._newest = 0
        session.outcomes[seq] = row
        session.floor = max(session.floor, row.floor)
        session.at_ms = max(session.at_ms, row.at_ms)
        self.outcome_count += 1

    def finish_load(self) -> None:
        """Restore the order of use."""

        def last_index(item: tuple[int, Session]) -> int:
            return max(remembered.index for remembered in item[1].outcomes.values())

        self.active = dict(sorted(self.active.items(), key=last_index))
        self._newest = next(reversed(self.active), 0)
        self.dormant = dict(sorted(self.dormant.items(), key=lambda item: item[1].order))
        self.touched.clear()

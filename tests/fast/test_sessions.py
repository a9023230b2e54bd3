"""The compiled session table does what the one in dictionaries does, step by step."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.errors import PydfsError
from pydfsnode.meta import ops
from pydfsnode.meta.results import Applied, Removed
from pydfsnode.meta.sessions import Dormant, Remembered, SessionBounds, SessionTable
from tests.reference import sessions as reference

U64 = 2**64 - 1
CLIENTS = [1, 2, 3, 4, 5, 6, U64]
SMALL = SessionBounds(
    sessions=4, outcomes=30, outcomes_per_session=6, dormant=2, idle_ms=400, idle_ms_min=50
)
LARGE = SessionBounds(idle_ms=10**9, idle_ms_min=10)
ROOMY = SMALL._replace(outcomes=500, outcomes_per_session=100, idle_ms=4000)
Row = Remembered | Dormant


class Both:
    """The same operations on both tables, and their rows on disk; `seen` counts what happened.

    Args:
        strides: seqs go up by one of these.
        hoarding: clients seldom say what they hold, and send much between two pauses.
    """

    def __init__(
        self, bounds: SessionBounds, strides: list[int], rng: random.Random, hoarding: bool = False
    ) -> None:
        self.bounds, self.strides, self.rng, self.hoarding = bounds, strides, rng, hoarding
        self.fast, self.simple = SessionTable(bounds), reference.SessionTable(bounds)
        self.stored: dict[tuple[int, int], Row] = {}
        self.seen: Counter[str] = Counter()
        self.next_seqs = dict.fromkeys(CLIENTS, 1)
        self.index = self.clock_ms = 0

    # ---- steps

    def step(self) -> None:
        kind = self.rng.choices(
            [self.operate, self.send_garbage, self.drain, self.restart, self.be_quiet],
            [1500 if self.hoarding else 60, 2, 6, 2, 1],
        )[0]
        kind()
        self.check()

    def operate(self) -> None:
        rng = self.rng
        client_id = rng.choice(CLIENTS[:2] if self.hoarding else CLIENTS)
        newest = self.next_seqs[client_id]
        seq = newest
        if rng.random() < 0.4:
            seq = max(1, newest - rng.choice([1, 1, 2, 3, 10, rng.randrange(newest)]))
        else:
            self.next_seqs[client_id] += rng.choice(self.strides)
        if rng.random() < (0.001 if self.hoarding else 0.02):
            seq = self.next_seqs[client_id] = 1  # it was started again, under its old id
        acked = rng.choice([0, 1, 1, seq, seq - 1, seq - rng.randrange(8), rng.randint(0, seq)])
        if self.hoarding and rng.random() < 0.98:
            acked = 0
        self.send(client_id, seq, min(max(acked, -1), seq), self.clock_ms)
        self.clock_ms += rng.choice([0, 0, 1, 5, 20])

    def send_garbage(self) -> None:
        rng = self.rng
        known = self.next_seqs[1]
        client_id = rng.choice([0, 1, 1, U64 + 1, -1])
        seq = rng.choice([0, 1, known, U64, U64 + 1, -1])
        acked, at_ms = rng.choice([1, seq + 1, U64 + 1]), rng.choice([0, -1, 2**63])
        self.send(client_id, seq, acked, at_ms)

    def send(self, client_id: int, seq: int, acked: int, at_ms: int) -> None:
        self.index += 1
        op = ops.Mkdirs(client_id, seq, acked, at_ms, "root", "/a")
        answers = [self.ask(table, op) for table in (self.fast, self.simple)]
        assert answers[0] == answers[1]
        self.seen[str(answers[0][0])] += 1
        if answers[0] == ("applied",):
            outcome = Applied(Removed(self.index))
            before = self.simple.outcome_count
            for table in (self.fast, self.simple):
                table.remember(op, self.index, self.clock_ms, outcome)
            self.seen["let go"] += self.simple.outcome_count <= before

    def ask(
        self, table: SessionTable | reference.SessionTable, op: ops.Mkdirs
    ) -> tuple[object, ...]:
        try:
            outcome = table.admit(op, self.index, self.clock_ms)
        except PydfsError as error:
            kind = type(error).__name__ + str(error.fields.get("reason", ""))
            return kind, error.message, error.fields
        return ("applied",) if outcome is None else ("again", outcome)

    def drain(self) -> None:
        drained = self.fast.drain()
        rows = {(client_id, seq): row for client_id, seq, row in drained}
        assert len(rows) == len(drained)
        assert rows == {place: self.simple.row(*place) for place in self.simple.touched}
        self.simple.touched.clear()
        for place, row in rows.items():
            if row is None:
                # Only what was written is deleted; a dormant session may come and go.
                assert place in self.stored or place[1] == 0
                self.seen["deleted"] += 1
                self.stored.pop(place, None)
            else:
                self.stored[place] = row

    def restart(self) -> None:
        """From what is on disk."""
        self.drain()
        rows = list(self.stored.items())
        self.rng.shuffle(rows)
        forgotten = self.simple.forgotten_count
        self.fast, self.simple = SessionTable(self.bounds), reference.SessionTable(self.bounds)
        for table in (self.fast, self.simple):
            table.forgotten_count = forgotten
            for (client_id, seq), row in rows:
                table.load(client_id, seq, row)
            table.finish_load()
        assert self.fast.drain() == []

    def be_quiet(self) -> None:
        self.clock_ms += self.rng.choice([self.bounds.idle_ms_min, self.bounds.idle_ms]) + 1

    # ---- agreement

    def check(self) -> None:
        table, simple = self.fast, self.simple
        assert table.active == list(simple.active)
        assert table.client_count() == len(simple.active)
        assert list(table.dormant.items()) == list(simple.dormant.items())
        assert table.outcome_count == simple.outcome_count
        assert table.forgotten_count == simple.forgotten_count
        self.seen["asleep"] += bool(simple.dormant)
        self.seen["forgotten"] += bool(simple.forgotten_count)
        for client_id in CLIENTS:
            session = simple.active.get(client_id)
            rows = [] if session is None else sorted(session.outcomes.items())
            assert table.rows_of(client_id) == rows
            assert table.last_heard_ms(client_id) == simple.last_heard_ms(client_id)
            assert table.is_active(client_id) == (session is not None)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_stream_leaves_both_tables_equal(seed: int) -> None:
    both = Both(SMALL, [1, 1, 1, 2, 5], random.Random(seed))
    for _ in range(1500):
        both.step()
    for kind in (
        "applied", "again", "SessionExpiredoutcome_forgotten", "SessionExpiredsession_forgotten",
        "InvalidArgument", "Overloaded", "let go", "deleted", "asleep", "forgotten",
    ):  # fmt: skip
        assert both.seen[kind], kind


@pytest.mark.parametrize("strides", [[1], [64], [1, 4096], [1 << 40, 3], [2, 256, 255, 257]])
@pytest.mark.parametrize("bounds", [LARGE, ROOMY], ids=["large", "roomy"])
def test_seqs_may_be_sparse(strides: list[int], bounds: SessionBounds) -> None:
    """So that outcomes of a session share places, and its table grows and shrinks."""
    both = Both(bounds, strides, random.Random(len(strides)), hoarding=True)
    most = 0
    for _ in range(1500):
        both.step()
        most = max(most, *(len(session.outcomes) for session in both.simple.active.values()), 0)
    assert most > 50


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
def test_tight_bounds(seed: int, outcomes: int, of_session: int, sessions: int) -> None:
    bounds = SessionBounds(sessions, outcomes, of_session, 1, 60, 5)
    both = Both(bounds, [1, 3], random.Random(seed))
    for _ in range(60):
        both.step()

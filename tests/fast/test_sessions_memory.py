"""The compiled session table lets go of what it need not hold, and has places for any seqs."""

from __future__ import annotations

import gc
import random
import tracemalloc
import weakref
from dataclasses import dataclass

import pytest

from pydfsnode._fast import ActiveSessions

OUTCOMES_MAX = 1 << 20
CLOCK_MS = 5
CHANGES = 8192
"""What the list of changes has room for after 4,999 of them."""


@dataclass
class Op:
    client_id: int
    seq: int
    first_unacked: int = 0
    at_ms: int = CLOCK_MS


class Outcome:
    """Something that can be seen to be gone."""


def make_row(*fields: object) -> tuple[object, ...]:
    return fields


def made() -> ActiveSessions:
    table = ActiveSessions(make_row, OUTCOMES_MAX, OUTCOMES_MAX)
    table.nobody_idle_ms = 1000
    return table


def remember(
    table: ActiveSessions, seq: int, first_unacked: int = 0, client: int = 7
) -> weakref.ref[Outcome]:
    outcome = Outcome()
    table.remember(Op(client, seq, first_unacked), seq, CLOCK_MS, outcome)
    return weakref.ref(outcome)


def test_outcomes_are_released_when_the_client_holds_them_or_its_session_ends() -> None:
    table = made()
    held = [remember(table, seq) for seq in range(1, 10)]
    other = remember(table, 1, client=8)
    assert all(one() is not None for one in held)
    remember(table, 10, first_unacked=6)
    assert [one() is None for one in held] == [True] * 5 + [False] * 4
    assert table.end(7) == 11
    assert all(one() is None for one in held)
    assert other() is not None
    assert table.outcome_count == 1


def test_outcomes_are_released_with_the_table() -> None:
    table = made()
    held = [remember(table, seq, client=seq % 3 + 1) for seq in range(1, 100)]
    answered = table.admit(Op(2, 1), 200, CLOCK_MS)
    gc.collect()
    del table
    assert [one() for one in held if one() is not None] == [answered]
    del answered
    assert not any(one() for one in held)


def test_what_nobody_drains_stays_bounded() -> None:
    """Outcomes that came and went leave nothing behind; a session that was large becomes small."""
    table = made()
    remember(table, 3, client=9)
    table.drain()
    tracemalloc.start()
    try:
        remember(table, 4, first_unacked=4, client=9)  # 3 must be deleted on disk
        for seq in range(1, 5000):
            remember(table, seq)
        for seq in range(5000, 60_000):
            remember(table, seq, first_unacked=seq - 2)
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < CHANGES * 24 + 4000
    drained = [(client, seq, row is not None) for client, seq, row in table.drain()]
    assert drained == [
        (9, 3, False), (9, 4, True), (7, 59_997, True), (7, 59_998, True), (7, 59_999, True),
    ]  # fmt: skip
    assert table.drain() == []


def test_what_is_let_go_at_once_is_told_by_seq() -> None:
    """However they lie in the table, so that all masters write the same."""
    table = made()
    seqs = [5, 9, 1 << 40, 1 << 33, 77, 1 << 20, 13, 2]
    for seq in seqs:
        remember(table, seq)
    assert [seq for _, seq, _ in table.drain()] == seqs
    remember(table, 1 << 50, first_unacked=1 << 50)
    assert [seq for _, seq, row in table.drain() if row is None] == sorted(seqs)


@pytest.mark.parametrize("bits", [3, 12, 30, 64])
def test_any_seqs_find_their_places(bits: int) -> None:
    rng = random.Random(bits)
    table, model = made(), dict[int, object]()
    for step in range(1, 3000):
        seq = rng.randrange(1 << bits) >> rng.randrange(bits)
        seq = min(max(seq, 1), 2**64 - 2) & ~(0xFF if step % 2 and bits > 8 else 0) or 1
        outcome = table.admit(Op(7, seq), step, CLOCK_MS)
        assert outcome is model.get(seq)
        if outcome is None:
            model[seq] = Outcome()
            table.remember(Op(7, seq), step, CLOCK_MS, model[seq])
    assert [(seq, row[3]) for seq, row in table.rows_of(7)] == sorted(model.items())
    assert table.end(7) == max(model) + 1
    assert table.outcome_count == 0


def test_outcomes_leave_in_any_order_of_their_places() -> None:
    """A gap is closed by those that were pushed over it, across the end of the table too."""
    for seed in range(200):
        rng = random.Random(seed)
        table = made()
        seqs = sorted(rng.sample(range(1, 200), 12), key=lambda seq: (seq % 8, seq))
        for seq in seqs:
            remember(table, seq)
        for floor in sorted(rng.sample(range(1, 200), 6)):
            table.remember(Op(7, 1000 + floor, floor), 1, CLOCK_MS, None)
            seqs = [seq for seq in seqs if seq >= floor] + [1000 + floor]
            assert [seq for seq, _ in table.rows_of(7)] == sorted(seqs)


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    table = made()
    remember(table, 5)
    for seq in (5, 0, 2**64 - 1):
        with pytest.raises(ValueError, match=f"seq {seq} of client 0x7 cannot be new"):
            table.remember(Op(7, seq), 1, CLOCK_MS, None)
    with pytest.raises(OverflowError):
        table.remember(Op(7, 2**64), 1, CLOCK_MS, None)
    with pytest.raises(OverflowError):
        table.remember(Op(2**64, 1), 1, CLOCK_MS, None)
    with pytest.raises(KeyError):
        table.end(8)
    assert (table.clients(), table.outcome_count) == ([7], 1)
    assert table.floor_of(8) is None
    assert table.last_heard_ms(8) is None
    assert table.rows_of(8) == []

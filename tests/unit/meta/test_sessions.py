"""INV-ONCE: a retried operation takes effect once, and old ones are refused, never repeated."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AlreadyExists, InvalidArgument, Overloaded, SessionExpired
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import Applied, FileView, Outcome, Rejected
from pydfsnode.meta.rows import SESSION_ID, TABLE_SESSION
from pydfsnode.meta.sessions import EVICTIONS_PER_OP_MAX, SessionBounds

from .harness import ADMIN, MIB, Harness

IDLE_MS, IDLE_MS_MIN = 1000, 100
SMALL = SessionBounds(
    sessions=4, outcomes=100, outcomes_per_session=8, dormant=3, idle_ms=IDLE_MS,
    idle_ms_min=IDLE_MS_MIN,
)  # fmt: skip


def mkdirs(harness: Harness, client: int, seq: int, first_unacked: int, path: str = "") -> Outcome:
    return harness.apply(
        ops.Mkdirs(client, seq, first_unacked, harness.now_ms, ADMIN, path or f"/{client}-{seq}")
    )


def expect_refused(outcome: Outcome, error: type[Exception], reason: str = "") -> None:
    assert isinstance(outcome, Rejected)
    assert type(outcome.error()) is error
    if reason:
        assert outcome.fields["reason"] == reason


def test_a_retry_gets_the_first_answer_and_changes_nothing() -> None:
    harness = Harness()
    op = ops.Create(9, 1, 1, 5, ADMIN, "/f", 3, MIB)
    first = harness.apply(op)
    assert isinstance(first, Applied)
    before = harness.tree_hash()
    assert harness.apply(op) == first
    assert harness.tree_hash() == before


def test_a_retried_allocation_gets_the_same_chunk_whatever_targets_the_new_leader_chose() -> None:
    harness = Harness()
    inode_id = harness.create("/f", client=9).inode_id
    first = harness.apply(ops.AllocateChunk(9, 2, 1, 5, ADMIN, inode_id, None, 0, ("c1", "c2")))
    again = harness.apply(ops.AllocateChunk(9, 2, 1, 8, ADMIN, inode_id, None, 0, ("c3",)))
    assert again == first
    assert harness.namespace.chunk_count == 1


def test_a_refusal_is_remembered_too() -> None:
    harness = Harness()
    harness.write("/f")
    op = ops.Create(9, 1, 1, 5, ADMIN, "/f", 3, MIB)
    expect_refused(harness.apply(op), AlreadyExists)
    harness.delete("/f")
    expect_refused(harness.apply(op), AlreadyExists)
    assert queries.list_directory(harness.namespace, "/", NOBODY_ASKS).entries == []


def test_operations_may_arrive_out_of_order() -> None:
    harness = Harness()
    for seq in (3, 1, 2):
        assert isinstance(mkdirs(harness, 9, seq, 1), Applied)
    assert harness.namespace.directory_count == 4


def test_what_the_client_acknowledged_is_forgotten_and_refused() -> None:
    harness = Harness()
    for seq in (1, 2, 3):
        mkdirs(harness, 9, seq, 1)
    mkdirs(harness, 9, 4, 3)
    assert harness.namespace.sessions.outcome_count == 2
    before = harness.tree_hash()
    expect_refused(mkdirs(harness, 9, 2, 1), SessionExpired, "outcome_forgotten")
    assert isinstance(mkdirs(harness, 9, 3, 1), Applied)
    assert harness.tree_hash() == before


def test_a_client_that_acknowledges_nothing_loses_its_oldest_outcomes_only() -> None:
    harness = Harness(SMALL)
    for seq in range(1, 10):
        mkdirs(harness, 9, seq, 1)
    assert harness.namespace.sessions.outcome_count == 8
    expect_refused(mkdirs(harness, 9, 1, 1), SessionExpired)
    assert isinstance(mkdirs(harness, 9, 2, 1), Applied)
    assert harness.namespace.directory_count == 10


def test_an_idle_client_goes_on_and_its_old_retries_are_refused() -> None:
    harness = Harness(SMALL)
    mkdirs(harness, 9, 1, 1)
    mkdirs(harness, 9, 2, 1)
    harness.now_ms += IDLE_MS + 1
    mkdirs(harness, 8, 1, 1)
    assert list(harness.namespace.sessions.active) == [8]
    before = harness.tree_hash()
    expect_refused(mkdirs(harness, 9, 2, 2), SessionExpired, "outcome_forgotten")
    assert harness.tree_hash() == before
    assert isinstance(mkdirs(harness, 9, 3, 3), Applied)
    assert list(harness.namespace.sessions.active) == [8, 9]


def test_a_session_idle_for_exactly_the_limit_stays() -> None:
    harness = Harness(SMALL)
    mkdirs(harness, 9, 1, 1)
    harness.now_ms += IDLE_MS
    mkdirs(harness, 8, 1, 1)
    assert isinstance(mkdirs(harness, 9, 1, 1), Applied)


def test_a_full_table_refuses_new_clients_until_one_is_idle_long_enough() -> None:
    harness = Harness(SMALL)
    for client in (1, 2, 3, 4):
        mkdirs(harness, client, 1, 1)
    refused = mkdirs(harness, 5, 1, 1)
    expect_refused(refused, Overloaded)
    assert isinstance(refused, Rejected)
    assert refused.fields["retry_after_ms"] == 1000
    assert isinstance(mkdirs(harness, 4, 2, 2), Applied), "known clients go on"
    harness.now_ms += IDLE_MS_MIN + 1
    assert isinstance(mkdirs(harness, 5, 1, 1), Applied), "a refusal for room is not remembered"
    assert list(harness.namespace.sessions.active) == [2, 3, 4, 5]


def test_the_outcomes_of_all_sessions_together_are_bounded() -> None:
    harness = Harness(SMALL._replace(outcomes=10))
    for seq in range(1, 6):
        mkdirs(harness, 1, seq, 1)
        mkdirs(harness, 2, seq, 1)
    expect_refused(mkdirs(harness, 1, 6, 1), Overloaded)
    assert isinstance(mkdirs(harness, 1, 5, 1), Applied), "a retry needs no room"
    harness.now_ms += IDLE_MS_MIN + 1
    assert isinstance(mkdirs(harness, 1, 6, 1), Applied)


def test_once_a_sleeping_client_was_forgotten_unknown_ones_must_start_anew() -> None:
    harness = Harness(SMALL)
    assert isinstance(mkdirs(harness, 99, 5, 5), Applied), "nobody was forgotten yet"
    for client in range(1, 5):
        harness.now_ms += IDLE_MS + 1
        mkdirs(harness, client, 1, 1)
    assert len(harness.namespace.sessions.dormant) == 3
    assert harness.namespace.sessions.forgotten_count == 1
    before = harness.tree_hash()
    expect_refused(mkdirs(harness, 99, 5, 5), SessionExpired, "session_forgotten")
    assert harness.tree_hash() == before
    assert isinstance(mkdirs(harness, 98, 1, 1), Applied)


def test_one_operation_never_pays_for_the_whole_table() -> None:
    harness = Harness()
    for client in range(1, 41):
        mkdirs(harness, client, 1, 1)
    harness.now_ms += 10**9
    mkdirs(harness, 50, 1, 1)
    assert len(harness.namespace.sessions.dormant) == EVICTIONS_PER_OP_MAX


@pytest.mark.parametrize(
    ("client", "seq", "first_unacked", "at_ms"),
    [
        (0, 1, 1, 0), (2**64, 1, 1, 0), (1, 0, 0, 0), (1, 2**64, 1, 0), (1, 2**64 - 1, 1, 0),
        (1, 1, 2, 0), (1, 1, 1, -1), (1, 1, 1, 2**63),
    ],
)  # fmt: skip
def test_a_malformed_head_is_refused(client: int, seq: int, first_unacked: int, at_ms: int) -> None:
    harness = Harness()
    outcome = harness.namespace.apply(ops.Mkdirs(client, seq, first_unacked, at_ms, ADMIN, "/a"), 1)
    expect_refused(outcome, InvalidArgument)
    harness.drain()
    harness.restart()
    assert harness.namespace.directory_count == 1


def test_the_floor_above_the_highest_seq_is_a_row_too() -> None:
    harness = Harness(SMALL)
    assert isinstance(mkdirs(harness, 9, 2**64 - 2, 1), Applied)
    harness.now_ms += IDLE_MS + 1
    mkdirs(harness, 8, 1, 1)
    harness.restart()
    assert harness.namespace.sessions.dormant[9].floor == 2**64 - 1
    expect_refused(mkdirs(harness, 9, 2**64 - 2, 1), SessionExpired, "outcome_forgotten")


def test_a_full_session_refuses_what_is_older_than_all_that_it_holds() -> None:
    """Kept, it would be the next to go: below the floor, where it is lost without a trace."""
    harness = Harness(SMALL)
    for seq in range(10, 90, 10):
        mkdirs(harness, 9, seq, 1)
    before = harness.tree_hash()
    for seq in (9, 1):
        expect_refused(mkdirs(harness, 9, seq, 1), SessionExpired, "outcome_forgotten")
    assert harness.tree_hash() == before
    for seq in (15, 90, 100):
        assert isinstance(mkdirs(harness, 9, seq, 1), Applied)
    assert harness.namespace.sessions.outcome_count == 8
    harness.now_ms += IDLE_MS + 1
    mkdirs(harness, 8, 1, 1)
    assert harness.namespace.sessions.outcome_count == 1


def test_a_client_that_never_acknowledges_in_words_may_send_zero() -> None:
    assert isinstance(mkdirs(Harness(), 1, 1, 0), Applied)


def test_answers_survive_a_restart() -> None:
    harness = Harness(SMALL)
    sent = [
        ops.Mkdirs(9, 1, 1, 5, ADMIN, "/d"),
        ops.Create(9, 2, 1, 5, ADMIN, "/d/f", 3, MIB),
        ops.AllocateChunk(9, 3, 1, 5, ADMIN, 3, None, 0, ("c1", "c2")),
        ops.Complete(9, 4, 1, 5, ADMIN, 3, ops.ChunkDone(1, 1, 10, 7)),
        ops.Complete(9, 5, 1, 5, ADMIN, 3, None),
        ops.Rename(8, 1, 1, 5, ADMIN, "/d/f", "/g"),
        ops.Delete(8, 2, 1, 5, ADMIN, "/g"),
        ops.Abandon(8, 3, 1, 5, ADMIN, 3),
    ]
    answers = [harness.apply(op) for op in sent]
    assert isinstance(answers[1], Applied)
    assert isinstance(answers[1].result, FileView)
    state = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == state
    assert [harness.apply(op) for op in sent] == answers
    assert isinstance(answers[4], Rejected)


def test_sleeping_and_forgotten_sessions_survive_a_restart_in_their_order() -> None:
    harness = Harness(SMALL)
    mkdirs(harness, 77, 1, 1)
    mkdirs(harness, 5, 1, 1)
    mkdirs(harness, 3, 1, 1)
    harness.now_ms += IDLE_MS + 1
    mkdirs(harness, 1, 1, 1)  # 77, 5, 3 fall asleep at one index
    twin = Harness(SMALL)
    twin.namespace, twin.now_ms = harness.namespace, harness.now_ms
    harness.restart()
    assert list(harness.namespace.sessions.dormant) == [77, 5, 3]
    for side in (harness, twin):
        side.now_ms += IDLE_MS + 1
        mkdirs(side, 2, 1, 1)
    assert list(harness.namespace.sessions.dormant) == [5, 3, 1]
    assert harness.namespace.state_hash() == twin.namespace.state_hash()
    harness.restart()
    expect_refused(mkdirs(harness, 77, 2, 2), SessionExpired, "session_forgotten")


def test_the_order_of_use_survives_a_restart() -> None:
    harness = Harness(SMALL)
    for client in (3, 1, 2):
        mkdirs(harness, client, 1, 1)
    mkdirs(harness, 3, 2, 2)
    harness.restart()
    assert list(harness.namespace.sessions.active) == [1, 2, 3]


def drained_sessions(harness: Harness) -> dict[tuple[int, int], bool]:
    """(client, seq) of the session rows drained now, and whether each is kept or deleted."""
    return {
        (client, seq): value is not None
        for table, key, value in harness.namespace.drain_rows()
        if table == TABLE_SESSION
        for client, seq in [SESSION_ID.unpack(key)]
    }


def test_an_outcome_that_came_and_went_between_two_drains_is_never_a_row() -> None:
    harness = Harness()
    mkdirs(harness, 9, 1, 1)
    assert drained_sessions(harness) == {(9, 1): True}
    mkdirs(harness, 9, 2, 1)
    mkdirs(harness, 9, 3, 3)  # 1 and 2 are let go; only 1 was ever a row
    assert drained_sessions(harness) == {(9, 1): False, (9, 3): True}
    mkdirs(harness, 9, 4, 4)
    assert drained_sessions(harness) == {(9, 3): False, (9, 4): True}


def test_sessions_keep_the_order_of_their_use() -> None:
    harness = Harness()
    for client, seq in ((1, 1), (2, 1), (2, 2), (1, 2), (1, 3), (3, 1), (1, 4)):
        mkdirs(harness, client, seq, 1)
    assert list(harness.namespace.sessions.active) == [2, 3, 1]

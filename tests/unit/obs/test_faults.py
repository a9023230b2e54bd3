"""Kinds of faults, and counting them."""

from __future__ import annotations

import pytest

from pydfsnode import errors
from pydfsnode.errors import PydfsError
from pydfsnode.obs import faults
from pydfsnode.obs.faults import FIELD, OTHERS, SEVERITY, Fault, FaultCount, FaultCounts, fault_of
from pydfsnode.obs.log import LEVELS

CASES: list[tuple[PydfsError, Fault | None]] = [
    (errors.NotLeader("no", leader_hint=""), Fault.NOT_LEADER),
    (errors.Overloaded("later", retry_after_ms=1), Fault.OVERLOADED),
    (errors.Unavailable("stopping"), Fault.UNAVAILABLE),
    (errors.Unavailable("refused", **{FIELD: Fault.REFUSED}), Fault.REFUSED),
    (errors.Unavailable("odd", **{FIELD: "of a newer version"}), Fault.UNAVAILABLE),
    (errors.OutcomeUnknown("late", reason="timeout"), Fault.TIMED_OUT),
    (errors.OutcomeUnknown("gone", reason="lost"), Fault.RESET),
    (errors.OutcomeUnknown("who knows"), Fault.OUTCOME_UNKNOWN),
    (errors.ProposalDropped("deposed"), Fault.OUTCOME_UNKNOWN),
    (errors.DeadlineExceeded("late"), Fault.TIMED_OUT),
    (errors.PeerUnauthenticated("who?"), Fault.TLS_REFUSED),
    (errors.NotFound("/a"), None),
    (errors.PermissionDenied("no"), None),
    (errors.UnsafeChange("no"), None),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda case: str(case)[:20])
def test_the_kind_of_an_error(error: PydfsError, kind: Fault | None) -> None:
    assert fault_of(error) is kind


def test_every_kind_has_a_severity_that_the_log_knows() -> None:
    assert set(SEVERITY) == set(Fault)
    assert set(SEVERITY.values()) <= set(LEVELS)


def test_counts_are_of_a_peer_and_a_kind() -> None:
    told: list[tuple[str, Fault]] = []
    counts = FaultCounts(lambda peer, kind: told.append((peer, kind)))
    assert [counts.count("m1", Fault.RESET), counts.count("m1", Fault.RESET)] == [1, 2]
    counts.count("c1", Fault.REFUSED)
    assert counts.all() == [FaultCount("c1", Fault.REFUSED, 1), FaultCount("m1", Fault.RESET, 2)]
    assert counts.of("m1", Fault.REFUSED) == 0
    assert told == [("m1", Fault.RESET)] * 2 + [("c1", Fault.REFUSED)]


def test_peers_beyond_the_limit_are_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PEERS_MAX", 2)
    counts = FaultCounts()
    for peer in ("a", "b", "c", "d", "a"):
        counts.count(peer, Fault.RESET)
    assert {count.peer: count.times for count in counts.all()} == {"a": 2, "b": 1, OTHERS: 2}

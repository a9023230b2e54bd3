"""From heartbeats and pages to what is known, and how far it can be trusted."""

from __future__ import annotations

import pytest

from pydfsnode.fleet import reports as module
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports


@pytest.fixture
def replicas() -> ReplicaMap:
    found = ReplicaMap()
    found.server_live("c1")
    return found


@pytest.fixture
def reports(replicas: ReplicaMap) -> ReplicaReports:
    """c1 has reported chunks 1 and 2 in its incarnation 5, as of batch 3."""
    found = ReplicaReports(replicas)
    assert found.heartbeat("c1", 5, 3)
    page(found, [1, 2])
    assert not found.heartbeat("c1", 5, 3)
    return found


def page(
    reports: ReplicaReports, chunks: list[int], seq: int = 3, incarnation: int = 5,
    first: bool = True, last: bool = True,
) -> None:  # fmt: skip
    replicas = [(chunk_id, 1, 10) for chunk_id in chunks]
    reports.full_report_page("c1", incarnation, seq, replicas, first=first, last=last)


def held(replicas: ReplicaMap) -> list[int]:
    return sorted(replicas.held_by("c1"))


def test_a_new_process_must_report_everything(reports: ReplicaReports) -> None:
    assert reports.heartbeat("c1", 6, 0)
    assert not reports.is_complete("c1")


def test_changes_in_order_are_taken(reports: ReplicaReports, replicas: ReplicaMap) -> None:
    assert not reports.heartbeat("c1", 5, 4, [(3, 1, 10)], [1])
    assert not reports.heartbeat("c1", 5, 4, [(3, 1, 10)], [1]), "a repeated batch is harmless"
    assert not reports.heartbeat("c1", 5, 5, [], [2])
    assert held(replicas) == [3]


@pytest.mark.parametrize("seq", [2, 5])
def test_a_gap_or_a_step_back_forces_a_full_report(reports: ReplicaReports, seq: int) -> None:
    assert reports.heartbeat("c1", 5, seq)
    assert not reports.is_confirmed("c1")
    page(reports, [1], seq=seq if seq > 3 else 3)
    assert reports.is_complete("c1")


def test_what_a_full_report_does_not_list_is_gone(
    reports: ReplicaReports, replicas: ReplicaMap
) -> None:
    page(reports, [2], first=True, last=False)
    assert held(replicas) == [1, 2], "not before the last page"
    page(reports, [9], first=False, last=True)
    assert held(replicas) == [2, 9]


def test_a_report_that_begins_again_concludes_from_its_second_attempt_alone(
    reports: ReplicaReports, replicas: ReplicaMap
) -> None:
    page(reports, [1], first=True, last=False)
    page(reports, [2], first=True, last=True)
    assert held(replicas) == [2]
    page(reports, [], first=True, last=True)
    assert held(replicas) == []


def test_changes_between_pages_are_newer_than_the_pages(
    reports: ReplicaReports, replicas: ReplicaMap
) -> None:
    page(reports, [1], first=True, last=False)
    assert not reports.heartbeat("c1", 5, 4, [(7, 1, 10)], [2])
    page(reports, [2, 3], first=False, last=True)
    assert held(replicas) == [1, 3, 7]
    assert reports.is_complete("c1")
    assert not reports.heartbeat("c1", 5, 5)


def test_a_gap_between_pages_makes_the_report_worthless(
    reports: ReplicaReports, replicas: ReplicaMap
) -> None:
    page(reports, [1], first=True, last=False)
    assert reports.heartbeat("c1", 5, 9)
    page(reports, [], first=False, last=True)
    assert not reports.is_complete("c1")
    assert held(replicas) == [1, 2], "nothing is concluded from half a report"


def test_a_page_without_its_first_one_is_ignored(reports: ReplicaReports) -> None:
    reports.heartbeat("c1", 6, 0)
    page(reports, [8], incarnation=6, first=False, last=True)
    assert not reports.is_complete("c1")


def test_a_listing_older_than_known_changes_is_ignored(
    reports: ReplicaReports, replicas: ReplicaMap
) -> None:
    reports.heartbeat("c1", 5, 4, [], [1])
    page(reports, [1, 2], seq=3)
    assert held(replicas) == [2]
    assert reports.heartbeat("c1", 5, 4), "and asked for again"


def test_pages_that_stop_coming_are_asked_for_again(reports: ReplicaReports) -> None:
    page(reports, [1], first=True, last=False)
    asked = [reports.heartbeat("c1", 5, 3) for _ in range(11)]
    assert asked == [False] * 10 + [True]


def test_too_many_changes_between_pages_start_the_report_again(
    reports: ReplicaReports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATER_CHANGES_MAX", 2)
    page(reports, [1], first=True, last=False)
    assert reports.heartbeat("c1", 5, 4, [(3, 1, 1), (4, 1, 1), (5, 1, 1)])


def test_corrupt_copies_are_noted(reports: ReplicaReports, replicas: ReplicaMap) -> None:
    replicas.want(1, 1, 10, 1)
    assert replicas.good(1) == ["c1"]
    reports.heartbeat("c1", 5, 3, corrupt=[1])
    assert replicas.good(1) == []
    reports.heartbeat("c1", 5, 4, added=[(1, 1, 10)])
    assert replicas.good(1) == ["c1"]


def test_a_server_is_confirmed_when_heard_twice_in_an_epoch(reports: ReplicaReports) -> None:
    assert reports.is_confirmed("c1")
    reports.new_epoch(7)
    assert not reports.is_confirmed("c1")
    reports.heartbeat("c1", 5, 3)
    assert not reports.is_confirmed("c1")
    reports.heartbeat("c1", 5, 3)
    assert reports.is_confirmed("c1")


def test_a_server_that_tells_its_epoch_is_confirmed_by_that_alone(reports: ReplicaReports) -> None:
    reports.new_epoch(7)
    for _ in range(3):
        reports.heartbeat("c1", 5, 3, epoch=6)
        assert not reports.is_confirmed("c1")
    reports.heartbeat("c1", 5, 3, epoch=7)
    assert reports.is_confirmed("c1")
    reports.new_epoch(9)
    assert not reports.is_confirmed("c1")
    reports.heartbeat("c1", 5, 3, epoch=9)
    assert reports.is_confirmed("c1")


def test_a_restarted_server_is_not_confirmed_before_its_full_report(
    reports: ReplicaReports,
) -> None:
    for _ in range(3):
        assert reports.heartbeat("c1", 6, 0)
    assert not reports.is_confirmed("c1")
    page(reports, [1], seq=0, incarnation=6)
    assert reports.is_confirmed("c1")


def test_an_unknown_server_is_not_confirmed(reports: ReplicaReports) -> None:
    assert not reports.is_confirmed("c9")
    assert not reports.is_complete("c9")

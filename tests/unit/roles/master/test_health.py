"""Each condition has its named check, and a healthy cluster none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pydfsnode.raft.types import PeerView
from pydfsnode.roles.master.health import ERROR, NOTE, OK, WARN, Condition, check, overall

HEALTHY = Condition(
    voters=3,
    peers=[PeerView("m2", 9, True), PeerView("m3", 9, True)],
    fsync="always",
    live_chunkservers=3,
    dead_chunkservers=[],
    chunks=10,
    under_replicated=0,
    missing=0,
    replication=3,
)


def test_a_healthy_cluster_has_no_findings() -> None:
    assert check(HEALTHY) == []
    assert overall([]) == OK


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"voters": 5, "peers": [PeerView("m2#0000000a", 9, False)]}, "MASTER_DOWN", WARN),
        ({"changing": True}, "MEMBERSHIP_CHANGING", WARN),
        ({"expiring": [("master/m1", 5 * 86_400_000)]}, "CERT_EXPIRING", WARN),
        ({"expiring": [("master/m1", -1), ("c1", 9)]}, "CERT_EXPIRING", ERROR),
        ({"peers": [PeerView("m4", 9, False, "probe", False)]}, "LEARNER_LAGGING", WARN),
        ({"peers": [PeerView("m4", 9, True, "snapshot", False)]}, "LEARNER_LAGGING", WARN),
        (
            {"peers": [PeerView("m4", 9, True, voter=False)], "last_index": 9999},
            "LEARNER_LAGGING",
            WARN,
        ),
        ({"audit_problem": "/a: No space left on device"}, "AUDIT_FAILING", ERROR),
        ({"audit_failing": [("c1", "/a: full")]}, "CHUNKSERVER_AUDIT_FAILING", WARN),
        ({"kek_with_data": "/m1/kek.hex"}, "KEK_WITH_DATA", NOTE),
        ({"fsync": "batch"}, "FSYNC_UNSAFE", WARN),
        ({"live_chunkservers": 0}, "NO_CHUNKSERVERS", ERROR),
        ({"live_chunkservers": 2}, "FEW_CHUNKSERVERS", WARN),
        ({"dead_chunkservers": ["c1"]}, "CHUNKSERVER_DOWN", WARN),
        ({"poor_chunkservers": [("c1", "1 of 2 disks failed")]}, "CHUNKSERVER_AVOIDED", WARN),
        ({"failed_disks": [("c1", 1, 2)]}, "DISK_FAILED", WARN),
        ({"under_replicated": 1}, "UNDER_REPLICATED", WARN),
        ({"missing": 1}, "MISSING_CHUNKS", ERROR),
        ({"missing": 1, "under_replicated": 2, "warming_up": True}, "WARMING_UP", WARN),
    ],
)
def test_each_condition_is_named_with_a_remedy(
    change: dict[str, object], code: str, severity: str
) -> None:
    (finding,) = check(replace(HEALTHY, **change))  # type: ignore[arg-type]
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.message
    assert finding.remedy
    assert overall([finding]) == (OK if severity == NOTE else severity)


def test_a_cluster_that_one_more_loss_would_stop_is_fragile() -> None:
    silent = [PeerView("m2#0000000a", 9, False), PeerView("m3", 9, True)]
    codes = [c.code for c in check(replace(HEALTHY, peers=silent))]
    assert codes == ["MASTER_DOWN", "CLUSTER_FRAGILE"]
    two = replace(HEALTHY, voters=2, peers=[PeerView("m2", 9, True)])
    assert check(two) == []  # two never allow a loss: nothing is out of order


def test_names_are_told_without_incarnations() -> None:
    (down,) = check(replace(HEALTHY, voters=5, peers=[PeerView("m2#0000000a", 9, False)]))
    assert down.message.startswith("m2 not heard from; 1 more")


def test_a_learner_that_follows_is_no_finding() -> None:
    learner = PeerView("m4", 9_500, True, voter=False)
    assert check(replace(HEALTHY, peers=[learner], last_index=10_000)) == []


def test_the_worst_finding_comes_first() -> None:
    found = check(replace(HEALTHY, under_replicated=1, missing=1))
    assert [f.severity for f in found] == [ERROR, WARN]

"""Masters that were away for longer than the log reaches back come back by snapshot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import wait_until
from tests.support.load import NamespaceLoad, check_exactly_once
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ENTRIES = int(os.environ.get("PYDFSNODE_RAFT_ENTRIES", "2000"))
MASTERS = ("m1", "m2", "m3")
SHORT_LOG = {"log_entries_max": 500, "keep_entries": 100}
SLOW = {**SHORT_LOG, "bytes_per_s": 20_000}
"""Slow enough that a test can kill an end of the transfer in its middle."""


def write_entries(cluster: RaftCluster, load: NamespaceLoad, count: int) -> None:
    """Return when the log has grown by *count*."""
    leader = cluster.leading()
    wanted = cluster.applied(leader) + count
    wait_until(
        f"{count} entries are written", lambda: cluster.applied(leader) >= wanted, seconds=600
    )
    load.wait_for(1)


def check_equal(cluster: RaftCluster, load: NamespaceLoad) -> None:
    """Nothing is lost, and all masters hold the same."""
    check_exactly_once(load, cluster.config)
    states = cluster.stored_states(*MASTERS)
    assert len(set(states.values())) == 1, states


def test_a_master_comes_back_by_snapshot_while_writes_go_on(tmp_path: Path) -> None:
    settings = {"snapshot": SHORT_LOG}
    with RaftCluster(tmp_path / "dev", settings=settings) as cluster:
        away = next(name for name in MASTERS if name != cluster.leading())
        with NamespaceLoad(cluster.config, "/away", workers=16, per_s=None) as load:
            cluster.kill(away)
            gone_at = cluster.applied(cluster.leading())
            write_entries(cluster, load, ENTRIES)
            wait_until("the log reaches back no more", lambda: first_index(cluster) > gone_at)
            cluster.start(away)
            wait_until("the snapshot is installed", lambda: is_installed(cluster, away))
            load.wait_for(100)
        check_equal(cluster, load)


def first_index(cluster: RaftCluster) -> int:
    """Where the leader's log begins."""
    state = cluster.raft(cluster.leading())
    return int(state["first_index"]) if state is not None else 0


def is_installed(cluster: RaftCluster, away: str) -> bool:
    """Whether this master ever came back by a snapshot."""
    return bool(cluster.events(away, "installed a snapshot"))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[RaftCluster]:
    """A cluster in which a snapshot takes seconds."""
    with RaftCluster(tmp_path / "dev", settings={"snapshot": SLOW}) as cluster:
        yield cluster


def snapshot_begins(cluster: RaftCluster, away: str) -> int:
    """How often this master began to receive a snapshot, in all its lives."""
    return len(cluster.events(away, "snapshot begins"))


@pytest.mark.parametrize("end", ["receiver", "sender"])
def test_an_end_of_a_snapshot_transfer_is_killed(slow: RaftCluster, end: str) -> None:
    leader = slow.leading()
    away = next(name for name in MASTERS if name != leader)
    with NamespaceLoad(slow.config, "/killed", workers=16, per_s=None) as load:
        slow.kill(away)
        write_entries(slow, load, 3000)
    with NamespaceLoad(slow.config, "/goes-on", per_s=100) as going_on:
        slow.start(away)
        wait_until("a transfer is under way", lambda: snapshot_begins(slow, away) > 0)
        killed = away if end == "receiver" else slow.leading()
        slow.kill(killed)
        begun = snapshot_begins(slow, away)
        assert not is_installed(slow, away), "it was not in the middle"
        slow.start(killed)
        wait_until("the snapshot is installed", lambda: is_installed(slow, away))
        assert snapshot_begins(slow, away) > begun
        going_on.wait_for(20)
    check_exactly_once(load, slow.config)
    check_equal(slow, going_on)

"""Masters that come, go, lose their disk or all their companions, while clients write."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pydfsnode.client.sync import FileSystem
from tests.support.cluster import wait_until
from tests.support.load import NamespaceLoad, check_exactly_once
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MASTERS = ("m1", "m2", "m3")
CONTENT = random.Random(3).randbytes(3_000_000)


def test_three_masters_become_five_and_three_others(tmp_path: Path) -> None:
    with RaftCluster(tmp_path / "dev", chunkservers=2) as cluster:
        with FileSystem.connect(cluster.config) as fs:
            fs.pipe_file("/before", CONTENT)
        with NamespaceLoad(cluster.config, "/grow", timeout_ms=60_000) as load:
            for name in ("m4", "m5"):
                cluster.run("cluster", "add-master", cluster.new_master(name))
                load.wait_for(50)
            first = cluster.leading()
            second = next(name for name in MASTERS if name != first)
            for name in (first, second):
                cluster.run("cluster", "remove-master", name)
                load.wait_for(50)
                cluster.stop(name)
                load.wait_for(50)
            members = json.loads(cluster.run("cluster", "members", "--json"))
        check_exactly_once(load, cluster.config)
        left = {"m1", "m2", "m3", "m4", "m5"} - {first, second}
        found = {member["id"]: member["membership"] for member in members["members"]}
        assert found == dict.fromkeys(left, "voter")
        with FileSystem.connect(cluster.config) as fs:
            fs.pipe_file("/after", CONTENT)
            assert fs.cat_file("/before") == fs.cat_file("/after") == CONTENT
        states = cluster.stored_states(*left)
        assert len(set(states.values())) == 1, states


def test_a_wiped_master_does_not_vote_and_comes_back_by_remove_and_add(tmp_path: Path) -> None:
    with RaftCluster(tmp_path / "dev") as cluster:
        with NamespaceLoad(cluster.config, "/wiped", timeout_ms=60_000) as load:
            load.wait_for(50)
            leader = cluster.leading()
            wiped, other = (name for name in MASTERS if name != leader)
            cluster.kill(wiped, leader)
            cluster.wipe(wiped)
            cluster.start(wiped)
            wait_until("the wiped master gives up", lambda: not cluster.is_alive(wiped))
            refusal = f"{wiped} is a member of this cluster with another data directory"
            assert refusal in cluster.log(wiped)
            state = cluster.raft(other)
            assert state is not None
            assert state["role"] != "leader", "the vote of an empty disk made a majority"
            cluster.start(leader)
            load.wait_for(50)
            cluster.begins_no_cluster(wiped)
            cluster.run("cluster", "remove-master", wiped)
            cluster.start(wiped)
            cluster.wait_for_page(wiped)
            cluster.run("cluster", "add-master", f"{wiped}={cluster.listen(wiped)}")
            load.wait_for(50)
        check_exactly_once(load, cluster.config)
        states = cluster.stored_states(*MASTERS)
        assert len(set(states.values())) == 1, states


def test_one_survivor_goes_on_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    with RaftCluster(tmp_path / "dev") as cluster:
        with NamespaceLoad(cluster.config, "/survivor", timeout_ms=90_000) as load:
            load.wait_for(200)
            cluster.kill(*MASTERS)
            survivor, *others = sorted(MASTERS, key=lambda name: held(cluster, name), reverse=True)
            for name in others:
                cluster.wipe(name)
                cluster.begins_no_cluster(name)
            command = ("cluster", "recover-quorum", "--config", cluster.node_config(survivor))
            refused = cluster.command(*command)
            assert refused.returncode != 0
            assert "nothing was changed" in refused.stderr
            cluster.run(*command, "--yes-lose-what-only-others-hold")
            cluster.start(survivor)
            load.wait_for(50)
            for name in others:
                cluster.start(name)
                cluster.wait_for_page(name)
                cluster.run("cluster", "add-master", f"{name}={cluster.listen(name)}")
            load.wait_for(50)
        check_exactly_once(load, cluster.config)
        states = cluster.stored_states(*MASTERS)
        assert len(set(states.values())) == 1, states


def held(cluster: RaftCluster, name: str) -> tuple[int, int]:
    """What `recover-quorum` says to compare."""
    command = ("cluster", "recover-quorum", "--config", cluster.node_config(name))
    found = json.loads(cluster.run(*command, "--inspect", "--json"))
    return found["last_term"], found["last_index"]

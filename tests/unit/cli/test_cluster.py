"""`pydfsnode cluster status`: the promised keys, and text with codes and remedies."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.model import (
    ChunkserverState,
    ClusterStatus,
    HealthCheck,
    MasterState,
    NodeLinks,
    PeerLink,
)
from pydfsnode.errors import Unavailable
from tests.unit.cli.conftest import Run

STATUS = ClusterStatus(
    cluster_id="abc",
    health="WARN",
    checks=[HealthCheck("MASTER_DOWN", "WARN", "m3 not heard from", "start it again")],
    leader="m1",
    term=4,
    commit_index=1200,
    applied_index=1200,
    masters=[MasterState("m1", "leader", 1200, 0, "127.0.0.1:1", True)],
    chunkservers=[
        ChunkserverState("c1", "live", 7, 3 << 20, 5 << 30, "r1", "127.0.0.1:2", 120),
        ChunkserverState("c2", "dead", 0, 0, 0, "r1", "127.0.0.1:3", 60_000),
    ],
    chunks=7,
)


@pytest.fixture(autouse=True)
def _answers(cluster: object, monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(_fs: AsyncFileSystem) -> ClusterStatus:
        return STATUS

    monkeypatch.setattr(AsyncFileSystem, "cluster_status", status)


def test_json_has_the_promised_keys(run: Run) -> None:
    found = json.loads(run("cluster", "status", "--json").out)
    assert {"cluster_id", "health", "checks", "leader", "term", "commit_index", "masters",
            "chunkservers"} <= set(found)  # fmt: skip
    assert {"code", "message", "remedy"} <= set(found["checks"][0])
    assert {"id", "role", "match_index", "lag"} <= set(found["masters"][0])
    assert {"id", "state", "chunks", "used_bytes", "free_bytes", "rack"} <= set(
        found["chunkservers"][0]
    )
    assert found["chunkservers"][0]["used_bytes"] == 3 << 20


def test_text_names_each_finding_with_its_remedy(run: Run) -> None:
    shown = run("cluster", "status").out
    assert "cluster  abc   WARN" in shown
    assert "MASTER_DOWN: m3 not heard from\n      -> start it again" in shown
    assert "leader m1   term 4   commit 1,200" in shown
    assert "c2           dead" in shown
    assert "3.0 MiB  5.0 GiB" in shown


def test_verbose_shows_the_links_of_all_nodes_and_the_breaker_of_each(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "BREAKER" not in run("cluster", "status").out
    link = PeerLink("m3", "127.0.0.1:3", "open", 7, 400, "cannot connect", {"refused": 7})

    async def status(_fs: AsyncFileSystem) -> ClusterStatus:
        return dataclasses.replace(STATUS, links=[link])

    async def links(_fs: AsyncFileSystem, found: ClusterStatus) -> list[NodeLinks]:
        beyond = dataclasses.replace(link, peer="c2", breaker="closed", last_failure="")
        return [NodeLinks("m1", found.links), NodeLinks("c1", [beyond]), NodeLinks("c2", [], "no")]

    monkeypatch.setattr(AsyncFileSystem, "cluster_status", status)
    monkeypatch.setattr(AsyncFileSystem, "node_links", links)
    shown = " ".join(run("cluster", "status", "--verbose").out.split())
    assert "m1 m3 127.0.0.1:3 open refused 7 cannot connect" in shown
    assert "c1 c2 127.0.0.1:3 closed refused 7 -" in shown
    assert "c2 does not say: no" in shown
    found = json.loads(run("cluster", "status", "--verbose", "--json").out)
    assert [node["node"] for node in found["node_links"]] == ["m1", "c1", "c2"]
    assert found["node_links"][0]["links"] == found["links"]
    (told,) = json.loads(run("cluster", "status", "--json").out)["links"]
    assert told["breaker"] == "open"


def test_membership_is_shown_when_somebody_does_not_vote(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "MEMBERSHIP" not in run("cluster", "status").out
    learner = MasterState("m9", "learner", 900, 300, "127.0.0.1:9", True, "learner", 7, "snapshot")

    async def status(_fs: AsyncFileSystem) -> ClusterStatus:
        return dataclasses.replace(STATUS, masters=[*STATUS.masters, learner])

    monkeypatch.setattr(AsyncFileSystem, "cluster_status", status)
    shown = run("cluster", "status").out
    assert "MASTER  ROLE     MEMBERSHIP  MATCH" in shown
    assert "m9      learner  learner       900" in shown
    found = json.loads(run("cluster", "status", "--json").out)["masters"][1]
    assert (found["membership"], found["incarnation"], found["replication"]) == (
        "learner", 7, "snapshot",
    )  # fmt: skip


def test_a_leader_that_answers_is_success_whatever_the_health(run: Run) -> None:
    assert run("cluster", "status").code == 0


def test_no_leader_is_1_with_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(_fs: AsyncFileSystem) -> ClusterStatus:
        raise Unavailable("Status had no answer")

    monkeypatch.setattr(AsyncFileSystem, "cluster_status", status)
    result = run("cluster", "status")
    assert result.code == 1
    assert result.err.startswith("pydfsnode: Status had no answer; no master can be reached: ")
    assert result.err.endswith(" [3006]\n")
    assert result.err.count("\n") == 1
    assert result.out == ""

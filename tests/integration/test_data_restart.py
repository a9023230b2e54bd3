"""All masters restart while a chunkserver is down: they miss it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cluster import wait_until
from tests.support.data_cluster import DataCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MASTERS = ("m1", "m2", "m3")


def test_a_chunkserver_that_is_down_over_a_restart_of_all_masters_is_missed(
    tmp_path: Path,
) -> None:
    with DataCluster(tmp_path / "dev", chunkservers=3) as cluster:
        wait_until("c3 lives", lambda: cluster.state_of("c3") == "live")
        kept = [cluster.data_dir(master) / "chunkservers.json" for master in MASTERS]
        wait_until("all know it", lambda: all(p.exists() and "c3" in p.read_text() for p in kept))
        cluster.kill("c3", *MASTERS)
        cluster.start(*MASTERS)
        wait_until("c3 is missed", lambda: cluster.state_of("c3") == "dead")
        (check,) = (c for c in cluster.status()["checks"] if c["code"] == "CHUNKSERVER_DOWN")
        assert "c3" in check["message"]
        report = json.loads(cluster.run("cluster", "report", "--json"))
        assert {s["id"]: s["state"] for s in report["chunkservers"]}["c3"] == "dead"
        wait_until("c1 has come again", lambda: cluster.state_of("c1") == "live")
        cluster.up()
        wait_until("c3 is back", lambda: cluster.state_of("c3") == "live")
        assert "CHUNKSERVER_DOWN" not in cluster.codes()

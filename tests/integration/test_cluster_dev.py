"""`dev up|down|status|logs` with real nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_up_starts_what_does_not_run_and_adds_chunkservers(tmp_path: Path) -> None:
    with Cluster(tmp_path / "dev", masters=1, chunkservers=1) as cluster:
        before = cluster.nodes()
        cluster.kill("c1")
        assert cluster.nodes()["c1"]["alive"] is False
        out = cluster.run("dev", "up", "--dir", cluster.directory, "--chunkservers", 2)
        assert "started c1, c2" in out
        after = cluster.nodes()
        assert all(node["alive"] for node in after.values())
        assert after["m1"]["pid"] == before["m1"]["pid"]
        assert after["c1"]["listen"] == before["c1"]["listen"]
        assert {s["id"] for s in cluster.status()["chunkservers"]} == {"c1", "c2"}
        assert "serving" in cluster.run("dev", "logs", "c2", "--dir", cluster.directory)
        assert " until " in cluster.run("certs", "renew"), "the masters can sign"
    assert not any(node["alive"] for node in cluster.nodes().values())


def test_the_printed_line_is_what_a_shell_needs(tmp_path: Path) -> None:
    directory = tmp_path / "with space"
    with Cluster(directory, masters=1, chunkservers=1) as cluster:
        out = cluster.run("dev", "up", "--dir", directory)
        (line,) = [s.strip() for s in out.splitlines() if s.strip().startswith("export ")]
        environment = {**cluster.environment}
        del environment["PYDFSNODE_CONFIG"]
        done = subprocess.run(
            f"{line}; {sys.executable} -m pydfsnode fs ls /",
            shell=True, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_a_node_stops_in_order_on_term(tmp_path: Path) -> None:
    with Cluster(tmp_path / "dev", masters=1, chunkservers=1) as cluster:
        cluster.run("dev", "down", "--dir", cluster.directory)
        for node_id in ("m1", "c1"):
            last = json.loads(cluster.log(node_id).splitlines()[-1])
            assert last["event"] == "stopping", last
            assert last["exit_code"] == 0

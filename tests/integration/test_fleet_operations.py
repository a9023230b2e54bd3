"""Six chunkservers in three racks: a rack dies and returns, another server joins, one leaves."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.cli.dev_cluster import DevCluster
from pydfsnode.client.sync import FileSystem
from tests.support.cluster import Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIB = limits.MIB
RACK_OF = {"c1": "/r1", "c2": "/r1", "c3": "/r2", "c4": "/r2", "c5": "/r3", "c6": "/r3",
           "c7": "/r1"}  # fmt: skip
FILES = 12
FILE_BYTES = 2 * MIB + 17


def configure(directory: Path, chunkservers: int) -> None:
    """Make what is not there yet: racks, small chunks, and servers that are missed soon."""
    dev = DevCluster(directory)
    spec = dev.prepare(None if directory.exists() else 1, chunkservers)
    for node in spec.nodes:
        path = dev.layout.config(node.id)
        text = path.read_text()
        if "heartbeat_ms" in text or "dead_after_ms" in text:
            continue
        if node.role == "chunkserver":
            lines = [f'rack = "{RACK_OF[node.id]}"', "heartbeat_ms = 300"]
        else:
            lines = ["dead_after_ms = 3000", f"chunk_bytes = {MIB}"]
        path.write_text("\n".join(lines) + "\n" + text)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("fleet") / "dev"
    configure(directory, 6)
    with Cluster(directory, masters=1, chunkservers=6) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    rng = random.Random(7)
    return {f"/f{number}": rng.randbytes(FILE_BYTES) for number in range(FILES)}


def fsck(cluster: Cluster) -> dict[str, Any]:
    done = cluster.command("cluster", "fsck", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1)
    return found


def is_perfect(cluster: Cluster) -> bool:
    """Whether every chunk has exactly the replicas that it wants, where they should be."""
    counts = fsck(cluster)["counts"]
    wrong = ("missing", "corrupt", "under_replicated", "over_replicated", "misplaced")
    return counts["replicas"] == counts["replicas_wanted"] > 0 and not any(map(counts.get, wrong))


def assert_readable(fs: FileSystem, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        assert fs.cat_file(path) == content


def states_of(cluster: Cluster, *node_ids: str) -> set[str]:
    return {s["state"] for s in cluster.status()["chunkservers"] if s["id"] in node_ids}


def chunks_of(cluster: Cluster, node_id: str) -> int:
    (found,) = [s for s in cluster.status()["chunkservers"] if s["id"] == node_id]
    return int(found["chunks"])


def test_a_rack_dies_and_returns_a_server_joins_and_another_leaves(
    cluster: Cluster, contents: dict[str, bytes]
) -> None:
    with cluster.connect() as fs:
        for path, content in contents.items():
            fs.pipe_file(path, content)
        cluster.run("cluster", "safemode", "wait")
        wait_until("all replicas are known", lambda: is_perfect(cluster))

        cluster.kill("c5", "c6")
        assert_readable(fs, contents)
        wait_until("the rack is missed", lambda: states_of(cluster, "c5", "c6") == {"dead"})
        cluster.up()
        wait_until("everything has healed", lambda: is_perfect(cluster))
        assert_readable(fs, contents)

        configure(cluster.directory, 7)
        cluster.run("dev", "up", "--dir", cluster.directory, "--chunkservers", 7)
        cluster.run("cluster", "balance", "--threshold", "0.0002%", "--bytes-per-s", "1G", "--wait")
        # What a server holds is known from its next heartbeat on.
        wait_until("c7 has some", lambda: chunks_of(cluster, "c7") > 0)
        wait_until("nothing is left over", lambda: is_perfect(cluster))

        out = cluster.run("cluster", "decommission", "c1", "--wait")
        assert "may be stopped" in out
        wait_until("c1 is empty", lambda: chunks_of(cluster, "c1") == 0)
        cluster.run("dev", "down", "--dir", cluster.directory, "c1")
        assert_readable(fs, contents)
        wait_until("nothing is amiss", lambda: is_perfect(cluster))
    shown = cluster.run("cluster", "fsck")
    assert shown.endswith("The filesystem under path '/' is HEALTHY\n")
    report = json.loads(cluster.run("cluster", "report", "--json"))
    assert [duty["state"] for duty in report["out_of_service"]] == ["decommissioned"]
    refused = cluster.command("cluster", "decommission", "c2", "c3", "c4", "c5", "c6")
    assert refused.returncode == 1
    assert "want 3 replicas" in refused.stderr


def test_safe_mode_ordered_by_an_operator_stops_changes_and_outlives_the_master(
    cluster: Cluster,
) -> None:
    assert "ON by" in cluster.run("cluster", "safemode", "enter")
    cluster.kill("m1")
    cluster.up()
    refused = cluster.command("fs", "mkdir", "/no")
    assert refused.returncode == 1
    assert "safe mode" in refused.stderr
    assert cluster.run("fs", "ls", "-C", "/").startswith("/f0")
    assert cluster.run("cluster", "safemode", "leave") == "Safe mode is OFF\n"
    cluster.run("fs", "mkdir", "/yes")

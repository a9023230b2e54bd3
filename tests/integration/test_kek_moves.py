"""A master's key-encryption key moves off the disk of the data, as docs/security.md says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CONTENT = b"kept in the master's state"
SERVICE = """
import sys
data = sys.stdin.buffer.read()
wrapped = bytes([17]) + bytes(b ^ 17 for b in data)
opened = bytes(b ^ data[0] for b in data[1:])
sys.stdout.buffer.write(wrapped if sys.argv[1] == "wrap" else opened)
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "dev", masters=1, chunkservers=0) as cluster:
        with cluster.connect() as fs:
            fs.pipe_file("/small", CONTENT)
        yield cluster


def moved(cluster: Cluster, setting: str, value: object) -> str:
    """Where the key is from after a start with *setting*; the file in `data_dir` is gone by then,
    and what was written before can be read."""
    config = cluster.directory / "nodes" / "m1" / "node.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("kek_")]
    config.write_text("\n".join([f"{setting} = {json.dumps(value)}", *lines]) + "\n")
    cluster.up()
    with cluster.connect() as fs:
        assert fs.cat_file("/small") == CONTENT
    return str(cluster.json("keys", "status")["masters"][0]["kek_source"])


def stop(cluster: Cluster) -> Path:
    """The file that the master made at its first start."""
    cluster.run("dev", "down", "--dir", cluster.directory)
    return cluster.data_dir("m1") / "kek.hex"


def test_to_another_file_and_on_to_a_command(cluster: Cluster, tmp_path: Path) -> None:
    assert [c["code"] for c in cluster.status()["checks"] if c["severity"] == "NOTE"] == [
        "KEK_WITH_DATA"
    ]
    assert "lies on a disk of the data" in cluster.log("m1")
    elsewhere = tmp_path / "elsewhere.hex"
    stop(cluster).rename(elsewhere)
    assert f"file {elsewhere}" in moved(cluster, "kek_file", str(elsewhere))
    # To the place where the default is: what it was before counts when the command comes.
    elsewhere.rename(stop(cluster))
    service = tmp_path / "service.py"
    service.write_text(SERVICE)
    command = [sys.executable, "-S", str(service)]
    assert moved(cluster, "kek_command", command) == f"command {sys.executable}"
    stop(cluster).unlink()
    assert moved(cluster, "kek_command", command) == f"command {sys.executable}"
    assert "KEK_WITH_DATA" not in {check["code"] for check in cluster.status()["checks"]}


def test_to_the_environment(cluster: Cluster) -> None:
    kek = stop(cluster)
    cluster.environment["KEK_OF_M1"] = kek.read_text()
    kek.unlink()
    assert moved(cluster, "kek_env", "KEK_OF_M1") == "environment $KEK_OF_M1"

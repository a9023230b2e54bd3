"""Keys are rotated while programs write and read; a master is killed in the middle of it."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from pydfsnode.limits import MIB
from tests.support.cluster import Cluster, wait_until
from tests.support.data_load import DataLoad
from tests.support.load import NamespaceLoad

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MASTERS = ("m1", "m2", "m3")
NAMES = 1000
"""So many that sealing their rows anew takes long enough to be interrupted."""


def held(cluster: Cluster, node: str) -> list[int]:
    """Epochs of the data keys in a master's keyring, on its disk."""
    path = cluster.data_dir(node) / "keys" / "keyring.json"
    return [key["epoch"] for key in json.loads(path.read_text())["keys"]]


def is_settled(cluster: Cluster, rotation: int) -> bool:
    """Whether every master has one key only and every chunkserver needs no older one."""
    found = cluster.json("keys", "status")
    return (
        all(m["rotation"] == rotation and len(m["epochs"]) == 1 for m in found["masters"])
        and len(found["masters"]) == len(MASTERS)
        and all(s["verified_epoch"] == rotation for s in found["chunkservers"])
    )


def follower(cluster: Cluster) -> str:
    return next(node for node in MASTERS if node != cluster.leader())


def test_rotations_fail_no_request_and_survive_a_kill(cluster: Cluster) -> None:
    config = cluster.directory / "client.toml"
    content = bytes(range(256)) * 20
    with cluster.connect() as fs:
        fs.makedirs("/kept")
        for number in range(NAMES):
            fs.pipe_file(f"/kept/{number}", content[: number % 5000])
        fs.pipe_file("/kept/large", content * 2000)
    first = {master["id"]: master["kek_id"] for master in cluster.json("keys", "status")["masters"]}
    with (
        NamespaceLoad(config, "/names", per_s=30.0) as names,
        DataLoad(config, "/data", bytes_per_s=4 * MIB) as data,
    ):
        killed = follower(cluster)
        pid = cluster.nodes()[killed]["pid"]
        with ThreadPoolExecutor(1) as pool:  # the command may end later than the first re-sealing
            ordered = pool.submit(cluster.run, "keys", "rotate")
            wait_until(f"{killed} has begun", lambda: len(held(cluster, killed)) == 2)
            os.kill(pid, signal.SIGKILL)
            ordered.result()
        assert len(held(cluster, killed)) == 2, "it was done before it could be killed"
        wait_until(f"{killed} is gone", lambda: not cluster.nodes()[killed]["alive"])
        cluster.up()
        cluster.run("keys", "rotate", "--kek")
        wait_until("the first rotation is done", lambda: is_settled(cluster, 2), seconds=120)
        data.wait_for(files=2, reads=2)
        cluster.run("keys", "rotate")
        wait_until("the second rotation is done", lambda: is_settled(cluster, 3), seconds=120)
        data.wait_for(files=2, reads=2)
        names.wait_for(10)
    assert names.failures == []
    data.check()
    found = cluster.json("keys", "status")
    assert not {m["kek_id"] for m in found["masters"]} & set(first.values())
    assert all(1 not in held(cluster, node) for node in MASTERS)

    cluster.run("dev", "down", "--dir", cluster.directory)
    cluster.up()
    with cluster.connect() as fs:
        for number in range(0, NAMES, 40):
            assert fs.cat_file(f"/kept/{number}") == content[: number % 5000]
        assert fs.cat_file("/kept/large") == content * 2000

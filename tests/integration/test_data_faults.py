"""Chunkservers die, hang, fill up and lose or change what they store, while files go in and out.

In every test: no read gives a wrong byte, no client's call fails, every file whose close was
acknowledged comes back whole, all chunks get their replicas again, and the masters tell what
happened. Needs no privilege; `test_data_disks.py` has the faults that need one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from tests.support.cluster import wait_until
from tests.support.data_cluster import DataCluster
from tests.support.data_load import DataLoad, check_all_stored
from tests.support.disk_faults import FaultyDisk, flip_bytes

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STOPPED_S = float(os.environ.get("PYDFSNODE_STOPPED_S", "6"))
"""How long a server is stopped; longer than it takes to be declared dead."""
SCRUB_PERIOD_DAYS = 10 / 86_400
FOOTER_MAGIC = b"PDFSSGIX"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> FaultyDisk:
    """The second disk of c4."""
    work = tmp_path_factory.mktemp("faulty")
    return FaultyDisk(work / "disk", work)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, disk: FaultyDisk) -> Iterator[DataCluster]:
    directory = tmp_path_factory.mktemp("data") / "dev"
    settings: dict[str, dict[str, object]] = {
        "c1": {"scrub_period_days": SCRUB_PERIOD_DAYS},
        "c4": {"data_dirs": json.dumps(["data", str(disk.below)]), "disk_timeout_ms": 3_000},
    }
    with DataCluster(directory, settings=settings, environment={"c4": disk.environment}) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: DataCluster, disk: FaultyDisk) -> DataCluster:
    """All nodes run and nothing is left to repair."""
    disk.heal()
    running.up()
    running.wait_until_perfect()
    return running


@contextmanager
def load(cluster: DataCluster, root: str) -> Iterator[DataLoad]:
    """Files go in and out; at the end all that were stored are there and whole."""
    with DataLoad(cluster.config, root) as running:
        yield running
        running.wait_for(files=10, reads=20)
    check_all_stored(running, cluster.config)


def report(cluster: DataCluster) -> dict[str, Any]:
    """What `cluster report` says."""
    found: dict[str, Any] = json.loads(cluster.run("cluster", "report", "--json"))
    return found


def reported(cluster: DataCluster, node_id: str) -> dict[str, Any]:
    """What `cluster report` says of a chunkserver."""
    (found,) = [s for s in report(cluster)["chunkservers"] if s["id"] == node_id]
    return dict(found)


def test_a_chunkserver_is_killed_and_comes_back(cluster: DataCluster) -> None:
    with load(cluster, "/killed") as files:
        cluster.kill("c1")
        wait_until("it is missed", lambda: cluster.state_of("c1") == "dead")
        assert reported(cluster, "c1")["state"] == "dead"
        assert "CHUNKSERVER_DOWN" in cluster.codes()
        files.wait_for(files=10, reads=20)
        cluster.wait_until_perfect()  # without it
        cluster.up()
        files.wait_for(files=10)
    cluster.wait_until_perfect()
    assert reported(cluster, "c1")["state"] == "live"


def test_a_chunkserver_stops_to_answer_and_goes_on(cluster: DataCluster) -> None:
    with load(cluster, "/stopped") as files:
        cluster.signal("c2", SIGSTOP)
        try:
            wait_until("it is missed", lambda: cluster.state_of("c2") == "dead")
            files.wait_for(files=10, reads=20)
            wait_until("it was silent for long enough", lambda: silent_s(cluster, "c2") > STOPPED_S)
        finally:
            cluster.signal("c2", SIGCONT)
        wait_until("it lives", lambda: cluster.state_of("c2") == "live")
    cluster.wait_until_perfect()


def silent_s(cluster: DataCluster, node_id: str) -> float:
    """How long the leader has not heard of a chunkserver."""
    found = cluster.chunkserver(node_id)
    return found.last_heartbeat_ms_ago / 1000 if found is not None else 0.0


def test_a_chunkserver_has_no_room_left_but_what_is_reserved(cluster: DataCluster) -> None:
    reserved = cluster.node_config("c3").read_text()
    try:
        with load(cluster, "/reserved") as files:
            cluster.kill("c3")
            cluster.configure("c3", {"reserved_bytes": 1 << 60})
            cluster.up()
            before = reported(cluster, "c3")
            assert before["free_bytes"] == 0
            files.wait_for(files=20, reads=20)
        assert reported(cluster, "c3")["chunks"] <= before["chunks"]
        cluster.wait_until_perfect()
    finally:
        cluster.node_config("c3").write_text(reserved)
        cluster.kill("c3")


def test_a_data_directory_is_deleted_while_it_is_used(cluster: DataCluster) -> None:
    with load(cluster, "/deleted") as files:
        shutil.rmtree(cluster.data_dir("c2"), ignore_errors=True)
        wait_until("the server ends", lambda: not cluster.is_alive("c2"))
        assert "no disk is left" in cluster.log("c2")
        shutil.rmtree(cluster.data_dir("c2"), ignore_errors=True)  # what it wrote meanwhile
        wait_until("it is missed", lambda: cluster.state_of("c2") == "dead")
        files.wait_for(files=10, reads=20)
        cluster.wait_until_perfect()
        cluster.up()  # with a new, empty disk
    cluster.wait_until_perfect()


def test_bytes_change_in_chunk_files_segments_and_their_index(cluster: DataCluster) -> None:
    rng = random.Random(5)
    data = cluster.data_dir("c1")
    with load(cluster, "/flipped") as files:
        files.wait_for(files=20)
        chunks = list(cluster.chunk_files(data))[::3]
        segments = sorted((data / "segments").iterdir())
        found_before = corrupt_found(cluster)
        assert sum(flip_bytes(path, 1, rng) for path in chunks)
        assert sum(flip_bytes(path, 5, rng) for path in segments)
        wait_until("the scrubber finds them", lambda: corrupt_found(cluster) > found_before)
        files.wait_for(files=10, reads=100)
        for path in segments:
            spoil_index(path)
        cluster.kill("c1")
        cluster.up()
    cluster.wait_until_perfect()
    wait_until("every bad one is replaced", lambda: not cluster.fsck().counts.corrupt_replicas)


def corrupt_found(cluster: DataCluster) -> int:
    """What the scrubber of c1 has found, as `cluster report` tells it."""
    return int(reported(cluster, "c1")["scrub"]["corrupt_found"])


def spoil_index(segment: Path) -> None:
    """Change the footer of a segment, if it has one."""
    try:
        content = segment.read_bytes()
    except FileNotFoundError:  # nothing in it lived any more
        return
    footer = content.rfind(FOOTER_MAGIC)
    if footer > 0:
        flip_bytes(segment, 3, random.Random(footer), begin=footer)


def test_one_of_two_disks_fails_and_the_other_goes_on(
    cluster: DataCluster, disk: FaultyDisk
) -> None:
    with load(cluster, "/failed") as files:
        files.wait_for(files=20)
        assert list(cluster.chunk_files(disk.below)), "it is in use"
        disk.fail()
        wait_until("it is left out", lambda: reported(cluster, "c4")["failed_disks"] == 1)
        checks = {check["code"]: check for check in cluster.status()["checks"]}
        assert "c4" in checks["DISK_FAILED"]["message"]
        assert "restart" in checks["DISK_FAILED"]["remedy"]
        held = reported(cluster, "c4")["chunks"]
        files.wait_for(files=30, reads=50)
        cluster.wait_until_perfect()  # without that disk
        assert reported(cluster, "c4")["chunks"] > held, "its other disk is used"
    disk.heal()
    cluster.kill("c4")
    cluster.up()
    cluster.wait_until_perfect()
    assert "DISK_FAILED" not in cluster.codes()


def test_one_of_two_disks_hangs_and_the_other_answers(
    cluster: DataCluster, disk: FaultyDisk
) -> None:
    with load(cluster, "/hung") as files:
        files.wait_for(files=20)
        disk.hang()
        files.wait_for(files=20, reads=50)
        wait_until("it is left out", lambda: reported(cluster, "c4")["failed_disks"] == 1)
        cluster.wait_until_perfect()
    cluster.stop("c4")  # threads that hang do not keep it
    disk.heal()
    cluster.up()
    cluster.wait_until_perfect()

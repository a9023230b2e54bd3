"""Files being written while chunkservers and writers die, with real processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode._fast import crc32c
from tests.support.cluster import Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIB = limits.MIB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev", 1, 4) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _all_nodes_run(cluster: Cluster) -> None:
    if not all(node["alive"] for node in cluster.nodes().values()):
        cluster.up()
    wait_until(
        "all chunkservers are live",
        lambda: [s["state"] for s in cluster.status()["chunkservers"]] == ["live"] * 4,
    )


def content(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def pipeline(fs: Any, path: str) -> list[str]:
    """The chunkservers of the open chunk, in order."""
    return [replica.node_id for replica in fs.locations(path).open_chunk.replicas]


def test_readers_see_what_was_flushed_and_killed_servers_are_replaced(cluster: Cluster) -> None:
    data = content(80 * MIB, 1)
    with cluster.connect() as fs, cluster.connect() as reader:
        with fs.open("/flushed", "wb") as file:
            for number, end in enumerate((1000, 7 * MIB, 20 * MIB, 80 * MIB - 5)):
                file.write(data[file.tell() : end])
                file.flush()
                assert reader.cat_file("/flushed") == data[:end]
                if number in (1, 2):
                    before = pipeline(fs, "/flushed")
                    cluster.kill(before[number - 1])
            # As HDFS does it by default, a flushed chunk gets another server.
            assert before[1] not in pipeline(fs, "/flushed")
            file.write(data[file.tell() :])
        cluster.up()
        assert fs.cat_file("/flushed") == data
        assert len(fs.locations("/flushed").chunks) == 2
        assert fs.info("/flushed").checksum == f"crc32c:{crc32c(data):08x}"


def test_a_server_that_stops_in_a_put_costs_only_time(cluster: Cluster) -> None:
    data = content(30 * MIB, 2)
    with cluster.connect() as fs:
        with fs.open("/stopped", "wb") as file:
            file.write(data[: 10 * MIB])
            file.flush()
            last = pipeline(fs, "/stopped")[-1]
            cluster.signal(last, signal.SIGSTOP)
            try:
                file.write(data[10 * MIB :])
                file.flush()
                assert last not in pipeline(fs, "/stopped")
            finally:
                cluster.signal(last, signal.SIGCONT)
        assert fs.cat_file("/stopped") == data


_WRITER = """
import sys
from pydfsnode.client.sync import FileSystem
fs = FileSystem.connect(sys.argv[1])
file = fs.open(sys.argv[2], sys.argv[3])
file.write(b"x" * int(sys.argv[4]))
getattr(file, sys.argv[5])()
print("written", flush=True)
sys.stdin.read()
"""


def killed_writer(cluster: Cluster, path: str, mode: str, size: int, how: str) -> None:
    """A process that wrote *size* bytes, flushed or synced them and was killed."""
    config = str(cluster.directory / "client.toml")
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, config, path, mode, str(size), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=cluster.environment,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)


def test_what_a_killed_writer_flushed_is_recovered_and_appended_to(cluster: Cluster) -> None:
    with cluster.connect() as fs:
        killed_writer(cluster, "/dead", "wb", 5 * MIB, "flush")
        cluster.kill(pipeline(fs, "/dead")[0])
        assert fs.recover_lease("/dead").size == 5 * MIB
        killed_writer(cluster, "/dead", "ab", 7, "flush")
        assert fs.cat_file("/dead") == b"x" * (5 * MIB + 7)
        status = fs.recover_lease("/dead")
        assert (status.size, status.under_construction) == (5 * MIB + 7, False)
        for _ in range(5):
            with fs.open("/dead", "ab") as file:
                file.write(b"more")
        assert fs.cat_file("/dead") == b"x" * (5 * MIB + 7) + b"more" * 5
        assert len(fs.locations("/dead").chunks) == 1


def test_what_was_synced_outlives_everybody(cluster: Cluster) -> None:
    killed_writer(cluster, "/synced", "wb", 3 * MIB + 1, "sync")
    cluster.kill(*cluster.nodes())
    cluster.up()
    with cluster.connect() as fs:
        status = fs.info("/synced")
        assert (status.size, status.under_construction) == (3 * MIB + 1, True)
        assert fs.cat_file("/synced") == b"x" * (3 * MIB + 1)
        assert fs.recover_lease("/synced").size == 3 * MIB + 1

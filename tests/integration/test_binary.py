"""The one file alone: copied into an empty directory, with an empty environment, it is a cluster.

`make binary` builds dist/pydfsnode and runs this.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.binary

BUILT = Path(__file__).parents[2] / "dist" / "pydfsnode"
SIZE_BYTES_MAX = 60_000_000
STARTS = 9


class Binary:
    """Runs the copy with `env -i`, but for the variables that are given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "pydfsnode"
        shutil.copy2(BUILT, self.path)
        self.environment = {"PYDFSNODE_CACHE": str(directory / "cache")}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.path), *arguments],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stderr}"
        return done.stdout

    def nodes(self) -> dict[str, dict[str, Any]]:
        status = json.loads(self.run("dev", "status", "--dir", "cluster", "--json"))
        self.environment["PYDFSNODE_CONFIG"] = status["client_config"]
        return {node["id"]: node for node in status["nodes"]}


@pytest.fixture
def binary(tmp_path: Path) -> Binary:
    return Binary(tmp_path)


@pytest.fixture
def cluster(binary: Binary) -> Iterator[Binary]:
    try:
        binary.run("dev", "up", "--dir", "cluster")
        yield binary
    finally:
        binary.run("dev", "down", "--dir", "cluster")


def processes_of(directory: Path) -> dict[int, int]:
    """Pid to parent of every process that runs a program below *directory*."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            program = os.readlink(entry / "exe")
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        if program.startswith(f"{directory}/"):
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def test_it_is_one_small_file_and_starts_quickly(binary: Binary) -> None:
    assert BUILT.stat().st_size < SIZE_BYTES_MAX
    times_ms: dict[str, list[float]] = {"version": [], "--help": []}
    began = time.perf_counter()
    binary.run("version")
    first_ms = (time.perf_counter() - began) * 1000
    for _ in range(STARTS):
        for argument, found in times_ms.items():
            began = time.perf_counter()
            binary.run(argument)
            found.append((time.perf_counter() - began) * 1000)
    medians = ", ".join(f"{name} {statistics.median(v):.0f} ms" for name, v in times_ms.items())
    size_mb = BUILT.stat().st_size / 1e6
    print(f"\nbinary: {size_mb:.1f} MB; first start {first_ms:.0f} ms; medians: {medians}")


def test_help_and_version_need_nothing_but_the_file(binary: Binary) -> None:
    del binary.environment["PYDFSNODE_CACHE"]
    binary.environment["HOME"] = str(binary.directory)
    assert binary.run("version").startswith("pydfsnode ")
    assert "dev" in binary.run("--help")
    for command in ("serve", "dev", "fs", "cluster", "certs", "bench"):
        assert f"pydfsnode {command}" in binary.run(command, "--help")


def test_a_cluster_of_the_binary_stores_and_returns_a_file(cluster: Binary) -> None:
    nodes = cluster.nodes()
    assert sorted(node["role"] for node in nodes.values()) == ["chunkserver"] * 3 + ["master"] * 3
    source, returned = cluster.directory / "source", cluster.directory / "returned"
    source.write_bytes(os.urandom(3_000_001))
    cluster.run("fs", "put", "source", "/file")
    cluster.run("fs", "get", "/file", "returned")
    assert returned.read_bytes() == source.read_bytes()


def test_one_node_is_one_process_and_kill_9_ends_exactly_it(cluster: Binary) -> None:
    nodes = cluster.nodes()
    pids = {int(node["pid"]): node_id for node_id, node in nodes.items()}
    before = processes_of(cluster.directory)
    assert before.keys() == pids.keys(), "a process that is no node, or a node that is no process"
    assert not set(before.values()) & before.keys(), "a node has a parent among the nodes"
    victim = next(pid for pid, node_id in pids.items() if nodes[node_id]["role"] == "chunkserver")
    kill_9(victim)
    assert processes_of(cluster.directory).keys() == before.keys() - {victim}
    alive = {node_id for node_id, node in cluster.nodes().items() if node["alive"]}
    assert alive == set(nodes) - {pids[victim]}


def test_dev_up_again_restarts_what_was_killed_from_the_same_file(cluster: Binary) -> None:
    nodes = cluster.nodes()
    for node in nodes.values():
        kill_9(int(node["pid"]))
    cluster.run("dev", "up", "--dir", "cluster")
    assert all(node["alive"] for node in cluster.nodes().values())
    assert len(processes_of(cluster.directory)) == len(nodes)


def test_dev_down_leaves_no_process(cluster: Binary) -> None:
    cluster.run("dev", "down", "--dir", "cluster")
    assert processes_of(cluster.directory) == {}


def kill_9(pid: int) -> None:
    """kill -9; returns when that process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended, _, _ = select.select([descriptor], [], [], 30)
        assert ended, f"process {pid} runs on after kill -9"
    finally:
        os.close(descriptor)

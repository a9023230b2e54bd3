"""A real cluster does its job: files in and out, restarts, kills, nothing readable on disk."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.errors import NotFound
from tests.support.cluster import Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIB = limits.MIB
MASTERS = {"m1", "m2", "m3"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _all_nodes_run(cluster: Cluster) -> None:
    if not all(node["alive"] for node in cluster.nodes().values()):
        cluster.up()


def content(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_tree_goes_in_and_comes_back_equal(cluster: Cluster, tmp_path: Path) -> None:
    source = tmp_path / "source"
    made = {}
    for number, size in enumerate((0, 1, 1000, 64 * 1024, MIB + 1, 70 * MIB)):
        path = source / f"d{number % 2}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(size, number))
        made[path.relative_to(source)] = path.read_bytes()
    assert cluster.run("fs", "put", "-r", source, "/tree").startswith("copied 6 files")
    cluster.run("fs", "get", "/tree", tmp_path / "back")
    for path, data in made.items():
        assert (tmp_path / "back" / path).read_bytes() == data
    listed = json.loads(cluster.run("fs", "ls", "-R", "--json", "/tree"))
    assert sum(entry["size"] for entry in listed) == sum(map(len, made.values()))


def test_every_node_tells_of_its_links(cluster: Cluster) -> None:
    found = json.loads(cluster.run("cluster", "status", "--verbose", "--json"))
    links = {node["node"]: {link["peer"] for link in node["links"]} for node in found["node_links"]}
    assert {node["problem"] for node in found["node_links"]} == {""}
    assert set(links) == {*MASTERS, "c1", "c2", "c3"}
    assert all(links[server] >= MASTERS for server in ("c1", "c2", "c3"))


def test_the_verbs_of_fs_do_what_they_say(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    cluster.run("fs", "mkdir", "-p", "/verbs/a/b")
    cluster.run("fs", "put", tmp_path / "f", "/verbs/a")
    assert cluster.run("fs", "cat", "/verbs/a/f") == "hello"
    cluster.run("fs", "mv", "/verbs/a/f", "/verbs/g")
    assert cluster.run("fs", "ls", "-C", "/verbs") == "/verbs/a\n/verbs/g\n"
    assert cluster.run("fs", "du", "-s", "/verbs").split() == ["5", "15", "/verbs"]
    assert json.loads(cluster.run("fs", "stat", "--json", "/verbs/g"))["size"] == 5
    assert cluster.command("fs", "cat", "/verbs/nothing").returncode == 1
    cluster.run("fs", "rm", "-r", "/verbs")
    assert cluster.command("fs", "ls", "/verbs").returncode == 1


def test_deleted_chunks_disappear_from_the_chunkservers(cluster: Cluster) -> None:
    before = cluster.status()["chunks"]
    with cluster.connect() as fs:
        fs.pipe_file("/short-lived", content(3 * MIB, 1))
        fs.rm("/short-lived")
    wait_until("its chunk is gone", lambda: cluster.status()["chunks"] <= before)


def test_the_library_blocks_and_awaits(cluster: Cluster) -> None:
    import asyncio

    import pydfsnode

    config = cluster.directory / "client.toml"
    with pydfsnode.connect(config) as fs, fs.open("/library", "wb") as file:
        file.write(content(2 * MIB, 2))

    async def read() -> bytes:
        async with await pydfsnode.connect_async(config) as fs:
            return await fs.cat_file("/library")

    assert asyncio.run(read()) == content(2 * MIB, 2)


def test_the_leader_is_killed_and_every_write_is_still_answered(cluster: Cluster) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        with cluster.connect() as fs:
            while not stop.is_set():
                fs.mkdir(f"/kill-leader/{len(written)}")
                written.append(len(written))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            wait_until("it writes", lambda: len(written) > 20)
            cluster.kill(cluster.leader())
            at_the_kill = len(written)
            wait_until("it goes on", lambda: len(written) > at_the_kill + 20 or writing.done())
        finally:
            stop.set()
        writing.result()
    with cluster.connect() as fs:
        names = {entry.name for entry in fs.ls("/kill-leader")}
    assert names == {str(number) for number in written}, "each once, none lost"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_chunkserver_is_killed_during_a_write_and_the_file_is_equal(
    cluster: Cluster, position: int
) -> None:
    path, data = f"/killed-{position}", content(48 * MIB, position)
    with cluster.connect() as fs:
        with fs.open(path, "wb") as file:
            for start in range(0, len(data), 4 * MIB):
                if start == 16 * MIB:
                    cluster.kill(f"c{position + 1}")
                file.write(data[start : start + 4 * MIB])
        assert fs.cat_file(path) == data
        assert fs.info(path).size == len(data)


def test_after_a_kill_the_missing_replicas_are_made_again(cluster: Cluster) -> None:
    with cluster.connect() as fs:
        fs.pipe_file("/heals", content(5 * MIB, 9))
        cluster.kill("c1")
        fs.pipe_file("/heals-too", content(5 * MIB, 10))
    cluster.up()

    def is_whole() -> bool:
        status = cluster.status()
        return status["health"] == "OK" and status["under_replicated"] == 0

    wait_until("all chunks are whole", is_whole, 90)


def test_all_nodes_restart_at_once_and_nothing_is_lost(cluster: Cluster) -> None:
    data = content(20 * MIB, 77)
    with cluster.connect() as fs:
        fs.pipe_file("/restart/file", data)
        fs.mkdir("/restart/directory")
        fs.mkdir("/restart/deleted")
        fs.rm("/restart/deleted")
    cluster.kill(*cluster.nodes())
    cluster.up()
    with cluster.connect() as fs:
        assert fs.cat_file("/restart/file") == data
        assert fs.isdir("/restart/directory")
        with pytest.raises(NotFound):
            fs.info("/restart/deleted")


def test_a_masters_directory_holds_no_readable_name_or_content(cluster: Cluster) -> None:
    name, text = "planted-Xq7-name", b"planted-Zw9-content " * 10
    with cluster.connect() as fs:
        fs.pipe_file(f"/{name}/{name}", text)
    cluster.run("dev", "down", "--dir", cluster.directory)
    for master in ("m1", "m2", "m3"):
        for file in cluster.data_dir(master).rglob("*"):
            if file.is_file():
                found = file.read_bytes()
                assert name.encode() not in found, file
                assert b"planted-Zw9" not in found, file
        assert name not in cluster.log(master)

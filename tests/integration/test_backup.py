"""A backup under load, the loss of every master, and a cluster that goes on from the backup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client.sync import FileSystem
from pydfsnode.config import load_node_config
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.roles.master.restored_rows import IDS_PER_S
from pydfsnode.roles.master.store import open_store
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import wait_until
from tests.support.data_cluster import DataCluster
from tests.support.load import NamespaceLoad
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MASTERS = ("m1", "m2", "m3")
FILES = 2_000
LARGE_EVERY = 100
LARGE_BYTES = 300 * limits.KIB


def content(number: int) -> bytes:
    """Of file *number*: small ones lie with the masters, every hundredth on chunkservers."""
    if number % LARGE_EVERY == 0:
        return number.to_bytes(4, "big") * (LARGE_BYTES // 4)
    return f"file {number}\n".encode() * (number % 20)


def path_of(number: int) -> str:
    """Of file *number*."""
    return f"/kept/{number % 16}/{number}"


def populate(fs: FileSystem) -> None:
    """Files with attributes, ACLs, snapshots, quotas, small contents and chunks."""
    for number in range(16):
        fs.makedirs(f"/kept/{number}")
    fs.pipe({path_of(number): content(number) for number in range(FILES)})
    fs.set_xattr("/kept/1/1", "user.colour", b"blue")
    fs.set_acl("/kept/2", ["user:ann:rwx", "default:user:ann:r-x"])
    fs.set_quota("/kept/3", names=5_000)
    fs.chmod("/kept/4", 0o750)
    fs.create_snapshot("/kept/5", "monday")
    fs.rm_file("/kept/5/5")


def replayed(cluster: DataCluster, name: str, index: int) -> Namespace:
    """The namespace that the log of a stopped master makes, up to *index*."""
    config = load_node_config(cluster.node_config(name))
    store = open_store(config, TlsStore.load(config.tls).identity)
    try:
        assert store.log.bounds.first_index == 1, "the log is not whole any more"
        namespace = Namespace()
        machine = NamespaceMachine(namespace, lambda: None)
        applied = 0
        while applied < index:
            entries = store.log.read(applied + 1, index, limits.MIB)
            machine.apply(applied + 1, entries)
            machine.drain_rows()
            applied += len(entries)
        return namespace
    finally:
        store.close()


def verified(cluster: DataCluster, file: Path, kek: Path) -> dict[str, Any]:
    """What `backup --verify` finds."""
    found: dict[str, Any] = json.loads(
        cluster.run("cluster", "backup", "--verify", file, "--kek-file", kek, "--json")
    )
    return found


def check_kept(fs: FileSystem) -> None:
    """Everything that `populate` made is as it was."""
    for number in range(0, FILES, 25):
        if number != 5:
            assert fs.cat_file(path_of(number)) == content(number)
    assert fs.xattrs("/kept/1/1") == {"user.colour": b"blue"}
    assert fs.summary("/kept/3").names_quota == 5_000
    assert "user:ann:rwx" in [str(entry) for entry in fs.acl("/kept/2").entries]
    assert fs.info("/kept/4").mode & 0o777 == 0o750
    assert fs.cat_file("/kept/5/.snapshot/monday/5") == content(5)
    assert not fs.exists("/kept/5/5")


def lose_all_masters(cluster: DataCluster) -> None:
    """Their directories are gone, what they know is not written down anywhere else."""
    cluster.kill(*(name for name in MASTERS if cluster.is_alive(name)))
    for name in MASTERS:
        cluster.wipe(name)
        cluster.begins_no_cluster(name)


def test_a_cluster_goes_on_from_a_backup_that_was_written_under_load(tmp_path: Path) -> None:
    file = tmp_path / "names.bak"
    with DataCluster(tmp_path / "dev", chunkservers=3) as cluster:
        with cluster.connect() as fs:
            populate(fs)
        with NamespaceLoad(cluster.config, "/load", workers=16, per_s=None) as load:
            load.wait_for(500)
            leader = cluster.leading()
            written = json.loads(cluster.run("cluster", "backup", file, "--json"))
            has_led_on = cluster.leading() == leader
            load.wait_for(500)
        assert not load.failures
        assert written["written_by"] != leader or not has_led_on, "the leader had to write it"
        with cluster.connect() as fs:
            fs.pipe_file("/after", b"after the backup" * 100_000)
            fs.rm("/kept/7", recursive=True)
        kek = tmp_path / "kek.hex"
        kek.write_bytes((cluster.data_dir(written["written_by"]) / "kek.hex").read_bytes())
        kek.chmod(0o600)
        found = verified(cluster, file, kek)
        assert found["index"] == written["index"]
        cluster.wait_until_equal(*MASTERS)  # m1 has all that is in the backup
        term = int(cluster.status()["term"])
        cluster.stop(*MASTERS)
        before = replayed(cluster, "m1", written["index"])
        assert found["state_hash"] == before.state_hash().hex()
        assert (found["files"], found["directories"]) == (
            before.file_count,
            before.directory_count,
        )

        lose_all_masters(cluster)
        restored = json.loads(
            cluster.run(
                "cluster", "restore", file, "--config", cluster.node_config("m1"),
                "--kek-file", kek, "--json",
            )
        )  # fmt: skip
        assert restored["term"] > term
        assert restored["files"] == found["files"]
        cluster.start("m1")
        cluster.wait_for_page("m1")
        with cluster.connect() as fs:
            check_kept(fs)
            assert not fs.exists("/after")
            wait_until("all chunkservers are back", lambda: live(cluster) == 3)
            assert "safe mode" in cluster.command("fs", "touch", "/new").stderr
            held = chunks_held(cluster)
            for name in ("m2", "m3"):
                cluster.start(name)
                cluster.wait_for_page(name)
                cluster.run("cluster", "add-master", f"{name}={cluster.listen(name)}")
            assert chunks_held(cluster) >= held, "chunks went though safe mode is on"
            cluster.run("cluster", "safemode", "leave")
            fs.pipe_file("/new", b"after the restore" * 100_000)
            assert fs.cat_file("/new") == b"after the restore" * 100_000
            chunk_ids = [chunk.chunk_id for chunk in fs.locations("/new").chunks]
            assert min(chunk_ids) > IDS_PER_S * 1_000_000_000
            check_kept(fs)
        states = cluster.stored_states(*MASTERS)
        assert len(set(states.values())) == 1, states


def live(cluster: DataCluster) -> int:
    """How many chunkservers the leader hears."""
    return sum(server["state"] == "live" for server in cluster.status()["chunkservers"])


def chunks_held(cluster: DataCluster) -> int:
    """Replicas on all chunkservers, also those that nobody knows."""
    return sum(int(server["chunks"]) for server in cluster.status()["chunkservers"])


def test_a_master_that_dies_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "names.bak"
    slow = {"snapshot": {"bytes_per_s": 20_000}}
    with RaftCluster(tmp_path / "dev", settings=slow) as cluster:
        with cluster.connect() as fs:
            fs.pipe({f"/random/{n}": os.urandom(3_000) for n in range(200)})
        refused = cluster.command("cluster", "backup", "--from", "m9", file)
        assert "there are m1, m2, m3" in refused.stderr
        writer = next(name for name in MASTERS if name != cluster.leading())
        command = [sys.executable, "-m", "pydfsnode", "cluster", "backup", "--from", writer, file]
        with subprocess.Popen(
            list(map(str, command)), env=cluster.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            part = file.with_name("names.bak.part")
            wait_until("rows are there", lambda: part.exists() and part.stat().st_size > 50_000)
            cluster.kill(writer)
            _, told = process.communicate()
        assert process.returncode == 1
        assert "Traceback" not in told
        assert list(tmp_path.glob("names.bak*")) == []

"""A data directory belongs to one node for ever and to one process at a time."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pydfsnode.errors import ConfigError, CorruptionError, DirectoryLocked, WrongCluster
from pydfsnode.storage.directory import claim_directory


def test_a_new_directory_is_made_private_and_stamped(tmp_path: Path) -> None:
    path = tmp_path / "a" / "m1"
    with claim_directory(path, "c1", "master", "m1") as claimed:
        assert claimed.path == path
        stamp = json.loads((path / "node.json").read_text())
    assert stamp == {"format": 1, "cluster_id": "c1", "role": "master", "node_id": "m1"}
    assert path.stat().st_mode & 0o777 == 0o700
    assert not (path / "node.json.new").exists()


def test_the_same_node_may_come_again(tmp_path: Path) -> None:
    claim_directory(tmp_path, "c1", "master", "m1").release()
    claimed = claim_directory(tmp_path, "c1", "master", "m1")
    claimed.release()
    claimed.release()


@pytest.mark.parametrize(
    ("cluster", "role", "node", "words"),
    [
        ("c2", "master", "m1", "cluster 'c1'"),
        ("c1", "chunkserver", "m1", "role 'master'"),
        ("c1", "master", "m2", "node 'm1'"),
    ],
)
def test_another_cluster_role_or_node_is_refused_and_the_lock_given_back(
    tmp_path: Path, cluster: str, role: str, node: str, words: str
) -> None:
    claim_directory(tmp_path, "c1", "master", "m1").release()
    with pytest.raises(WrongCluster, match=words):
        claim_directory(tmp_path, cluster, role, node)
    claim_directory(tmp_path, "c1", "master", "m1").release()


def test_a_directory_in_use_is_refused_with_the_holder(tmp_path: Path) -> None:
    claim = (
        "import sys; from pathlib import Path;"
        "from pydfsnode.storage.directory import claim_directory;"
        "c = claim_directory(Path(sys.argv[1]), 'c1', 'master', 'm1');"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", claim, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryLocked, match=f"pid {holder.pid}"):
            claim_directory(tmp_path, "c1", "master", "m1")
    finally:
        holder.kill()
        holder.communicate()
    claim_directory(tmp_path, "c1", "master", "m1").release()  # a kill -9 leaves no lock


def test_a_lock_held_in_this_process_counts_too(tmp_path: Path) -> None:
    with claim_directory(tmp_path, "c1", "master", "m1"), pytest.raises(DirectoryLocked):
        claim_directory(tmp_path, "c1", "master", "m1")


@pytest.mark.parametrize("found", [2, 0, "1", None])
def test_an_unknown_format_is_refused(tmp_path: Path, found: object) -> None:
    stamp = {"format": found, "cluster_id": "c1", "role": "master", "node_id": "m1"}
    (tmp_path / "node.json").write_text(json.dumps(stamp))
    with pytest.raises(ConfigError, match="format"):
        claim_directory(tmp_path, "c1", "master", "m1")


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00\x00"])
def test_a_damaged_stamp_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "node.json").write_text(content)
    with pytest.raises(CorruptionError, match=r"node\.json"):
        claim_directory(tmp_path, "c1", "master", "m1")


@pytest.mark.parametrize("name", ["store", "chunks", "durable-mark"])
def test_content_without_a_stamp_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=name):
        claim_directory(tmp_path, "c1", "master", "m1")


def test_a_crash_between_stamp_and_rename_is_overcome(tmp_path: Path) -> None:
    (tmp_path / "node.json.new").write_text("{half")
    claim_directory(tmp_path, "c1", "master", "m1").release()
    assert json.loads((tmp_path / "node.json").read_text())["node_id"] == "m1"


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m1").write_text("")
    with pytest.raises(ConfigError, match="data_dir"):
        claim_directory(tmp_path / "m1", "c1", "master", "m1")


def test_a_released_directory_is_not_locked(tmp_path: Path) -> None:
    claim_directory(tmp_path, "c1", "master", "m1").release()
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

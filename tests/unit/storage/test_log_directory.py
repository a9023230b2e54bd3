"""The log in a directory of its own: claimed, written down, and never left behind unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pydfsnode.errors import ConfigError, CorruptionError, DirectoryLocked, WrongCluster
from pydfsnode.storage.directory import claim_directory
from pydfsnode.storage.log_directory import LogDirectory, claim_log_directory


@pytest.fixture
def data(tmp_path: Path) -> Path:
    claim_directory(tmp_path / "data", "c1", "master", "m1").release()
    return tmp_path / "data"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "m1"


def claim(data: Path, log: Path | None) -> LogDirectory:
    return claim_log_directory(data, str(log) if log else None, "c1", "m1")


def use(data: Path, log: Path | None) -> LogDirectory:
    """A start that makes the store; released."""
    place = claim(data, log)
    place.store.mkdir(exist_ok=True)
    place.mark.write_bytes(b"mark")
    place.release()
    return place


def move(old: Path, new: Path) -> None:
    new.mkdir(parents=True, exist_ok=True)
    for name in ("store", "durable-mark"):
        shutil.move(old / name, new / name)


def test_without_a_setting_the_log_lies_in_the_data_directory(data: Path) -> None:
    place = use(data, None)
    assert (place.path, place.store, place.claimed) == (data, data / "store", None)
    assert use(data, data).path == data
    place.release()


def test_a_directory_of_its_own_is_made_claimed_and_found_again(data: Path, disk: Path) -> None:
    for _ in range(2):
        place = use(data, disk)
        assert (place.store, place.mark) == (disk / "store", disk / "durable-mark")
        assert (disk / "node.json").exists()
    place = claim(data, disk)
    with pytest.raises(DirectoryLocked, match="another raft_log_dir"):
        claim(data, disk)
    place.release()
    place.release()
    claim(data, disk).release()


@pytest.mark.parametrize(("cluster", "node"), [("c1", "m2"), ("c2", "m1")])
def test_a_directory_of_another_node_is_refused(
    data: Path, disk: Path, cluster: str, node: str
) -> None:
    claim_directory(disk, cluster, "master", node).release()
    with pytest.raises(WrongCluster, match=r"disk/m1: belongs to .* the right raft_log_dir"):
        claim(data, disk)
    claim_directory(disk, cluster, "master", node).release()  # the lock was given back


def test_a_log_left_in_the_data_directory_is_named(data: Path, disk: Path) -> None:
    use(data, None)
    with pytest.raises(ConfigError, match=rf"{data}: holds this master's log.*move store"):
        claim(data, disk)
    assert not disk.exists()


def test_a_log_left_in_its_own_directory_is_named(data: Path, disk: Path, tmp_path: Path) -> None:
    use(data, disk)
    with pytest.raises(ConfigError, match=rf"{disk}: holds .* but no raft_log_dir is set"):
        claim(data, None)
    with pytest.raises(ConfigError, match=rf"{disk}: holds .* raft_log_dir is {tmp_path}/other"):
        claim(data, tmp_path / "other")


def test_a_disk_that_is_not_mounted_is_no_empty_log(data: Path, disk: Path, tmp_path: Path) -> None:
    use(data, disk)
    shutil.move(disk, tmp_path / "unmounted")
    for _ in range(2):
        with pytest.raises(ConfigError, match="is empty now: mount its disk"):
            claim(data, disk)
        disk.mkdir(exist_ok=True)  # the mount point
    for elsewhere in (None, tmp_path / "other"):
        with pytest.raises(ConfigError, match="not there any more"):
            claim(data, elsewhere)


def test_a_log_that_was_moved_as_told_is_used(data: Path, disk: Path, tmp_path: Path) -> None:
    use(data, None)
    move(data, disk)
    with pytest.raises(ConfigError, match=r"no node\.json"):
        claim(data, disk)
    shutil.copy(data / "node.json", disk)
    use(data, disk)
    move(disk, tmp_path / "other")
    shutil.copy(data / "node.json", tmp_path / "other")
    use(data, tmp_path / "other")
    move(tmp_path / "other", data)
    assert use(data, None).path == data
    assert use(data, None).path == data


def test_a_crash_before_the_store_was_made_is_overcome(data: Path, disk: Path) -> None:
    claim(data, disk).release()
    use(data, disk)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"raft_log_dir": 1}'])
def test_a_damaged_record_is_refused(data: Path, disk: Path, content: str) -> None:
    (data / "raft-log-dir.json").write_text(content)
    with pytest.raises(CorruptionError, match=r"raft-log-dir\.json"):
        claim(data, disk)


def test_a_path_that_is_a_file_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used as raft_log_dir"):
        claim(data, tmp_path / "file")

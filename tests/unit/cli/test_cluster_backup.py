"""`pydfsnode cluster backup` and `restore`: files that appear when whole, and refusals in words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pydfsnode.cli import cluster_backup
from pydfsnode.cli.cluster_backup import Written
from pydfsnode.cli.dev_cluster import DevCluster
from pydfsnode.errors import StorageError, Unavailable
from pydfsnode.roles.master import restore
from pydfsnode.roles.master.restore import Restored
from tests.unit.cli.conftest import Run
from tests.unit.storage.test_backup_format import written as backup_bytes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "names.bak"
    place.write_bytes(backup_bytes())
    return place


@pytest.fixture
def config(tmp_path: Path) -> Path:
    cluster = DevCluster(tmp_path / "dev")
    cluster.prepare(1, 0)
    return cluster.layout.config("m1")


def test_without_the_key_it_is_checked_whether_the_file_is_whole(run: Run, file: Path) -> None:
    shown = run("cluster", "backup", "--verify", file).out
    assert "after entry 1,200 of term 7" in shown
    assert "2023-11-14 22:13:20 UTC" in shown
    assert "give --kek-file for that" in shown
    found = json.loads(run("cluster", "backup", "--verify", file, "--json").out)
    assert (found["cluster_id"], found["written_by"], found["key_id"]) == (
        "c1", "m2", "0123456789abcdef",
    )  # fmt: skip


def test_a_cut_file_is_refused(run: Run, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    result = run("cluster", "backup", "--verify", file)
    assert result.code == 1
    assert "is cut" in result.err


def test_a_file_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("cluster", "backup", "--verify", tmp_path / "absent")
    assert result.code == 1
    assert "cannot be read: No such file" in result.err


def test_a_key_is_for_verifying_only(run: Run, tmp_path: Path) -> None:
    assert run("cluster", "backup", "x.bak", "--kek-file", tmp_path / "k").code == 2


def test_it_says_who_wrote_what_and_which_key_opens_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def write(file: str, master: str) -> Written:
        asked.append(file)
        return Written(file, "m3", 5_000, 1_234, "ab")

    monkeypatch.setattr(cluster_backup, "_write", write)
    assert "m3 wrote 4.9 KiB, the state after entry 1,234" in run("cluster", "backup", "x").err
    assert json.loads(run("cluster", "backup", "x", "--json").out)["index"] == 1_234
    assert run("cluster", "backup", "-", "--json").code == 2
    assert asked == ["x", "x"]


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "x.bak"
    with cluster_backup._target(str(place)) as write:
        write(b"first")
        assert not place.exists()
    assert place.read_bytes() == b"first"
    assert place.stat().st_mode & 0o777 == 0o600


def test_a_large_file_is_made_durable_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda number: synced.append(os.fstat(number).st_size))
    step = cluster_backup.SYNC_EVERY_BYTES
    with cluster_backup._target(str(tmp_path / "x.bak")) as write:
        for _ in range(4):
            write(bytes(step * 5 // 8))
    assert synced == [step * 5 // 4, step * 5 // 2]


def test_a_backup_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    place = tmp_path / "x.bak"
    place.write_bytes(b"older")

    def fail() -> None:
        with cluster_backup._target(str(place)) as write:
            write(b"half")
            raise Unavailable("the master died")

    with pytest.raises(Unavailable):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["x.bak"]
    assert place.read_bytes() == b"older"
    with pytest.raises(StorageError), cluster_backup._target(str(tmp_path / "no" / "x")):
        pass


def test_restoring_needs_to_know_the_key(run: Run, file: Path, config: Path) -> None:
    result = run("cluster", "restore", file, "--config", config)
    assert result.code == 2
    assert "--kek-file" in result.err


def test_restoring_tells_the_next_steps(
    run: Run, file: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def fake(node: object, opened: object, name: str, kek: object, wall_ms: int) -> Restored:
        given.append(str(getattr(node, "data_dir")))  # noqa: B009
        return Restored("m1", "m1#0000000a", given[0], "c1", 9, 8, 1_700_000_000_000, 1_000, 3)

    monkeypatch.setattr(restore, "restore", fake)
    words = ("cluster", "restore", file, "--config", config, "--kek-file", tmp_path / "k")
    shown = run(*words, "--data-dir", tmp_path / "new").out
    assert given == [str(tmp_path / "new")]
    assert "1,000 files\nas of 2023-11-14 22:13:20 UTC" in shown
    for step in ("serve --config", "add-master NAME=HOST:PORT", "fsck", "safemode leave"):
        assert step in shown
    assert json.loads(run(*words, "--json").out)["term"] == 8

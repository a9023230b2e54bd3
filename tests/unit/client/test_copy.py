"""Copies of files and trees: equal, bounded, and honest about what failed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client import copy
from pydfsnode.client.part_file import PartFile
from pydfsnode.errors import (
    AlreadyExists,
    ChunkUnavailable,
    CorruptionError,
    NotADirectory,
    Unavailable,
)
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(MIB)


class Watcher:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.total = 0
        self.bytes = 0
        self.done: list[str] = []
        self.failures: dict[str, Exception] = {}

    def planned(self, size: int) -> None:
        self.total += size

    def moved(self, count: int) -> None:
        self.bytes += count

    def finished(self, path: str) -> None:
        self.done.append(path)

    def failed(self, path: str, error: Exception) -> None:
        self.failures[path] = error


def tree(root: Path, files: int = 40) -> dict[str, bytes]:
    """Files by relative path, of sizes around every boundary."""
    chance = random.Random(7)
    made = {}
    for number in range(files):
        size = chance.choice([0, 1, 100, MIB - 1, MIB, MIB + 1, 3 * MIB])
        path = root / f"d{number % 5}" / f"e{number % 3}" / f"a file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
        made[str(path.relative_to(root))] = path.read_bytes()
    (root / "empty").mkdir()
    return made


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


async def test_a_tree_goes_in_and_comes_back_equal(cluster: FakeCluster, tmp_path: Path) -> None:
    made = tree(tmp_path / "source")
    fs, watcher = cluster.connect(), Watcher()
    report = await fs.put(tmp_path / "source", "/there", watcher=watcher)
    assert (report.files, report.failures) == (len(made), 0)
    assert report.bytes == watcher.bytes == watcher.total == sum(map(len, made.values()))
    report = await fs.get("/there", tmp_path / "back")
    assert report.files == len(made)
    assert content(tmp_path / "back") == made
    assert (tmp_path / "back" / "empty").is_dir()
    assert report.directories == 5 + 5 * 3 + 2


async def test_an_existing_directory_takes_the_copy_inside(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"1")
    (tmp_path / "g").write_bytes(b"2")
    fs = cluster.connect()
    await fs.mkdir("/d")
    await fs.put([tmp_path / "f", tmp_path / "g"], "/d")
    await fs.put(tmp_path / "f", "/name")
    assert [entry.path for entry in await fs.ls("/d")] == ["/d/f", "/d/g"]
    assert await fs.cat_file("/name") == b"1"
    (tmp_path / "into").mkdir()
    await fs.get(["/d/f", "/d"], tmp_path / "into")
    assert sorted(content(tmp_path / "into")) == ["d/f", "d/g", "f"]


@pytest.mark.parametrize("size", [0, 1, limits.INLINE_BYTES_MAX, 2 * MIB + 7])
async def test_a_verified_copy_has_the_checksum_that_the_masters_know(
    cluster: FakeCluster, tmp_path: Path, size: int
) -> None:
    fs, data = cluster.connect(), random.Random(size).randbytes(size)
    await fs.pipe_file("/d/f", data)
    await fs.get_file("/d/f", tmp_path / "f", verify=True)
    assert (tmp_path / "f").read_bytes() == data
    await fs.get("/d", tmp_path / "d", verify=True, watcher=Watcher())
    assert (tmp_path / "d" / "f").read_bytes() == data


async def test_a_verified_copy_that_differs_is_an_error_and_leaves_no_file(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"right" * MIB)

    async def other(
        _self: object, _chunk: object, _offset: int, length: int, _timeout_ms: int | None = None
    ) -> list[bytes]:
        return [bytes(length)]

    monkeypatch.setattr(type(cluster.chunks), "read", other)
    with pytest.raises(CorruptionError, match="the masters know"):
        await fs.get_file("/f", tmp_path / "f", verify=True)
    with pytest.raises(CorruptionError, match="the masters know"):
        await fs.get("/f", tmp_path / "f", verify=True, watcher=Watcher())
    assert list(tmp_path.iterdir()) == []
    await fs.get_file("/f", tmp_path / "f")


async def test_several_sources_need_a_directory(cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    fs = cluster.connect()
    with pytest.raises(NotADirectory):
        await fs.put([tmp_path / "f", tmp_path / "f"], "/nothing")
    with pytest.raises(NotADirectory):
        await fs.get(["/a", "/b"], tmp_path / "nothing")


async def test_dot_takes_the_directorys_own_name(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "f").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here")
    fs = cluster.connect()
    await fs.put(".", "/")
    assert await fs.exists("/here/f")


async def test_one_refused_file_is_told_and_the_others_are_copied(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / name).write_bytes(name.encode())
    fs, watcher = cluster.connect(), Watcher()
    await fs.pipe_file("/s/b", b"old")
    report = await fs.put(tmp_path / "s", "/", overwrite=False, watcher=watcher)
    assert (report.files, report.failures) == (2, 1)
    assert list(watcher.failures) == [str(tmp_path / "s" / "b")]
    assert isinstance(watcher.failures[str(tmp_path / "s" / "b")], AlreadyExists)
    assert await fs.cat_file("/s/b") == b"old"


async def test_without_a_watcher_the_first_failure_is_raised(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await cluster.connect().put(tmp_path / "nothing", "/x")


async def test_a_cluster_that_is_gone_ends_the_whole_copy(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    tree(tmp_path / "s")
    fs, watcher = cluster.connect(), Watcher()

    def gone(path: str, _request: object) -> None:
        if path.endswith("Create"):
            raise Unavailable("nobody answers")

    cluster.router.before = gone
    with pytest.raises(Unavailable):
        await fs.put(tmp_path / "s", "/s", watcher=watcher)
    assert cluster.router.calls.count("Create") <= 4, "as many as were at work"


async def test_what_is_neither_file_nor_directory_is_told(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d")
    (tmp_path / "link").symlink_to(tmp_path / "d" / "f")
    (tmp_path / "d" / "f").write_bytes(b"1")
    fs, watcher = cluster.connect(), Watcher()
    report = await fs.put(tmp_path, "/t", watcher=watcher)
    assert sorted(Path(path).name for path in watcher.failures) == ["gone", "loop", "pipe"]
    assert report.failures == 3
    assert await fs.cat_file("/t/link") == b"1"


async def test_a_get_that_fails_leaves_no_part_behind(cluster: FakeCluster, tmp_path: Path) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"x" * (6 * MIB))
    cluster.chunks.stored = {k: v for k, v in cluster.chunks.stored.items() if k[1] != 6}
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(ChunkUnavailable):
        await fs.get_file("/f", tmp_path / "f")
    assert content(tmp_path) == {"f": b"old"}


async def test_get_without_overwrite_keeps_the_local_file(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    fs, watcher = cluster.connect(), Watcher()
    await fs.pipe_file("/f", b"new")
    (tmp_path / "f").write_bytes(b"old")
    report = await fs.get("/f", tmp_path / "f", overwrite=False, watcher=watcher)
    assert report.failures == 1
    assert content(tmp_path) == {"f": b"old"}


async def test_a_put_that_fails_leaves_no_file_behind(cluster: FakeCluster, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * MIB)
    fs = cluster.connect()
    cluster.chunks.breaks = lambda _step, chunk, _sink: chunk.targets[0].node_id
    with pytest.raises(Exception, match="broken at open"):
        await fs.put_file(tmp_path / "f", "/f")
    assert not await fs.exists("/f")


async def test_a_local_file_of_many_pieces_is_read_whole(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "PIECE_BYTES", 1000)
    fs = cluster.connect()
    for size in (999, 1000, 1001, 2000, 5500):
        (tmp_path / "f").write_bytes(random.Random(size).randbytes(size))
        told: list[int] = []
        await fs.put_file(tmp_path / "f", "/f", on_bytes=told.append)
        assert sum(told) == size
        assert await fs.cat_file("/f") == (tmp_path / "f").read_bytes()


def test_a_part_file_appears_only_when_committed(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "f")
    part.write([b"12", b"3"])
    assert not (tmp_path / "f").exists()
    part.commit([memoryview(b"45")])
    assert (tmp_path / "f").read_bytes() == b"12345"
    part.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]

"""walk, glob, cp_file, copy, touch and the other calls that are made of smaller ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import (
    AlreadyExists,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB
TREE = {"/t/a.csv": b"1", "/t/b/c.csv": b"22", "/t/b/.d": b"333", "/t/b/e/f.txt": b"4444"}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(MIB)


@pytest.fixture
async def fs(cluster: FakeCluster) -> AsyncIterator[AsyncFileSystem]:
    async with cluster.connect() as fs:
        await fs.pipe(TREE)
        await fs.mkdir("/t/empty")
        yield fs


@pytest.fixture
def sync(cluster: FakeCluster) -> Iterator[FileSystem]:
    async def make() -> AsyncFileSystem:
        return cluster.connect()

    with FileSystem(make) as made:
        made.pipe(TREE)
        yield made


def local_walk(directory: Path, topdown: bool) -> list[tuple[str, list[str], list[str]]]:
    """What `os.walk` finds in a copy of the tree on this machine, with /t for its root."""
    for path, content in TREE.items():
        there = directory / path[3:]
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(content)
    (directory / "empty").mkdir(exist_ok=True)
    found = os.walk(directory, topdown=topdown)
    return [("/t" + at[len(str(directory)) :], sorted(b), sorted(f)) for at, b, f in found]


@pytest.mark.parametrize("topdown", [True, False])
async def test_walk_is_that_of_os(fs: AsyncFileSystem, tmp_path: Path, topdown: bool) -> None:
    found = [walked async for walked in fs.walk("/t", topdown=topdown)]
    assert sorted(found) == sorted(local_walk(tmp_path, topdown))
    assert (found[0] if topdown else found[-1])[0] == "/t"
    shallow = [at async for at, _, _ in fs.walk("/t", maxdepth=2, topdown=topdown)]
    assert sorted(shallow) == ["/t", "/t/b", "/t/empty"]


async def test_walk_leaves_out_what_the_caller_removes(fs: AsyncFileSystem) -> None:
    seen = []
    async for at, directories, _ in fs.walk("/t"):
        seen.append(at)
        if "e" in directories:
            directories.remove("e")
    assert seen == ["/t", "/t/b", "/t/empty"]
    with pytest.raises(NotADirectory):
        [walked async for walked in fs.walk("/t/a.csv")]
    with pytest.raises(NotFound):
        [walked async for walked in fs.walk("/nothing")]


def test_walk_leaves_out_behind_the_thread_too(sync: FileSystem) -> None:
    seen = []
    for at, directories, _ in sync.walk("/t"):
        seen.append(at)
        directories.clear()
    assert seen == ["/t"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/t/*.csv", ["/t/a.csv"]),
        ("t/*", ["/t/a.csv", "/t/b", "/t/empty"]),
        ("/t/*/", ["/t/a.csv", "/t/b", "/t/empty"]),
        ("/t/b/?d", ["/t/b/.d"]),
        ("/t/[ab]*", ["/t/a.csv", "/t/b"]),
        ("/t/[!a]*", ["/t/b", "/t/empty"]),
        ("/t/*/*.csv", ["/t/b/c.csv"]),
        ("/*/b/e/f.txt", ["/t/b/e/f.txt"]),
        ("/t/**/*.csv", ["/t/a.csv", "/t/b/c.csv"]),
        ("/**/e/*", ["/t/b/e/f.txt"]),
        ("/t/b/**", ["/t/b", "/t/b/.d", "/t/b/c.csv", "/t/b/e", "/t/b/e/f.txt"]),
        ("/t/b", ["/t/b"]),
        ("/t/b/*/*/*", []),
        ("/t/a.csv/*", []),
        ("/nothing/*", []),
        ("/nothing", []),
    ],
)
async def test_glob(fs: AsyncFileSystem, pattern: str, found: list[str]) -> None:
    assert await fs.glob(pattern) == found
    assert [status.path for status in await fs.glob_info(pattern)] == found


async def test_glob_reads_no_directory_that_cannot_match(
    fs: AsyncFileSystem, cluster: FakeCluster
) -> None:
    cluster.router.calls.clear()
    await fs.glob("/t/b/*.csv")
    assert cluster.router.calls == ["List"]


async def test_contents_as_values(fs: AsyncFileSystem) -> None:
    assert await fs.cat(["/t/a.csv", "/t/b/c.csv", "/t/a.csv"]) == {
        "/t/a.csv": b"1",
        "/t/b/c.csv": b"22",
    }
    assert await fs.head("/t/b/e/f.txt", 2) == b"44"
    await fs.write_text("/text", "één")
    assert await fs.read_text("/text") == "één"
    assert await fs.tail("/text", 1) == b"n"
    assert await fs.tail("/text", 0) == b""
    await fs.write_bytes("/text", memoryview(b"xyz"))
    assert await fs.read_bytes("/text") == b"xyz"
    assert await fs.size("/text") == 3
    with pytest.raises(IsADirectory):
        await fs.size("/t")


async def test_touch_keeps_the_content_unless_told(
    fs: AsyncFileSystem, cluster: FakeCluster
) -> None:
    await fs.touch("/new")
    assert await fs.size("/new") == 0
    cluster.clock.advance(5_000)
    await fs.touch("/t/a.csv")
    assert (await fs.info("/t/a.csv")).mtime_ms == cluster.clock.wall_ms()
    assert await fs.cat_file("/t/a.csv") == b"1"
    await fs.touch("/t/a.csv", truncate=True)
    assert await fs.cat_file("/t/a.csv") == b""


async def test_cp_file(fs: AsyncFileSystem) -> None:
    await fs.pipe_file("/large", bytes(3 * MIB + 1))
    moved: list[int] = []
    status = await fs.cp_file("/large", "/copy", on_bytes=moved.append)
    assert (status.size, sum(moved)) == (3 * MIB + 1, 3 * MIB + 1)
    assert (await fs.info("/copy")).checksum == (await fs.info("/large")).checksum
    with pytest.raises(AlreadyExists):
        await fs.cp_file("/large", "/t/a.csv", overwrite=False)
    with pytest.raises(InvalidArgument):
        await fs.cp_file("/large", "//large")
    assert await fs.size("/large") == 3 * MIB + 1


async def test_copy_of_trees(fs: AsyncFileSystem) -> None:
    report = await fs.copy("/t", "/u")
    assert (report.files, report.bytes) == (4, 10)
    assert {path: await fs.cat_file("/u" + path[2:]) for path in TREE} == TREE
    assert await fs.isdir("/u/empty")
    await fs.copy("/t/b", "/u")
    assert await fs.glob("/u/b/*") == ["/u/b/.d", "/u/b/c.csv", "/u/b/e"]
    await fs.mkdir("/v")
    await fs.copy(["/t/a.csv", "/t/b"], "/v")
    assert await fs.glob("/v/*") == ["/v/a.csv", "/v/b"]
    with pytest.raises(NotADirectory):
        await fs.copy(["/t/a.csv", "/t/b"], "/w")
    for inside in ("/t", "/t/b/new"):
        with pytest.raises(InvalidArgument):
            await fs.copy("/t", inside)


async def test_rm_file_and_rmdir_take_only_what_they_say(fs: AsyncFileSystem) -> None:
    with pytest.raises(IsADirectory):
        await fs.rm_file("/t/empty")
    with pytest.raises(NotADirectory):
        await fs.rmdir("/t/a.csv")
    await fs.rm_file("/t/a.csv")
    await fs.rmdir("/t/empty")
    assert await fs.glob("/t/*") == ["/t/b"]


async def test_open_by_mode(fs: AsyncFileSystem) -> None:
    async with await fs.open("/o", "wb") as writer:
        await writer.write(b"1")
    async with await fs.open("/o", "ab") as writer:
        await writer.write(b"2")
    async with await fs.open("/o") as reader:
        assert await reader.read() == b"12"
    async with await fs.open("/appended", "ab") as writer:
        await writer.write(b"new")
    assert await fs.cat_file("/appended") == b"new"
    with pytest.raises(AlreadyExists):
        await fs.open("/o", "xb")
    with pytest.raises(InvalidArgument):
        await fs.open("/o", "r")


def test_all_of_it_blocks_too(sync: FileSystem) -> None:
    assert sync.glob("/t/*.csv") == ["/t/a.csv"]
    assert [status.size for status in sync.glob_info("/t/*.csv")] == [1]
    assert sync.cat(["/t/a.csv"]) == {"/t/a.csv": b"1"}
    assert sync.head("/t/a.csv") == sync.tail("/t/a.csv") == sync.read_bytes("/t/a.csv") == b"1"
    sync.write_text("/text", "é", encoding="latin-1")
    assert sync.read_text("/text", encoding="latin-1") == "é"
    assert sync.write_bytes("/text", b"12").size == sync.size("/text") == 2
    sync.cp_file("/text", "/copy")
    assert sync.copy("/t", "/u").files == 4
    sync.touch("/copy", truncate=True)
    assert sync.size("/copy") == 0
    sync.rm_file("/copy")
    sync.mkdir("/d")
    sync.rmdir("/d")
    assert not sync.exists("/copy")
    assert [at for at, _, _ in sync.walk("/u", topdown=False)][-1] == "/u"

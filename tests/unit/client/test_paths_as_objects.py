"""Path and AsyncPath: used as those of pathlib."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.pure_path import PurePath
from pydfsnode.client.sync import FileSystem
from tests.unit.client.fakes import FakeCluster


@pytest.fixture
def fs() -> Iterator[FileSystem]:
    async def make() -> AsyncFileSystem:
        return FakeCluster(limits.MIB).connect()

    with FileSystem(make) as made:
        yield made


def test_what_a_path_knows_by_itself() -> None:
    path = PurePath("/a/b") / "c.tar.gz"
    assert str(path) == "/a/b/c.tar.gz"
    assert repr(path) == "PurePath('/a/b/c.tar.gz')"
    assert (path.name, path.stem, path.suffix) == ("c.tar.gz", "c.tar", ".gz")
    assert path.suffixes == [".tar", ".gz"]
    assert path.parts == ("/", "a", "b", "c.tar.gz")
    assert path.parent == PurePath("a//b/")
    assert [str(above) for above in path.parents] == ["/a/b", "/a", "/"]
    assert str(path.with_name("d")) == "/a/b/d"
    assert str(path.with_suffix(".xz")) == "/a/b/c.tar.xz"
    assert str(path.with_stem("d")) == "/a/b/d.gz"
    assert path.relative_to("/a") == PurePosixPath("b/c.tar.gz")
    assert path.is_relative_to(PurePath("/a"))
    assert path.match("*.gz")
    assert path.as_uri() == "pydfs:///a/b/c.tar.gz"
    assert path.as_posix() == str(path)
    assert str(path.joinpath("x", "y")) == "/a/b/c.tar.gz/x/y"
    assert sorted({PurePath("/b"), PurePath("/a"), PurePath("b")}) == [
        PurePath("/a"),
        PurePath("/b"),
    ]
    with pytest.raises(ValueError, match="not in the subpath"):
        path.relative_to("/x")
    assert not isinstance(path, os.PathLike), "open(path) would look on this machine"


def test_files_and_directories(fs: FileSystem) -> None:
    root = fs.path("/work")
    root.mkdir()
    (root / "a.txt").write_text("één")
    assert (root / "a.txt").read_text() == "één"
    assert (root / "b").write_bytes(b"12") == 2
    assert (root / "b").read_bytes() == b"12"
    with (root / "c.txt").open("w") as file:
        file.write("x\n")
    assert (root / "c.txt").open().readlines() == ["x\n"]
    (root / "deep/er").mkdir(parents=True)
    (root / "deep/er/d.txt").touch()
    assert [str(path) for path in root.iterdir()] == [
        "/work/a.txt", "/work/b", "/work/c.txt", "/work/deep"
    ]  # fmt: skip
    assert [path.name for path in root.glob("*.txt")] == ["a.txt", "c.txt"]
    assert [path.name for path in root.rglob("*.txt")] == ["a.txt", "c.txt", "d.txt"]
    assert next((str(at), below, names) for at, below, names in root.walk()) == (
        "/work", ["deep"], ["a.txt", "b", "c.txt"]
    )  # fmt: skip
    assert root.is_dir()
    assert (root / "b").is_file()
    assert (root / "b").stat().size == 2
    assert not (root / "nothing").exists()


def test_moving_copying_and_removing(fs: FileSystem) -> None:
    fs.pipe({"/a": b"1", "/b": b"2"})
    with pytest.raises(FileExistsError):
        fs.path("/a").rename("/b")
    assert fs.path("/a").replace(fs.path("/b")).read_bytes() == b"1"
    fs.path("/b").copy("/c")
    assert fs.path("/c").read_bytes() == b"1"
    with pytest.raises(FileExistsError):
        fs.path("/c").touch(exist_ok=False)
    fs.path("/c").unlink()
    fs.path("/c").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.path("/c").unlink()
    fs.mkdir("/d")
    with pytest.raises(IsADirectoryError):
        fs.path("/d").unlink()
    with pytest.raises(FileExistsError):
        fs.path("/d").mkdir()
    fs.path("/d").mkdir(exist_ok=True)
    with pytest.raises(NotADirectoryError):
        fs.path("/b").rmdir()
    fs.path("/d").rmdir()
    with pytest.raises(NotADirectoryError):
        list(fs.path("/b").iterdir())


async def test_the_same_awaited() -> None:
    async with FakeCluster(limits.MIB).connect() as fs:
        root = fs.path("/work")
        await (root / "deep").mkdir(parents=True)
        assert await (root / "a.txt").write_text("één") == 3
        assert await (root / "a.txt").read_text() == "één"
        await (root / "deep/b.txt").write_bytes(b"12")
        assert [str(path) async for path in root.iterdir()] == ["/work/a.txt", "/work/deep"]
        assert [path.name async for path in root.glob("*.txt")] == ["a.txt"]
        assert [path.name async for path in root.rglob("*.txt")] == ["a.txt", "b.txt"]
        assert [names async for _, _, names in root.walk()] == [["a.txt"], ["b.txt"]]
        moved = await (root / "a.txt").rename("/work/c.txt")
        assert await moved.is_file()
        assert not await (root / "a.txt").exists()
        await moved.replace(root / "deep/b.txt")
        assert (await (root / "deep/b.txt").stat()).size == len("één".encode())
        assert (await root.copy("/again")).files == 1
        await (root / "deep/b.txt").unlink()
        await (root / "deep").rmdir()
        async with await (root / "d").open("xb") as file:
            await file.write(b"1")
        assert await (root / "d").read_bytes() == b"1"
        await (root / "d").touch()
        assert await root.is_dir()

"""Copies that go on, keep attributes, are interrupted: only the rest is copied, nothing is left."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client import copy
from pydfsnode.client.copy import Plain
from pydfsnode.client.moving import Moving
from pydfsnode.client.preserve import Preserving, cluster_to_local, local_to_cluster
from pydfsnode.client.resume import (
    ResumedGet,
    ResumedPut,
    beginning,
    get_goes_into,
    put_goes_into,
)
from pydfsnode.errors import AlreadyExists
from tests.unit.client.fakes import BOB, FakeCluster
from tests.unit.client.test_copy import Watcher

MIB = limits.MIB
SIZES = {"empty": 0, "small": 100, "sub/chunk": MIB, "sub/large": 3 * MIB + 5}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(MIB)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number, (name, size) in enumerate(SIZES.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([number + 65]) * size)
    return root


class Skipped:
    """Counts what need not be copied."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, size: int) -> None:
        self.bytes += size


async def resume(
    cluster: FakeCluster, tree: Path, *, overwrite: bool = False, watcher: Watcher | None = None
) -> tuple[copy.CopyReport, Skipped]:
    fs = cluster.connect()
    skipped = Skipped()
    around = ResumedPut(fs, overwrite=overwrite, on_skipped=skipped)
    into = await put_goes_into(fs, [tree], "/t")
    report = await copy.put(
        fs, [tree], "/t", parallel=2, overwrite=overwrite, watcher=watcher, around=around, into=into
    )
    return report, skipped


async def test_what_has_the_same_checksum_is_not_copied_again(
    cluster: FakeCluster, tree: Path
) -> None:
    first, _ = await resume(cluster, tree)
    assert (first.files, first.skipped) == (4, 0)
    again, skipped = await resume(cluster, tree)
    assert (again.files, again.skipped, again.bytes) == (0, 4, 0)
    assert skipped.bytes == sum(SIZES.values())
    assert not await cluster.connect().exists("/t/tree"), "not into what it made itself"


async def test_the_same_size_is_not_the_same_content(cluster: FakeCluster, tree: Path) -> None:
    await resume(cluster, tree)
    fs = cluster.connect()
    await fs.pipe_file("/t/small", b"x" * 100)
    os.utime(tree / "small", (0, 0))
    with pytest.raises(AlreadyExists, match="another content"):
        await resume(cluster, tree)
    assert await fs.cat_file("/t/small") == b"x" * 100
    report, _ = await resume(cluster, tree, overwrite=True)
    assert (report.files, report.skipped) == (1, 3)
    assert await fs.cat_file("/t/small") == b"B" * 100


@pytest.mark.parametrize("there", [1, 100, MIB, 2 * MIB + 7])
async def test_the_beginning_of_a_file_gets_only_the_rest(
    cluster: FakeCluster, tree: Path, there: int
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/t/sub/large", b"D" * there)
    await fs.pipe_file("/t/small", b"")
    report, skipped = await resume(cluster, tree)
    assert report.bytes == sum(SIZES.values()) - there
    assert skipped.bytes == there
    assert await fs.cat_file("/t/sub/large") == b"D" * SIZES["sub/large"]
    assert (await resume(cluster, tree))[0].skipped == 4


async def test_a_file_whose_writer_died_is_closed_and_gets_the_rest(
    cluster: FakeCluster, tree: Path
) -> None:
    dead = cluster.connect()
    writer = await dead.open_writer("/t/sub/large")
    await writer.create_now()
    assert (await cluster.connect().info("/t/sub/large")).under_construction
    report, _ = await resume(cluster, tree)
    assert report.files == 4
    assert await cluster.connect().cat_file("/t/sub/large") == b"D" * SIZES["sub/large"]


async def test_a_tree_goes_on_where_it_was_begun(cluster: FakeCluster, tree: Path) -> None:
    fs = cluster.connect()
    assert not await put_goes_into(fs, [tree], "/t")
    await fs.makedirs("/t")
    assert await put_goes_into(fs, [tree], "/t"), "empty: somebody made it"
    await fs.pipe_file("/t/small", b"")
    assert not await put_goes_into(fs, [tree], "/t"), "it holds the beginning of the tree"
    await fs.makedirs("/t/tree")
    assert await put_goes_into(fs, [tree], "/t")
    assert await put_goes_into(fs, [tree / "small"], "/t")
    assert not await get_goes_into(fs, ["/t"], tree)
    (tree.parent / "elsewhere").mkdir()
    assert await get_goes_into(fs, ["/t"], tree.parent / "elsewhere")


async def test_get_copies_only_what_is_not_there(
    cluster: FakeCluster, tree: Path, tmp_path: Path
) -> None:
    fs = cluster.connect()
    await resume(cluster, tree)
    back = tmp_path / "back"

    async def get(overwrite: bool = False) -> copy.CopyReport:
        around = ResumedGet(fs, overwrite=overwrite, on_skipped=Skipped())
        into = await get_goes_into(fs, ["/t"], back)
        return await copy.get(
            fs, ["/t"], back, parallel=2, overwrite=overwrite, around=around, into=into
        )

    assert (await get()).files == 4
    (back / "sub/large").unlink()
    report = await get()
    assert (report.files, report.skipped, report.bytes) == (1, 3, SIZES["sub/large"])
    (back / "small").write_bytes(b"x" * 100)
    with pytest.raises(FileExistsError, match="another content"):
        await get()
    assert (await get(overwrite=True)).skipped == 3
    for name in SIZES:
        assert (back / name).read_bytes() == (tree / name).read_bytes()


async def test_times_and_modes_are_kept_also_of_directories(
    cluster: FakeCluster, tree: Path, tmp_path: Path
) -> None:
    (tree / "small").chmod(0o751)
    (tree / "sub").chmod(0o500)
    for name, second in (("small", 1000), ("sub/large", 2000), ("sub", 3000)):
        os.utime(tree / name, (second, second + 1))
    fs = cluster.connect()
    keeping = Preserving(Plain(), local_to_cluster(fs))
    await copy.put(fs, [tree], "/t", parallel=2, around=keeping)
    await keeping.finish()
    small, sub = await fs.info("/t/small"), await fs.info("/t/sub")
    assert (small.mode, small.atime_ms, small.mtime_ms) == (0o751, 1_000_000, 1_001_000)
    assert (sub.mode, sub.mtime_ms) == (0o500, 3_001_000)
    back = tmp_path / "back"
    keeping = Preserving(Plain(), cluster_to_local(fs))
    await copy.get(fs, ["/t"], back, parallel=2, around=keeping)
    await keeping.finish()
    found = (back / "small").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o751, 1001)
    assert ((back / "sub").stat().st_mode & 0o777, (back / "sub").stat().st_mtime) == (0o500, 3001)


async def test_owners_that_may_not_be_given_are_counted(cluster: FakeCluster, tree: Path) -> None:
    await cluster.connect().makedirs("/b")
    await cluster.connect().chmod("/b", 0o777)
    fs = cluster.connect(identity=BOB)
    keeping = Preserving(Plain(), local_to_cluster(fs))
    await copy.put(fs, [tree / "small"], "/b/f", parallel=1, around=keeping)
    assert keeping.owners_refused == 1
    assert (await fs.info("/b/f")).owner == "bob"


async def test_a_move_deletes_what_was_copied_and_keeps_what_was_not(
    cluster: FakeCluster, tree: Path
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/t/sub/chunk", b"other")
    moving, watcher = Moving(), Watcher()
    await copy.put(
        fs, [tree], "/t", parallel=2, overwrite=False, watcher=watcher, around=moving, into=False
    )
    moving.remove_empty_directories()
    assert [path.name for path in tree.rglob("*") if path.is_file()] == ["chunk"]
    assert list(watcher.failures) == [str(tree / "sub/chunk")]


@pytest.mark.parametrize("step", ["Create", "AllocateChunk", "Complete"])
@pytest.mark.parametrize("answered", [False, True])
async def test_an_interrupted_put_leaves_no_file_open(
    cluster: FakeCluster, tree: Path, step: str, answered: bool
) -> None:
    """Whether the masters have done the step already or not when the put is interrupted."""
    fs = cluster.connect()
    reached, go_on = asyncio.Event(), asyncio.Event()
    call = cluster.router.call

    async def held(path: str, *arguments: Any, **options: Any) -> bytes:
        if not path.endswith(f"/{step}"):
            return await call(path, *arguments, **options)
        answer = await call(path, *arguments, **options) if answered else b""
        reached.set()
        await go_on.wait()
        return answer or await call(path, *arguments, **options)

    cluster.router.call = held  # type: ignore[method-assign]
    putting = asyncio.ensure_future(copy.put(fs, [tree / "sub"], "/t", parallel=2))
    await asyncio.wait([asyncio.ensure_future(reached.wait()), putting],
                       return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
    assert reached.is_set()
    putting.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([putting])
    found = [entry async for entry in fs.find("/")]
    assert [entry.path for entry in found if entry.under_construction] == []


def test_a_checksum_is_of_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123456789abc")
    assert beginning(tmp_path / "f", 9) == ("crc32c:e3069283", 9)
    assert beginning(tmp_path / "f", 0) == ("crc32c:00000000", 0)
    assert beginning(tmp_path / "f", 100)[1] == 12

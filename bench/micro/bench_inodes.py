"""The inode table beside the plain Python one: adding, finding, listing, rows."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from tests.reference import inodes as reference

FILES = 10_000
LOADED = 100_000
NAMES = [f"part-{number:010}.data" for number in range(LOADED)]
TABLES = {"compiled": fast.InodeTable, "python": reference.InodeTable}


def add_files(table: Any, directory: Any, count: int) -> None:
    for number in range(count):
        file = table.add_file(
            directory, NAMES[number], number + 10, 0o644, "alice", "eng", 0, 0, 3, 1 << 26
        )
        table.append_chunk(file, number + 1, 1, 1000, 0)


def new_table(kind: str) -> tuple[Any, Any]:
    """A table, and its directory /a/b/c."""
    table: Any = TABLES[kind]()
    directory = table.add_root(1, 0o755, "root", "root")
    for inode_id, name in enumerate("abc", 2):
        directory = table.add_directory(directory, name, inode_id, 0o755, "alice", "eng", 0, 0)
    return table, directory


@pytest.fixture(scope="module", params=TABLES)
def filled(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    table, directory = new_table(request.param)
    add_files(table, directory, FILES)
    return table, directory


@pytest.fixture(scope="module")
def rows() -> list[bytes]:
    table, directory = new_table("compiled")
    add_files(table, directory, LOADED)
    return [table.encode_block(block) for block in range((LOADED + 10) // 8 + 1)]


@pytest.mark.benchmark(group="1000 files of a chunk added")
@pytest.mark.parametrize("kind", TABLES)
def test_add(benchmark: BenchmarkFixture, kind: str) -> None:
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        add_files, setup=lambda: ((*new_table(kind), 1000), {}), rounds=20, warmup_rounds=2
    )


@pytest.mark.benchmark(group="find a path of 4 names")
def test_find(benchmark: BenchmarkFixture, filled: tuple[Any, Any]) -> None:
    inode, missing = benchmark(filled[0].find, "/a/b/c/part-0000007777.data")
    assert (inode.inode_id, missing) == (7787, 0)


@pytest.mark.benchmark(group="look up a child")
def test_child(benchmark: BenchmarkFixture, filled: tuple[Any, Any]) -> None:
    table, directory = filled
    assert benchmark(table.child, directory, "part-0000007777.data").inode_id == 7787


@pytest.mark.benchmark(group="a page of 100")
def test_page(benchmark: BenchmarkFixture, filled: tuple[Any, Any]) -> None:
    table, directory = filled
    assert len(benchmark(table.page, directory, "part-0000007777.data", 100)) == 100


@pytest.mark.benchmark(group="encode a block of 8")
def test_encode_block(benchmark: BenchmarkFixture, filled: tuple[Any, Any]) -> None:
    assert benchmark(filled[0].encode_block, 700)


@pytest.mark.benchmark(group="load 100,000 files")
def test_load(benchmark: BenchmarkFixture, rows: list[bytes]) -> None:
    def load() -> int:
        table = fast.InodeTable()
        for block, row in enumerate(rows):
            table.load_block(block, row)
        table.finish_load(1, LOADED + 10, LOADED + 1)
        return len(table)

    size = benchmark.pedantic(load, rounds=5, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert size == LOADED + 4

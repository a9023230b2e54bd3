"""Answers about files as bytes, beside protobuf messages of the same values."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode._fast import Inode, InodeTable, Statuses, messages_in_field_1
from pydfsnode.meta.inodes import HAS_ACL, IS_INLINE, IS_OPEN
from pydfsnode.meta.results import FileView
from pydfsnode.roles.master.service.conversions import fill
from pydfsnode.rpc.pb import dfs_pb2 as pb

STATUSES = Statuses(IS_OPEN, HAS_ACL, IS_INLINE)
PATH = "/many/0077/file-00077777"
PAGE = 100
NOW_MS = 1_790_000_000_000


def files(count: int) -> tuple[InodeTable, list[Inode]]:
    table = InodeTable()
    root = table.add_root(1, 0o755, "root", "root")
    made = [
        table.add_file(
            root, f"file-{number:08d}", number + 2, 0o644, "alice", "eng",
            NOW_MS, 0, 3, 1 << 26,
        )
        for number in range(count)
    ]  # fmt: skip
    for number, inode in enumerate(made, 1):
        table.append_chunk(inode, number, 1, 1000, 0x1234)
    return table, made


VIEW = FileView(
    path=PATH, type="file", size=1000, replication=3, owner="alice", group="eng", mode=0o644,
    mtime_ms=NOW_MS, ctime_ms=NOW_MS, inode_id=77, chunk_bytes=1 << 26, under_construction=False,
    child_count=0, checksum="crc32c:00001234",
)  # fmt: skip


def with_protobuf(view: FileView) -> bytes:
    response = pb.StatResponse()
    fill(response.status, view)
    return response.SerializeToString()


def page_with_protobuf(view: FileView) -> bytes:
    response = pb.ListResponse()
    for _ in range(PAGE):
        fill(response.entries.add(), view)
    return response.SerializeToString()


@pytest.mark.benchmark(group="statuses: one file")
def test_of_inode(benchmark: BenchmarkFixture) -> None:
    _table, (inode,) = files(1)
    assert benchmark(lambda: messages_in_field_1([STATUSES.of_inode(inode, PATH)]))


@pytest.mark.benchmark(group="statuses: one file")
def test_of_view(benchmark: BenchmarkFixture) -> None:
    assert benchmark(lambda: messages_in_field_1([STATUSES.of_view(VIEW)])) == with_protobuf(VIEW)


@pytest.mark.benchmark(group="statuses: one file")
def test_with_protobuf(benchmark: BenchmarkFixture) -> None:
    assert benchmark(with_protobuf, VIEW)


@pytest.mark.benchmark(group=f"statuses: a page of {PAGE}")
def test_page(benchmark: BenchmarkFixture) -> None:
    _table, inodes = files(PAGE)

    def page() -> bytes:
        return messages_in_field_1(
            [STATUSES.of_inode(inode, "/many/" + inode.name) for inode in inodes], True
        )

    assert len(pb.ListResponse.FromString(benchmark(page)).entries) == PAGE


@pytest.mark.benchmark(group=f"statuses: a page of {PAGE}")
def test_page_with_protobuf(benchmark: BenchmarkFixture) -> None:
    assert benchmark(page_with_protobuf, VIEW)

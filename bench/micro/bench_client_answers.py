"""Answers to clients read straight to what they return, beside protobuf messages."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode._fast import ClientAnswers, split_batch
from pydfsnode.client.model import DIRECTORY, FILE, ChunkLocation, FileStatus, Freshness
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import client_answers as reference

FAST = ClientAnswers(FileStatus, ChunkLocation, Freshness, FILE, DIRECTORY)
STATUS = pb.FileStatus(
    path="/bench/many/123/f4567", type=pb.FILE, replication=3, owner="ann", group="users",
    mode=0o644, mtime_ms=1_790_000_000_000, inode_id=1_234_567, chunk_bytes=1 << 26,
    checksum="crc32c:00000000", ctime_ms=1_790_000_000_000, atime_ms=1_790_000_000_000,
)  # fmt: skip
STAT = pb.StatResponse(status=STATUS).SerializeToString()
PAGE = pb.ListResponse(entries=[STATUS] * 32, more=True).SerializeToString()
BATCH = pb.BatchResponse(answers=[pb.BatchAnswer(response=STAT)] * 64).SerializeToString()


@pytest.mark.benchmark(group="read a status")
def test_status(benchmark: BenchmarkFixture) -> None:
    benchmark(FAST.status, STAT)


@pytest.mark.benchmark(group="read a status")
def test_status_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.status, STAT)


@pytest.mark.benchmark(group="read a page of 32")
def test_page(benchmark: BenchmarkFixture) -> None:
    benchmark(FAST.page, PAGE)


@pytest.mark.benchmark(group="read a page of 32")
def test_page_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.page, PAGE)


@pytest.mark.benchmark(group="split a batch of 64")
def test_split_batch(benchmark: BenchmarkFixture) -> None:
    benchmark(split_batch, BATCH)


@pytest.mark.benchmark(group="split a batch of 64")
def test_split_batch_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.split_batch, BATCH)

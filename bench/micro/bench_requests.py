"""From the bytes of a request to those of a log entry, beside messages and structures."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import requests as reference

FIELDS = [
    (2, "text", 0), (3, "u32", 3), (4, "u64", 1 << 26), (5, "u32", 0), (6, "flag", 0),
    (7, "flag", 0), (8, "bytes", 0),
]  # fmt: skip
PATH = "/many/0077/file-00077777"
REQUEST = pb.CreateRequest(
    op=pb.OpId(client_id=0xFEDCBA9876543210, seq=70_000, first_unacked=69_800),
    path=PATH, mode=0o644, overwrite=True, create_parents=True, content=b"",
).SerializeToString()  # fmt: skip
NOW_MS = 1_790_000_000_000
USER = "alice:eng,supergroup"
STAT = pb.StatRequest(path=PATH).SerializeToString()
ANSWERS: list[bytes | None] = [bytes(90)] * 63 + [None]
ERRORS = {63: bytes(80)}


@pytest.mark.benchmark(group="requests: one creation")
def test_operation(benchmark: BenchmarkFixture) -> None:
    coder = fast.OpCoder(8, FIELDS)
    assert benchmark(coder.encode, REQUEST, NOW_MS, USER)


@pytest.mark.benchmark(group="requests: one creation")
def test_operation_with_structures(benchmark: BenchmarkFixture) -> None:
    simple = reference.OpCoder(pb.CreateRequest, 8, FIELDS)
    assert benchmark(simple.encode, REQUEST, NOW_MS, USER)


@pytest.mark.benchmark(group="requests: one path")
def test_only_text(benchmark: BenchmarkFixture) -> None:
    assert benchmark(fast.only_text, STAT) == PATH


@pytest.mark.benchmark(group="requests: one path")
def test_only_text_with_protobuf(benchmark: BenchmarkFixture) -> None:
    assert benchmark(reference.only_text, STAT) == PATH


@pytest.mark.benchmark(group="requests: 64 answers in one message")
def test_batch_response(benchmark: BenchmarkFixture) -> None:
    assert benchmark(fast.batch_response, ANSWERS, ERRORS)


@pytest.mark.benchmark(group="requests: 64 answers in one message")
def test_batch_response_with_protobuf(benchmark: BenchmarkFixture) -> None:
    assert benchmark(reference.batch_response, ANSWERS, ERRORS)

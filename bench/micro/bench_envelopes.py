"""The envelopes of a small unary call beside a protobuf message for each."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode import _fast as fast
from pydfsnode.rpc.pb import ttrpc_pb2
from tests.reference import envelopes as reference

SERVICE, METHOD, TAG = "pydfs.v1.Namespace", "Stat", "0123456789abcdef"
PAYLOAD = bytes(range(60))
HEAD = reference.head(SERVICE, METHOD)
REQUEST = reference.request(12_345, SERVICE, METHOD, PAYLOAD, 3_000_000_000, TAG, {})
RESPONSE = reference.response(PAYLOAD)


@pytest.mark.benchmark(group="encode a request")
def test_request(benchmark: BenchmarkFixture) -> None:
    tag = TAG.encode()
    benchmark(fast.request_frame, 12_345, 0, HEAD, PAYLOAD, 3_000_000_000, tag, b"")


@pytest.mark.benchmark(group="encode a request")
def test_request_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(
        reference.request, 12_345, SERVICE, METHOD, PAYLOAD, 3_000_000_000, TAG, {}
    )  # fmt: skip


@pytest.mark.benchmark(group="split a request")
def test_split_request(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.split_request, REQUEST)


@pytest.mark.benchmark(group="split a request")
def test_split_request_with_protobuf(benchmark: BenchmarkFixture) -> None:
    def split() -> tuple[str, str, bytes, int]:
        request = ttrpc_pb2.Request.FromString(REQUEST)
        return request.service, request.method, request.payload, request.timeout_nano

    benchmark(split)


@pytest.mark.benchmark(group="encode a response")
def test_response(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.response_frame, 12_345, PAYLOAD)


@pytest.mark.benchmark(group="encode a response")
def test_response_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.response, PAYLOAD)


@pytest.mark.benchmark(group="split a response")
def test_split_response(benchmark: BenchmarkFixture) -> None:
    benchmark(fast.split_response, RESPONSE)


@pytest.mark.benchmark(group="split a response")
def test_split_response_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: ttrpc_pb2.Response.FromString(RESPONSE).payload)

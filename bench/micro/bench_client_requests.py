"""The requests of clients beside protobuf messages for them."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode._fast import client_requests as fast
from pydfsnode.client.wire_batch import head
from tests.reference import client_requests as reference

CREATE = ("/bench/many/123/f4567", 3, 0, 0o644, True, True, b"")
CALLS = 64


@pytest.mark.benchmark(group="encode a create")
def test_create(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: fast.operation(1 << 60, 12_345, 12_300) + fast.create(*CREATE))


@pytest.mark.benchmark(group="encode a create")
def test_create_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: reference.operation(1 << 60, 12_345, 12_300) + reference.create(*CREATE))


@pytest.mark.benchmark(group=f"encode a batch of {CALLS}")
def test_batch(benchmark: BenchmarkFixture) -> None:
    heads, requests = [head("/x/Create")] * CALLS, [fast.create(*CREATE)] * CALLS
    benchmark(fast.batch, heads, requests, 0, CALLS)


@pytest.mark.benchmark(group=f"encode a batch of {CALLS}")
def test_batch_with_protobuf(benchmark: BenchmarkFixture) -> None:
    benchmark(reference.batch, ["Create"] * CALLS, [fast.create(*CREATE)] * CALLS)

"""The session table beside the one in dictionaries: what each operation of a master passes.

A client has 256 operations under way and says with each which answers it holds. Rows are drained
after every 1,024 operations, or after every one of them, as under a light load.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode.meta import ops
from pydfsnode.meta.results import Applied, Done
from pydfsnode.meta.sessions import SessionTable
from tests.reference import sessions as reference

COUNT = 1024
UNDER_WAY = 256
OUTCOME = Applied(Done())
Table = SessionTable | reference.SessionTable


def operations(client_ids: Iterator[int], seqs: Iterator[int]) -> list[ops.Mkdirs]:
    return [
        ops.Mkdirs(next(client_ids), seq, max(1, seq - UNDER_WAY), 1000 + seq, "root", "/a")
        for seq in itertools.islice(seqs, COUNT)
    ]


def pass_all(table: Table, passed: list[ops.Mkdirs]) -> None:
    for op in passed:
        assert table.admit(op, op.seq, op.at_ms) is None
        table.remember(op, op.seq, op.at_ms, OUTCOME)


def drain(table: Table) -> int:
    if isinstance(table, SessionTable):
        return len(table.drain())
    rows = [table.row(*place) for place in table.touched]
    table.touched.clear()
    return len(rows)


@pytest.fixture(params=[SessionTable, reference.SessionTable], ids=["fast", "reference"])
def table(request: pytest.FixtureRequest) -> Table:
    made: Table = request.param()
    return made


@pytest.mark.benchmark(group=f"sessions: {COUNT} operations admitted and remembered")
@pytest.mark.parametrize("clients", [1, 64])
def test_operations(benchmark: BenchmarkFixture, table: Table, clients: int) -> None:
    seqs, client_ids = itertools.count(1), itertools.cycle(range(1, clients + 1))

    def setup() -> tuple[tuple[Table, list[ops.Mkdirs]], dict[str, object]]:
        drain(table)
        return (table, operations(client_ids, seqs)), {}

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        pass_all, setup=setup, rounds=30, warmup_rounds=2
    )
    assert table.outcome_count >= UNDER_WAY


@pytest.mark.benchmark(group=f"sessions: rows of {COUNT} operations drained")
def test_drain(benchmark: BenchmarkFixture, table: Table) -> None:
    seqs, client_ids = itertools.count(1), itertools.repeat(7)

    def setup() -> tuple[tuple[Table], dict[str, object]]:
        pass_all(table, operations(client_ids, seqs))
        return (table,), {}

    rows = benchmark.pedantic(  # type: ignore[no-untyped-call]
        drain, setup=setup, rounds=30, warmup_rounds=2
    )
    assert rows >= UNDER_WAY

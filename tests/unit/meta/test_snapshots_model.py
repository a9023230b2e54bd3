"""Snapshots under random operations: each goes on telling what it saw, nothing is kept longer."""

from __future__ import annotations

import os

import pytest

from pydfsnode.meta import history, tree

from .snapshot_steps import Stream

SEEDS = int(os.environ.get("PYDFSNODE_SNAPSHOT_SEEDS") or 10)
STEPS = 200


@pytest.fixture(autouse=True)
def _bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees and remains of more than a few inodes go between the other operations."""
    monkeypatch.setattr(tree, "RECLAIMED_AT_ONCE_MAX", 2)
    monkeypatch.setattr(history, "PURGED_AT_ONCE_MAX", 2)


def run(seed: int, steps: int) -> None:
    stream = Stream(seed)
    for number in range(steps):
        stream.step()
        stream.check()
        stream.check_differences()
        if number % 20 == 19:
            stream.check_chunks()
    while stream.copies:
        stream.do_delete_snapshot()
        stream.check()
    stream.check_chunks()
    assert all(not table.rows for table in stream.harness.namespace.tree.history.tables)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_snapshots_are_as_the_directory_was(seed: int) -> None:
    run(seed, STEPS)

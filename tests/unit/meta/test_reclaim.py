"""Large trees: gone from their place at once, dropped bit by bit."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX

from .harness import Harness

FILES = RECLAIMED_AT_ONCE_MAX + 10


def large_tree(harness: Harness, path: str = "/t") -> int:
    """A tree of FILES small files in directories of 50; how many inodes it has."""
    harness.mkdirs(path)
    for number in range(FILES):
        if number % 50 == 0:
            harness.mkdirs(f"{path}/d{number // 50}")
        harness.write(f"{path}/d{number // 50}/f{number}", 1)
    return 1 + FILES + (FILES + 49) // 50


def reclaim(harness: Harness, count: int) -> int:
    return int(harness.run(ops.Reclaim, count, user="root").inodes)


def test_a_large_tree_leaves_at_once_and_its_inodes_bit_by_bit() -> None:
    harness = Harness()
    count = large_tree(harness)
    held = harness.create("/t/d0/open").inode_id
    open_chunk = harness.allocate(held).chunk_id
    assert harness.delete("/t", recursive=True).inodes == count + 1
    assert harness.names("/") == []
    assert harness.namespace.drain_freed() == []
    harness.mkdirs("/t")  # the name is free
    freed: list[int] = []
    left = count + 1
    while left:
        assert reclaim(harness, 100) == min(100, left)
        left -= min(100, left)
        freed += harness.namespace.drain_freed()
        before = harness.namespace.state_hash()
        harness.restart()
        assert harness.namespace.state_hash() == before
    # Chunks of finished files, and the one that was being written: abandoned chunks are collected.
    assert sorted(freed) == [*range(1, FILES + 1), open_chunk]
    assert reclaim(harness, 100) == 0
    tree = harness.namespace.tree
    assert (len(tree.table), tree.doomed.rows, tree.open_files.rows) == (2, {}, {})


def test_one_operation_goes_on_from_one_tree_to_the_next() -> None:
    harness = Harness()
    first, second = large_tree(harness, "/a"), large_tree(harness, "/b")
    harness.delete("/a", recursive=True)
    harness.delete("/b", recursive=True)
    assert reclaim(harness, first - 1) == first - 1
    assert len(harness.namespace.tree.doomed.rows) == 2
    assert reclaim(harness, 11) == 11
    assert len(harness.namespace.tree.doomed.rows) == 1
    assert reclaim(harness, 4096) == second - 10


def test_only_the_masters_reclaim() -> None:
    harness = Harness()
    assert isinstance(harness.refusal(ops.Reclaim, 1, user="bob"), AccessDenied)


@pytest.mark.parametrize("count", [0, -1, 4097])
def test_a_count_out_of_bounds_is_refused(count: int) -> None:
    assert isinstance(Harness().refusal(ops.Reclaim, count, user="root"), InvalidArgument)

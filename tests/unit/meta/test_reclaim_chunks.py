"""Files of many chunks: no operation drops many of what was deleted, nor calls for each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from pydfsnode.meta import allowance, ops

from .harness import Harness
from .snapshot_asking import chunk_ids, create, delete, lengths, past_rows

AT_ONCE = 10


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "CHUNKS_RELEASED_MAX", AT_ONCE)


def large_file(harness: Harness, path: str, chunks: int) -> list[int]:
    """Write a file of *chunks* chunks; their ids."""
    harness.write(path, *([5] * chunks), create_parents=True)
    return chunk_ids(harness, path)


def freed_in_parts(harness: Harness) -> list[int]:
    """What is freed now and by one `Reclaim` after the other, each only a part; ascending."""
    freed = harness.namespace.drain_freed()
    assert len(freed) <= AT_ONCE
    tree = harness.namespace.tree
    while tree.doomed.rows or tree.history.is_purging:
        harness.run(ops.Reclaim, 100)
        part = harness.namespace.drain_freed()
        assert len(part) <= AT_ONCE
        freed += part
        before = harness.namespace.state_hash()
        harness.restart()
        assert harness.namespace.state_hash() == before
        tree = harness.namespace.tree
    assert harness.run(ops.Reclaim, 100).inodes == 0
    return sorted(freed)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("chunks", [AT_ONCE, AT_ONCE + 1, 7 * AT_ONCE + 3, 130])
def test_a_deleted_file_is_dropped_in_parts(chunks: int) -> None:
    harness = Harness()
    needed = large_file(harness, "/f", chunks)
    assert harness.delete("/f").inodes == 1
    assert harness.names("/") == []
    assert freed_in_parts(harness) == needed
    assert len(harness.namespace.tree.table) == 1


@pytest.mark.usefixtures("few_at_once")
def test_the_files_of_a_tree_are_dropped_in_parts() -> None:
    harness = Harness()
    needed = [chunk for at in range(5) for chunk in large_file(harness, f"/t/d/f{at}", 7)]
    open_chunk = harness.allocate(harness.create("/t/open").inode_id).chunk_id
    assert harness.delete("/t", recursive=True).inodes == 8
    assert freed_in_parts(harness) == [*needed, open_chunk]
    assert len(harness.namespace.tree.table) == 1


@pytest.mark.usefixtures("few_at_once")
def test_a_replaced_file_is_dropped_in_parts() -> None:
    harness = Harness()
    needed = large_file(harness, "/f", 25)
    harness.create("/f", overwrite=True)
    assert freed_in_parts(harness) == needed


@pytest.mark.usefixtures("few_at_once")
def test_what_only_a_deleted_snapshot_had_is_dropped_in_parts() -> None:
    harness = Harness()
    needed = large_file(harness, "/d/f", 35)
    create(harness, "/d", "s")
    harness.run(ops.Truncate, "/d/f", 5 * 5)
    harness.run(ops.SetReplication, "/d/f", 1)
    harness.namespace.drain_changed_chunks()
    assert harness.namespace.drain_freed() == []
    delete(harness, "/d", "s")
    assert freed_in_parts(harness) == needed[5:]
    assert past_rows(harness) == (0, 0)
    assert lengths(harness, "/d/f") == [5] * 5
    wanted = {w.chunk_id: w.replication for w in harness.namespace.iter_wanted()}
    assert wanted == dict.fromkeys(needed[:5], 1)


@pytest.mark.usefixtures("few_at_once")
def test_a_file_that_is_dropped_in_parts_stays_whole_in_a_snapshot() -> None:
    harness = Harness()
    needed = large_file(harness, "/d/f", 35)
    create(harness, "/d", "s")
    harness.delete("/d/f")
    assert freed_in_parts(harness) == []
    assert chunk_ids(harness, "/d/.snapshot/s/f") == needed


def calls_of(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, *work* calls."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", ["truncate", "delete", "concat"])
def test_the_calls_of_an_operation_do_not_grow_with_the_chunks(kind: str) -> None:
    """A page of 64 chunks may cost some, and chunks move one by one in C."""

    def calls(pages: int) -> int:
        harness = Harness()
        large_file(harness, "/d/f", 64 * pages)
        large_file(harness, "/d/g", 1)
        work: dict[str, Callable[[], object]] = {
            "truncate": lambda: harness.run(ops.Truncate, "/d/f", 5),
            "delete": lambda: harness.delete("/d/f"),
            "concat": lambda: harness.run(ops.Concat, "/d/g", ("/d/f",)),
        }
        harness.namespace.drain_changed_chunks()
        return calls_of(work[kind])

    per_page = 64 if kind == "concat" else 0
    assert calls(9) - calls(1) <= 8 * (per_page + 10)

"""A directory to take snapshots of, and what one asks of them; shared by their tests."""

from __future__ import annotations

from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import Done, FileView

from .harness import Harness


def prepared() -> Harness:
    """With /d/sub/f of two chunks and /d/g of one."""
    harness = Harness()
    harness.mkdirs("/d/sub")
    harness.write("/d/sub/f", 10, 20)
    harness.write("/d/g", 5)
    return harness


def create(harness: Harness, path: str, name: str) -> FileView:
    view: FileView = harness.run(ops.CreateSnapshot, path, name)
    return view


def delete(harness: Harness, path: str, name: str) -> None:
    assert harness.run(ops.DeleteSnapshot, path, name) == Done()


def lengths(harness: Harness, path: str) -> list[int]:
    return [c.length for c in queries.locate(harness.namespace, path, NOBODY_ASKS)[1]]


def chunk_ids(harness: Harness, path: str) -> list[int]:
    return [c.chunk_id for c in queries.locate(harness.namespace, path, NOBODY_ASKS)[1]]


def past_rows(harness: Harness) -> tuple[int, int]:
    index = harness.namespace.tree.history.index
    return len(index.entries.rows), len(index.inodes.rows)

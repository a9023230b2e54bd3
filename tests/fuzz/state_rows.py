"""Rows of the state table that were spoiled: one of them among the good rows of a small tree."""

from __future__ import annotations

from functools import cache

from pydfsnode._fast import CHUNKS_PER_PAGE
from pydfsnode.meta import ops
from pydfsnode.meta.results import Applied, ChunkAllocated, FileView
from pydfsnode.meta.rows import Row
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import load_namespace

CHUNK_BYTES = 1 << 20


class _Made:
    """A tree of everything that has rows."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.apply(ops.Mkdirs, "/d/e")
        self.apply(ops.CreateInline, "/d/small", 3, CHUNK_BYTES, 0, False, False, b"content")
        self.apply(ops.SetXattr, "/d/small", "user.a", b"1")
        self.apply(ops.SetAcl, "/d/e", ("user:bob:rwx", "default:group:eng:r-x"), "modify")
        self.apply(ops.SetQuota, "/d", 100, 1 << 40)
        self.apply(ops.CreateSnapshot, "/d", "s")
        self.apply(ops.Rename, "/d/small", "/d/e/moved")
        self.large()
        self.apply(ops.Create, "/open", 3, CHUNK_BYTES)

    def apply(self, kind: type[ops.Op], *fields: object) -> object:
        index = self.namespace.applied_index + 1
        op = kind(9, index, index, index, "root", *fields)
        outcome = self.namespace.apply(op, index)  # type: ignore[arg-type]
        assert isinstance(outcome, Applied), outcome
        return outcome.result

    def large(self) -> None:
        """A file of a full page of chunks and some."""
        view = self.apply(ops.Create, "/large", 3, CHUNK_BYTES)
        assert isinstance(view, FileView)
        done = None
        for _ in range(CHUNKS_PER_PAGE + 3):
            chunk = self.apply(ops.AllocateChunk, view.inode_id, done, 0, ("c1",))
            assert isinstance(chunk, ChunkAllocated)
            done = ops.ChunkDone(chunk.chunk_id, 1, CHUNK_BYTES, 7)
        self.apply(ops.Complete, view.inode_id, done)


@cache
def _good_rows() -> tuple[Row, ...]:
    return tuple(row for row in _Made().namespace.drain_rows() if row[2] is not None)


def row_of(table: int) -> bytes:
    """The first row of *table*."""
    found = next(value for number, _, value in _good_rows() if number == table)
    assert found is not None
    return found


def load_with(table: int, spoiled: bytes) -> bytes:
    """The hash of the namespace whose first row of *table* is *spoiled*; all of it is looked at.

    Raises:
        CorruptionError: the rows do not make up a namespace.
    """
    rows = list(_good_rows())
    position = next(at for at, row in enumerate(rows) if row[0] == table)
    rows[position] = (table, rows[position][1], spoiled)
    namespace = load_namespace(rows)
    inodes = namespace.tree.table
    for inode_id in inodes.inode_ids():
        inode = inodes.get(inode_id)
        assert inode is not None
        inodes.path(inode)
        _ = inodes.chunks(inode) if inode.is_file else inodes.page(inode, "", 100)
    list(namespace.iter_wanted())
    return namespace.state_hash()

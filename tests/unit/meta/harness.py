"""A namespace with a log of its own and clients that number their operations."""

from __future__ import annotations

from typing import Any

from pydfsnode.errors import PydfsError
from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.results import Applied, ChunkAllocated, FileView, Outcome, Removed
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.state import Namespace

MIB = 1 << 20


class Harness:
    """Every operation goes through its encoding; a refusal is raised as its error."""

    def __init__(self, bounds: SessionBounds | None = None) -> None:
        self.bounds = bounds
        self.namespace = Namespace(bounds)
        self.now_ms = 1_000
        self.rows: dict[tuple[int, bytes], bytes] = {}
        self._seq: dict[int, int] = {}

    def next_seq(self, client: int) -> int:
        self._seq[client] = self._seq.get(client, 0) + 1
        return self._seq[client]

    def apply(self, op: ops.AnyOp) -> Outcome:
        return self.namespace.apply(decode_op(encode_op(op)), self.namespace.applied_index + 1)

    def run(self, kind: Any, *fields: Any, client: int = 1, user: str = "alice") -> Any:
        seq = self.next_seq(client)
        outcome = self.apply(kind(client, seq, seq, self.now_ms, user, *fields))
        if isinstance(outcome, Applied):
            return outcome.result
        raise outcome.error()

    def refusal(self, kind: Any, *fields: Any, client: int = 1) -> PydfsError:
        """The error of an operation that must fail, and must leave everything as it was."""
        before = self.tree_hash()
        try:
            result = self.run(kind, *fields, client=client)
        except PydfsError as error:
            assert self.tree_hash() == before, "a refused operation changed something"
            return error
        raise AssertionError(f"{kind.__name__}{fields} was not refused: {result}")

    def tree_hash(self) -> tuple[bytes, ...]:
        """All inodes and chunks, without sessions and index."""
        from pydfsnode.meta import rows

        tree = self.namespace.tree
        return (
            *(rows.encode(tree.inodes[i]) for i in sorted(tree.inodes)),
            *(rows.encode(tree.chunks[c]) for c in sorted(tree.chunks)),
            rows.encode([tree.next_inode_id, tree.next_chunk_id, tree.file_count]),
        )

    def mkdirs(self, path: str, mode: int = 0, **who: Any) -> FileView:
        return self.run(ops.Mkdirs, path, mode, **who)

    def create(self, path: str, *, client: int = 1, **options: Any) -> FileView:
        fields = {"replication": 3, "chunk_bytes": MIB, "mode": 0, "overwrite": False}
        fields |= {"create_parents": False} | options
        return self.run(ops.Create, path, *fields.values(), client=client)

    def allocate(
        self, inode_id: int, previous: ops.ChunkDone | None = None, abandon: int = 0,
        targets: tuple[str, ...] = ("c1", "c2", "c3"), client: int = 1,
    ) -> ChunkAllocated:  # fmt: skip
        return self.run(
            ops.AllocateChunk, inode_id, previous, abandon, targets, client=client
        )  # fmt: skip

    def complete(
        self, inode_id: int, last: ops.ChunkDone | None = None, abandon: int = 0, client: int = 1
    ) -> FileView:
        return self.run(ops.Complete, inode_id, last, abandon, client=client)

    def delete(self, path: str, recursive: bool = False) -> Removed:
        return self.run(ops.Delete, path, recursive)

    def rename(self, source: str, destination: str) -> FileView:
        return self.run(ops.Rename, source, destination)

    def write(self, path: str, *lengths: int, **options: Any) -> FileView:
        """A closed file with chunks of these lengths and made-up checksums."""
        inode_id = self.create(path, **options).inode_id
        done = None
        for length in lengths:
            chunk = self.allocate(inode_id, done)
            done = ops.ChunkDone(chunk.chunk_id, chunk.version, length, 0x1000 + chunk.chunk_id)
        return self.complete(inode_id, done)

    def drain(self) -> None:
        """Bring the stored rows up to date."""
        seen = set()
        for table, key, value in self.namespace.drain_rows():
            assert (table, key) not in seen, "a row came twice"
            seen.add((table, key))
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value

    def restart(self) -> None:
        """Go on from the stored rows."""
        self.drain()
        again = Namespace(self.bounds)
        for (table, key), value in reversed(self.rows.items()):
            again.load_row(table, key, value)
        again.finish_load()
        self.namespace = again

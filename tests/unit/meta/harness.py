"""A namespace with a log of its own and clients that number their operations."""

from __future__ import annotations

import hashlib
from typing import Any

from pydfsnode.errors import PydfsError
from pydfsnode.meta import ops, queries, rows
from pydfsnode.meta.caller import NOBODY_ASKS, parse_caller
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.inline import TABLE_INLINE, inline_key
from pydfsnode.meta.results import Applied, ChunkAllocated, FileView, Outcome, Removed
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.state import Namespace

MIB = 1 << 20
ADMIN = "alice:supergroup"
"""Who asks when nothing else is said: alice, of the superusers."""


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

    def run(self, kind: Any, *fields: Any, client: int = 1, user: str = ADMIN) -> Any:
        seq = self.next_seq(client)
        outcome = self.apply(kind(client, seq, seq, self.now_ms, user, *fields))
        if isinstance(outcome, Applied):
            return outcome.result
        raise outcome.error()

    def refusal(
        self, kind: Any, *fields: Any, client: int = 1, user: str = ADMIN
    ) -> PydfsError:  # fmt: skip
        """The error of an operation that must fail, and must leave everything as it was."""
        before = self.tree_hash()
        try:
            result = self.run(kind, *fields, client=client, user=user)
        except PydfsError as error:
            assert self.tree_hash() == before, "a refused operation changed something"
            return error
        raise AssertionError(f"{kind.__name__}{fields} was not refused: {result}")

    def tree_hash(self) -> bytes:
        """The whole state without sessions, index and clock."""
        tree = self.namespace.tree
        counters = (
            tree.next_inode_id, tree.next_chunk_id, tree.inline.total_bytes,
            tree.history.sequence, tree.history.next_past_id, len(tree.freed), len(tree.wanted),
        )  # fmt: skip
        digest = hashlib.sha256(rows.encode(counters))
        for inode_id in tree.table.inode_ids():
            digest.update(tree.table.encode(inode_id))
            file = tree.table.get(inode_id)
            assert file is not None
            digest.update(rows.encode(tree.table.chunks(file) if file.is_file else []))
        for table in tree.tables:
            digest.update(rows.encode((table.number, sorted(table.rows.items()))))
        return digest.digest()

    def stat(self, path: str, user: str = "") -> FileView:
        """The view of *path*, as *user* may see it; "": as it is."""
        return queries.stat(self.namespace, path, parse_caller(user) if user else NOBODY_ASKS)

    def names(self, path: str) -> list[str]:
        """The names of the entries of *path*."""
        listing = queries.list_directory(self.namespace, path, NOBODY_ASKS)
        return [entry.path.rpartition("/")[2] for entry in listing.entries]

    def read_inline(self, content_id: int) -> bytes | None:
        """The content of a small file, wherever it is; None: nowhere."""
        content = self.namespace.tree.inline.get(content_id)
        return self.rows.get((TABLE_INLINE, inline_key(content_id))) if content is None else content

    def mkdirs(self, path: str, mode: int = 0, **who: Any) -> FileView:
        return self.run(ops.Mkdirs, path, mode, **who)

    def create(
        self, path: str, *, client: int = 1, user: str = ADMIN, **options: Any
    ) -> FileView:  # fmt: skip
        """An open file; the client holds it."""
        fields = {"replication": 3, "chunk_bytes": MIB, "mode": 0, "overwrite": False}
        fields |= {"create_parents": False} | options
        return self.run(ops.Create, path, *fields.values(), client=client, user=user)

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

    def delete(self, path: str, recursive: bool = False, **who: Any) -> Removed:
        return self.run(ops.Delete, path, recursive, **who)

    def rename(
        self, source: str, destination: str, overwrite: bool = False, **who: Any
    ) -> FileView:  # fmt: skip
        return self.run(ops.Rename, source, destination, overwrite, **who)

    def write(self, path: str, *lengths: int, **options: Any) -> FileView:
        """A closed file with chunks of these lengths and made-up checksums."""
        inode_id = self.create(path, **options).inode_id
        client = options.get("client", 1)
        done = None
        for length in lengths:
            chunk = self.allocate(inode_id, done, client=client)
            done = ops.ChunkDone(chunk.chunk_id, chunk.version, length, 0x1000 + chunk.chunk_id)
        return self.complete(inode_id, done, client=client)

    def drain(self) -> None:
        """Bring the stored rows up to date."""
        seen = set()
        inline, _ = self.namespace.tree.inline.drain_rows()
        for table, key, value in [*self.namespace.drain_rows(), *inline]:
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
            if table != TABLE_INLINE:  # those stay on disk
                again.load_row(table, key, value)
        again.finish_load()
        self.namespace = again

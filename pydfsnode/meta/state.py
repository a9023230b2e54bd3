"""The namespace: one operation after the other in, outcomes, rows and events out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pydfsnode.errors import DomainError, Overloaded, invariant
from pydfsnode.meta import rows
from pydfsnode.meta.apply import apply
from pydfsnode.meta.inodes import INLINE, Chunk
from pydfsnode.meta.loading import Loader
from pydfsnode.meta.ops import AnyOp
from pydfsnode.meta.results import Outcome, WantedChunk, rejected
from pydfsnode.meta.rolling_digest import WINDOW_MS, update_slices
from pydfsnode.meta.rows import Row
from pydfsnode.meta.sessions import SessionBounds, SessionTable
from pydfsnode.meta.tree import Tree

DIGEST_EVERY = 1024
"""Log entries in an interval of `digest_interval`."""


DIGEST_SCHEME = b"\x03"
"""First byte of each digest: what goes into them. Of masters with another one none is compared:
count it up with every change to digests or rows, so that a rolling upgrade stops nobody.
"""


class Namespace:
    """The whole state of the masters.

    Feed it every log index in order: `apply` for operations, `advance` for entries of other kinds.
    """

    def __init__(self, session_bounds: SessionBounds | None = None) -> None:
        self.tree = Tree()
        self.sessions = SessionTable(session_bounds)
        self.tree.last_heard_ms = self.sessions.last_heard_ms
        self.applied_index = 0
        self._drained_index = -1
        self._loader: Loader | None = None
        self._replaced_chunks: list[int] = []
        self._interval_seen = True
        """Whether this namespace saw the begin of the running interval of digests."""

    # ---- the log

    def apply(self, op: AnyOp, index: int) -> Outcome:
        """Apply the operation at *index* and return its outcome; of a retry, the first one.

        Raises:
            InvariantViolation: *index* is not the next one.
        """
        self.advance(index)
        tree = self.tree
        if op.at_ms > tree.clock_ms:
            tree.clock_ms = op.at_ms
        try:
            known: Outcome | None = self.sessions.admit(op, index, tree.clock_ms)
            if known is not None:
                return known
            outcome = apply(tree, op)
        except (DomainError, Overloaded) as error:
            return rejected(error)  # not remembered: the same operation may come again
        self.sessions.remember(op, index, tree.clock_ms, outcome)
        return outcome

    def advance(self, index: int) -> None:
        """Pass over the entry at *index*, which holds no operation. Raises as `apply`."""
        if index != self.applied_index + 1:
            invariant(False, f"log entry {index} cannot be applied after {self.applied_index}")
        self.applied_index = index

    # ---- the state table

    def drain_rows(self) -> list[Row]:
        """Every row that changed since the last call, once; [] when nothing was applied.

        Contents of small files are drained by themselves: `tree.inline`.
        """
        if self._drained_index == self.applied_index:
            return []
        self._drained_index = self.applied_index
        tree, touched = self.tree, self.tree.touched
        encode_block, pack = tree.table.encode_block, rows.KEY.pack
        changed: list[Row] = [(rows.TABLE_HEAD, rows.HEAD_KEY, rows.encode(self._head()))]
        changed += [
            (rows.TABLE_BLOCK, pack(block), encode_block(block)) for block in touched.blocks
        ]
        for inode_id, page in touched.pages:
            key = rows.PAGE_ID.pack(inode_id, page)
            changed.append((rows.TABLE_PAGE, key, tree.table.encode_page(inode_id, page)))
        for table in tree.tables:
            if table.undrained:
                changed += table.drain_rows()
        session_key, encode = rows.SESSION_ID.pack, rows.encode
        changed += [
            (rows.TABLE_SESSION, session_key(client_id, seq), None if row is None else encode(row))
            for client_id, seq, row in self.sessions.drain()
        ]
        touched.blocks.clear()
        touched.pages.clear()
        return changed

    def load_row(self, table: int, key: bytes, value: bytes) -> None:
        """Take back a row, in any order, into a new namespace. Raises CorruptionError."""
        if self._loader is None:
            self._loader = Loader(self.tree, self.sessions)
        self._loader.load(table, key, value)

    def finish_load(self) -> None:
        """All rows are here: link them. Without any row the namespace is a new one.

        Raises:
            CorruptionError: a row that another one needs is missing.
        """
        if self._loader is not None:
            self.applied_index = self._drained_index = self._loader.finish()
            self._loader = None
            self._interval_seen = self.applied_index > 0 and self.applied_index % DIGEST_EVERY == 0

    def replace(self, other: Namespace) -> None:
        """Become *other*, which is given up: who holds this object sees its state from now on.

        Nothing of it waits to be drained; `drain_replaced_chunks` tells of what was here.
        """
        self._replaced_chunks += self.tree.freed
        self._replaced_chunks += self._all_chunk_ids()
        self.tree, self.sessions = other.tree, other.sessions
        self.applied_index = self._drained_index = other.applied_index
        self._interval_seen = other._interval_seen
        self._loader = None

    # ---- comparing masters

    def digest_interval(self) -> bytes | None:
        """16 bytes over the rows of all that was touched since the last call, and the counters.

        For every index that is a multiple of DIGEST_EVERY: then masters with equal states have
        equal digests, however their batches and drains fell (INV-SAME). None when this namespace
        was loaded within the interval.
        """
        tree, touched, is_whole = self.tree, self.tree.touched, self._interval_seen
        inode_ids, pages = sorted(touched.inodes), sorted(touched.pages_in_interval)
        touched.inodes.clear()
        touched.pages_in_interval.clear()
        rare = [table.drain_interval() for table in tree.tables]
        self._interval_seen = True
        if not is_whole:
            return None
        digest = hashlib.blake2b(
            rows.encode((self._head(), inode_ids, pages, rare)), digest_size=15
        )
        encode, encode_page = tree.table.encode, tree.table.encode_page
        for inode_id in inode_ids:
            digest.update(encode(inode_id))
        for inode_id, page in pages:
            digest.update(encode_page(inode_id, page) or b"")
        return DIGEST_SCHEME + digest.digest()

    @property
    def slices_due_ms(self) -> int:
        """The log's time from which on `digest_slices` has something new."""
        return (self.tree.clock_ms // WINDOW_MS + 1) * WINDOW_MS

    def digest_slices(self, after_ms: int) -> bytes:
        """16 bytes over what of the whole state had its turn since the log's time *after_ms*.

        For each index at which that time moved into another window; *after_ms* is that of the entry
        before. Equal states have equal digests there, of whoever was loaded or started when.
        """
        digest = hashlib.sha256(rows.encode(self._head()))
        update_slices(digest, self.tree, self.sessions, after_ms, self.tree.clock_ms)
        return DIGEST_SCHEME + digest.digest()[:15]

    def state_hash(self) -> bytes:
        """SHA-256 over all rows in order of their keys: equal states have equal hashes (INV-SAME).

        Takes a time that grows with the state.
        """
        tree, sessions = self.tree, self.sessions
        digest = hashlib.sha256(rows.encode(self._head()))
        for inode_id in tree.table.inode_ids():
            digest.update(tree.table.encode(inode_id))
            page = 0
            while (encoded := tree.table.encode_page(inode_id, page)) is not None:
                digest.update(encoded)
                page += 1
        for table in tree.tables:
            digest.update(rows.encode((table.number, sorted(table.rows.items()))))
        for client_id in sorted({*sessions.active, *sessions.dormant}):
            digest.update(rows.KEY.pack(client_id))
            if client_id in sessions.dormant:
                digest.update(rows.encode(sessions.dormant[client_id]))
                continue
            for seq, row in sessions.rows_of(client_id):
                digest.update(rows.KEY.pack(seq))
                digest.update(rows.encode(row))
        return digest.digest()

    def _head(self) -> rows.Head:
        tree = self.tree
        return rows.Head(
            rows.FORMAT_VERSION, self.applied_index, tree.next_inode_id, tree.next_chunk_id,
            tree.clock_ms, self.sessions.forgotten_count, tree.inline.total_bytes,
            tree.history.sequence, tree.history.next_past_id,
        )  # fmt: skip

    # ---- chunks, for the table of replicas

    def drain_freed(self) -> list[int]:
        """Ids of chunks dropped since the last call."""
        freed, self.tree.freed = self.tree.freed, []
        return freed

    def drain_changed_chunks(self) -> list[WantedChunk]:
        """Chunks that are wanted otherwise than before, and not dropped again."""
        wanted, self.tree.wanted = self.tree.wanted, {}
        return list(wanted.values())

    def drain_replaced_chunks(self) -> list[int]:
        """Ids of all chunks that were here before `replace`, once; some may still be here."""
        replaced, self._replaced_chunks = self._replaced_chunks, []
        return replaced

    def iter_wanted(self) -> Iterator[WantedChunk]:
        """Every finished chunk on chunkservers; after it, the drains tell what changes."""
        table, kept = self.tree.table, self.tree.history.replication_of
        for inode_id in table.inode_ids():
            file = table.get(inode_id)
            assert file is not None
            for chunk_id, version, length, _ in table.chunks(file) if file.chunk_count else ():
                if version != INLINE:
                    replication = max(file.replication, kept(chunk_id))
                    yield WantedChunk(chunk_id, version, length, replication)
        yield from self.tree.history.wanted_chunks()

    def chunk(self, chunk_id: int) -> Chunk | None:
        """The chunk, finished or open; None when there is none, or only a snapshot has it."""
        return self.tree.chunk(chunk_id)

    def is_garbage(self, chunk_id: int) -> bool:
        """Whether nothing holds *chunk_id*, nor can: an id from the future is not garbage."""
        tree = self.tree
        return (
            chunk_id < tree.next_chunk_id
            and not tree.table.holder_of(chunk_id)
            and chunk_id not in tree.open_chunks
            and not tree.history.keeps_chunk(chunk_id)
        )

    def _all_chunk_ids(self) -> list[int]:
        kept = [wanted.chunk_id for wanted in self.tree.history.wanted_chunks()]
        return [*self.tree.table.chunk_ids(), *self.tree.open_chunks, *kept]

    # ---- counters

    @property
    def file_count(self) -> int:
        """Files, open ones included."""
        return self.tree.table.file_count

    @property
    def directory_count(self) -> int:
        """Directories, the root included."""
        return self.tree.table.directory_count

    @property
    def chunk_count(self) -> int:
        """Chunks, open ones and contents of small files included."""
        return self.tree.table.chunk_count + len(self.tree.open_chunks)

"""The namespace: one operation after the other in, outcomes, rows and events out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pydfsnode.errors import DomainError, Overloaded, invariant
from pydfsnode.meta import rows
from pydfsnode.meta.apply import apply
from pydfsnode.meta.inodes import Chunk
from pydfsnode.meta.loading import Loader
from pydfsnode.meta.ops import AnyOp
from pydfsnode.meta.results import Outcome, WantedChunk, rejected
from pydfsnode.meta.rows import Row
from pydfsnode.meta.sessions import SessionBounds, SessionTable
from pydfsnode.meta.tree import Tree

DIGEST_EVERY = 1024
"""Log entries in an interval of `digest_interval`."""

_Touched = tuple[dict[int, None], dict[int, None]]


class Namespace:
    """The whole state of the masters.

    Feed it every log index in order: `apply` for operations, `advance` for entries of other kinds.
    """

    def __init__(self, session_bounds: SessionBounds | None = None) -> None:
        self.tree = Tree()
        self.sessions = SessionTable(session_bounds)
        self.applied_index = 0
        self._drained_index = -1
        self._loader: Loader | None = None
        self._replaced_chunks: list[int] = []
        # Ids of inodes and of chunks: not drained yet, and touched in this interval of digests
        # (None: its begin was not seen). What the tree touched since `_note_touched` is in neither.
        self._undrained: _Touched = ({}, {})
        self._interval: _Touched | None = ({}, {})

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
            known = self.sessions.admit(op, index, tree.clock_ms)
        except (DomainError, Overloaded) as error:
            return rejected(error)
        if known is not None:
            return known
        outcome = apply(tree, op)
        self.sessions.remember(op, index, tree.clock_ms, outcome)
        return outcome

    def advance(self, index: int) -> None:
        """Pass over the entry at *index*, which holds no operation. Raises as `apply`."""
        if index != self.applied_index + 1:
            invariant(False, f"log entry {index} cannot be applied after {self.applied_index}")
        self.applied_index = index

    # ---- the state table

    def drain_rows(self) -> list[Row]:
        """Every row that changed since the last call, once; [] when nothing was applied."""
        if self._drained_index == self.applied_index:
            return []
        self._drained_index = self.applied_index
        tree, sessions = self.tree, self.sessions
        changed: list[Row] = [(rows.TABLE_HEAD, rows.HEAD_KEY, rows.encode(self._head()))]
        self._note_touched()
        inode_ids, chunk_ids = self._undrained
        for inode_id in inode_ids:
            changed.append(_row(rows.TABLE_INODE, inode_id, tree.inodes.get(inode_id)))
        for chunk_id in chunk_ids:
            changed.append(_row(rows.TABLE_CHUNK, chunk_id, tree.chunks.get(chunk_id)))
        for client_id, seq in sessions.touched:
            row = sessions.row(client_id, seq)
            key = rows.SESSION_ID.pack(client_id, seq)
            changed.append((rows.TABLE_SESSION, key, None if row is None else rows.encode(row)))
        inode_ids.clear()
        chunk_ids.clear()
        sessions.touched.clear()
        return changed

    def _note_touched(self) -> None:
        tree = self.tree
        for kind, touched in enumerate((tree.touched_inodes, tree.touched_chunks)):
            self._undrained[kind].update(touched)
            if self._interval is not None:
                self._interval[kind].update(touched)
            touched.clear()

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
            begins = self.applied_index > 0 and self.applied_index % DIGEST_EVERY == 0
            self._interval = ({}, {}) if begins else None

    def replace(self, other: Namespace) -> None:
        """Become *other*, which is given up: who holds this object sees its state from now on.

        Nothing of it waits to be drained; `drain_replaced_chunks` tells of what was here.
        """
        self._replaced_chunks += self.tree.freed
        self._replaced_chunks += self.tree.chunks
        self.tree, self.sessions = other.tree, other.sessions
        self.applied_index = self._drained_index = other.applied_index
        self._interval, self._undrained = other._interval, ({}, {})
        self._loader = None

    # ---- comparing masters

    def digest_interval(self) -> bytes | None:
        """16 bytes over the rows of all that was touched since the last call, and the counters.

        For every index that is a multiple of DIGEST_EVERY: then masters with equal states have
        equal digests, however their batches and drains fell (INV-SAME). None when this namespace
        was loaded within the interval.
        """
        self._note_touched()
        interval, self._interval = self._interval, ({}, {})
        if interval is None:
            return None
        inodes, chunks = self.tree.inodes, self.tree.chunks
        inode_ids, chunk_ids = sorted(interval[0]), sorted(interval[1])
        touched = (
            self._head(),
            inode_ids, [inodes.get(inode_id) for inode_id in inode_ids],
            chunk_ids, [chunks.get(chunk_id) for chunk_id in chunk_ids],
        )  # fmt: skip
        return hashlib.blake2b(rows.encode(touched), digest_size=16).digest()

    def state_hash(self) -> bytes:
        """SHA-256 over all rows in order of their keys: equal states have equal hashes (INV-SAME).

        Takes a time that grows with the state.
        """
        tree, sessions = self.tree, self.sessions
        digest = hashlib.sha256(rows.encode(self._head()))
        for inode_id in sorted(tree.inodes):
            digest.update(rows.encode(tree.inodes[inode_id]))
        for chunk_id in sorted(tree.chunks):
            digest.update(rows.encode(tree.chunks[chunk_id]))
        for client_id in sorted(sessions.active.keys() | sessions.dormant.keys()):
            digest.update(rows.ID.pack(client_id))
            if client_id in sessions.dormant:
                digest.update(rows.encode(sessions.dormant[client_id]))
                continue
            outcomes = sessions.active[client_id].outcomes
            for seq in sorted(outcomes):
                digest.update(rows.ID.pack(seq))
                digest.update(rows.encode(outcomes[seq]))
        return digest.digest()

    def _head(self) -> rows.Head:
        tree = self.tree
        return rows.Head(
            rows.FORMAT_VERSION, self.applied_index, tree.next_inode_id, tree.next_chunk_id,
            tree.clock_ms, self.sessions.forgotten_count,
        )  # fmt: skip

    # ---- chunks, for the table of replicas

    def drain_freed(self) -> list[int]:
        """Ids of chunks dropped since the last call."""
        freed, self.tree.freed = self.tree.freed, []
        return freed

    def drain_changed_chunks(self) -> list[WantedChunk]:
        """Chunks recorded as done since the last call and not dropped again."""
        finished, self.tree.finished = self.tree.finished, {}
        return list(finished.values())

    def drain_replaced_chunks(self) -> list[int]:
        """Ids of all chunks that were here before `replace`, once; some may still be here."""
        replaced, self._replaced_chunks = self._replaced_chunks, []
        return replaced

    def iter_wanted(self) -> Iterator[WantedChunk]:
        """Every finished chunk, for a start; after it, the drains tell what changes."""
        for chunk in self.tree.chunks.values():
            if chunk.done:
                yield WantedChunk(
                    chunk.chunk_id, chunk.version, chunk.length, self.replication_of(chunk)
                )

    def chunk(self, chunk_id: int) -> Chunk | None:
        """The chunk, finished or open; None when there is none."""
        return self.tree.chunks.get(chunk_id)

    def replication_of(self, chunk: Chunk) -> int:
        """How many replicas its file asks for."""
        return self.tree.file_of(chunk).replication

    def is_garbage(self, chunk_id: int) -> bool:
        """Whether no file holds *chunk_id*, nor can one: an id from the future is not garbage."""
        return chunk_id < self.tree.next_chunk_id and chunk_id not in self.tree.chunks

    # ---- counters

    @property
    def file_count(self) -> int:
        """Files, open ones included."""
        return self.tree.file_count

    @property
    def directory_count(self) -> int:
        """Directories, the root included."""
        return self.tree.directory_count

    @property
    def chunk_count(self) -> int:
        """Chunks, open ones included."""
        return len(self.tree.chunks)


def _row(table: int, number: int, thing: object) -> Row:
    return table, rows.ID.pack(number), None if thing is None else rows.encode(thing)

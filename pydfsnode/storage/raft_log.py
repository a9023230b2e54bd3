"""A master's durable log: each group is one atomic batch of hard state, entries, bounds and rows.

`write` is called from one thread, in order; `read` from any. After a failed write nothing more is
written: what is on disk is unknown until the log is opened anew (INV-STOP, trap C11).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator, Sequence

from pydfsnode.errors import (
    Compacted,
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    StorageError,
    invariant,
)
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.raft.types import LogStart
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.log_recovery import (
    REMEDY,
    LogBounds,
    Recovered,
    check_entries,
    encode_hard_state,
    entry_crc,
    recover,
)
from pydfsnode.storage.sealed import (
    TABLE_ENTRY,
    TABLE_HARD_STATE,
    TABLE_LOG_BOUNDS,
    TABLE_MEMBERSHIP,
    Row,
    SealedStore,
    numbered_key,
)

_INDEX_AND_TERM = struct.Struct("<QQ")
_INDEX_OFFSET = 8


class RaftLog:
    """See the module; made by `open`.

    `start`, `hard_state` and `membership` (opaque bytes) are what was durable at open.
    """

    def __init__(self, store: SealedStore, mark: DurableMark | None, recovered: Recovered) -> None:
        self._store = store
        self._mark = mark
        self._bounds = recovered.bounds
        self._failure: DurabilityFailure | None = None
        self.hard_state: HardState = recovered.hard_state
        self.membership = recovered.membership
        self.start = LogStart(
            first_index=recovered.bounds.first_index,
            last_index=recovered.bounds.last_index,
            term_runs=recovered.term_runs,
            prev_term=recovered.bounds.prev_term,
            read=self.read,
        )

    @classmethod
    def open(cls, store: SealedStore, mark: DurableMark | None = None) -> RaftLog:
        """Verify the whole log in *store* and return it; a new store gives an empty log.

        Args:
            mark: the file that proves how far the log was durable; None only where a lost tail
                needs no detection (tests).

        Raises:
            CorruptionError, SealBroken: a record is damaged, missing, moved or replaced; the
                message names it and the remedy, and the node must not start.
            StorageError: the store cannot be read.
        """
        with contextlib.ExitStack() as undo:
            if mark is None:
                return cls(store, None, recover(store, None))
            undo.callback(mark.close)
            marked_group = mark.load()
            recovered = recover(store, marked_group)
            if marked_group is None:
                if not recovered.is_new:
                    raise CorruptionError(
                        f"{mark.path}: the durable mark is missing though the log is not new; "
                        f"{REMEDY}"
                    )
                mark.create()
            undo.pop_all()
        return cls(store, mark, recovered)

    @property
    def bounds(self) -> LogBounds:
        """Where the log as written ends, and the number of its last group."""
        return self._bounds

    def write(self, persist: Persist | None, rows: Sequence[Row], sync: bool) -> None:
        """Write one group: *persist* and *rows*, all or nothing.

        Args:
            rows: of tables from 4 on.
            sync: return only when it, and all before it, is on stable storage.

        Raises:
            DurabilityFailure: nothing of it may be acknowledged, and nothing more is written.
        """
        if self._failure is not None:
            raise self._failure
        bounds = self._bounds
        batch: list[tuple[bytes, bytes | None]] = []
        if persist is not None:
            batch, bounds = self._persist_batch(persist)
        bounds = bounds._replace(group=bounds.group + 1)
        batch.extend(self._store.seal_rows([(TABLE_LOG_BOUNDS, b"", bounds.encode()), *rows]))
        try:
            self._store.kv.write(batch, sync)
            if sync and self._mark is not None:
                self._mark.advance(bounds.group)
        except StorageError as error:
            self._failure = _failure_of(error)
            raise self._failure from error
        self._bounds = bounds

    def _persist_batch(
        self, persist: Persist
    ) -> tuple[list[tuple[bytes, bytes | None]], LogBounds]:
        """The records of *persist* and the bounds after it."""
        bounds = self._bounds
        batch: list[tuple[bytes, bytes | None]] = []
        if persist.hard_state is not None:
            row = (TABLE_HARD_STATE, b"", encode_hard_state(persist.hard_state))
            batch.extend(self._store.seal_rows([row]))
        kept = bounds.last_index
        if persist.truncate_from is not None:
            kept = min(kept, persist.truncate_from - 1)
            invariant(kept >= bounds.first_index - 1, "a truncation below the log", kept=kept)
        last, entries = kept, persist.entries
        if entries:
            invariant(
                persist.first_index == kept + 1,
                "a group's entries do not continue the log",
                first_index=persist.first_index,
                last_index=kept,
            )
            last = kept + len(entries)
            batch.extend(self._store.seal_numbered(TABLE_ENTRY, kept + 1, entries))
        if last < bounds.last_index:
            gone = range(last + 1, bounds.last_index + 1)
            batch.extend(
                self._store.seal_rows([(TABLE_ENTRY, numbered_key(i), None) for i in gone])
            )
        return batch, self._bounds_after(last, kept, entries)

    def _bounds_after(self, last: int, kept: int, entries: Sequence[bytes]) -> LogBounds:
        bounds = self._bounds
        if entries:
            tail = entries[-1]
        elif kept == bounds.last_index:
            return bounds
        elif kept < bounds.first_index:
            return bounds._replace(last_index=kept, last_term=bounds.prev_term, last_crc=0)
        else:
            tail = self.read(kept, kept, 0)[0]
        index, term = _INDEX_AND_TERM.unpack_from(tail, _INDEX_OFFSET)
        invariant(index == last, "an entry's index is not its place", index=index, place=last)
        return bounds._replace(last_index=last, last_term=term, last_crc=entry_crc(tail))

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """Encoded entries from *first* on, at least one, up to *last*, within about *bytes_max*.

        Raises:
            Compacted: *first* is below the log.
            CorruptionError, SealBroken: an entry is damaged or missing; never a short answer.
        """
        if first < self._bounds.first_index:
            raise Compacted(f"log entry {first} was compacted away", index=first)
        entries: list[bytes] = []
        size = 0
        for key, entry in self._store.scan(
            TABLE_ENTRY, numbered_key(first), numbered_key(last + 1)
        ):
            expected = first + len(entries)
            if int.from_bytes(key, "big") != expected:
                raise CorruptionError(f"log entry {expected}: the record is missing; {REMEDY}")
            size += len(entry)
            if entries and size > bytes_max:
                break
            entries.append(entry)
        else:
            if len(entries) != last - first + 1:
                raise CorruptionError(
                    f"log entry {first + len(entries)}: the record is missing; {REMEDY}"
                )
        check_entries(first, entries)
        return entries

    def load_rows(self, tables: Iterable[int]) -> Iterator[Row]:
        """The rows of *tables*, table by table, ascending by key.

        Raises:
            SealBroken, CorruptionError, StorageError: while iterating.
        """
        for table in tables:
            invariant(table >= TABLE_MEMBERSHIP, "a table of the log itself", table=table)
            for key, value in self._store.scan(table):
                yield table, key, value

    def close(self) -> None:
        """Close the store and the mark; may be called twice."""
        if self._mark is not None:
            self._mark.close()
        self._store.close()


def _failure_of(error: StorageError) -> DurabilityFailure:
    if isinstance(error, DiskFull):
        return DurabilityFailure(
            f"the log could not be written: {error}. Nothing that was acknowledged is lost: free "
            "space and start this node again"
        )
    return DurabilityFailure(
        f"the log could not be written: {error}. What the disk holds is unknown, so this node "
        "stops; nothing unwritten was acknowledged. Check the disk, then start the node again: it "
        "verifies its log first"
    )

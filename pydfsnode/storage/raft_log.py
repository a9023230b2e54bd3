"""A master's durable log: each group is one atomic batch of hard state, entries, bounds and rows.

The storage thread alone calls what changes the log (`write`, `compact`, `stage`, `purge_some`), in
order; any thread may call the rest. After a failed write nothing more is written: what is on disk
is unknown until the log is opened anew (INV-STOP, trap C11).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence

from pydfsnode.errors import (
    Compacted,
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    StorageError,
    invariant,
)
from pydfsnode.raft.effects import HardState, Install, Persist
from pydfsnode.raft.types import LogStart
from pydfsnode.storage.dead_state import DeadState
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.kv import Batch
from pydfsnode.storage.log_bounds import REMEDY, LogBounds
from pydfsnode.storage.log_changes import (
    after_compaction,
    after_entries,
    after_install,
    entry_term,
    kept_index,
    removed,
)
from pydfsnode.storage.log_recovery import (
    Recovered,
    check_entries,
    encode_hard_state,
    encode_incarnation,
    recover,
)
from pydfsnode.storage.sealed import (
    TABLE_ENTRY,
    TABLE_HARD_STATE,
    TABLE_LOG_BOUNDS,
    TABLE_MEMBERSHIP,
    TABLE_NODE,
    TABLE_STAGE,
    Row,
    SealedStore,
    numbered_key,
)
from pydfsnode.storage.snapshot_stage import SnapshotStage, StageProgress
from pydfsnode.storage.state_tables import disk_rows, disk_table
from pydfsnode.storage.state_view import StateView
from pydfsnode.storage.term_runs import TermRuns, row_checksum

COMPACT_ENTRIES_MAX = 4096
"""Entries that one batch of a compaction removes."""


def draw_incarnation() -> int:
    """A number for a new data directory: never 0, never the one of another."""
    return secrets.randbelow(2**32 - 1) + 1


class RaftLog:
    """See the module; made by `open`.

    `start`, `hard_state` and `membership` (opaque bytes) are what was durable at open;
    `incarnation` is the directory's for ever.
    """

    def __init__(
        self,
        store: SealedStore,
        mark: DurableMark | None,
        recovered: Recovered,
        incarnation: int,
    ) -> None:
        self._store = store
        self._mark = mark
        self._failure: DurabilityFailure | None = None
        self.incarnation = incarnation
        self.hard_state: HardState = recovered.hard_state
        self.membership = recovered.membership
        bounds = recovered.bounds._replace(incarnation=incarnation)
        self._bounds = bounds
        self._readable_from = bounds.first_index
        self._durable_state_index = bounds.state_index
        self._term = recovered.hard_state.term
        self._hard_state_crc = recovered.hard_state_crc
        self._membership_crc = row_checksum(recovered.membership)
        self._terms = TermRuns(recovered.walked.term_runs)
        self._sizes = recovered.walked.sizes
        self._dead = DeadState(store.kv, 1 - bounds.generation, self._write_batch)
        self._progress = recovered.progress
        self._stage: SnapshotStage | None = None
        self.start = LogStart(
            first_index=bounds.first_index,
            last_index=bounds.last_index,
            term_runs=recovered.walked.term_runs,
            prev_term=bounds.prev_term,
            read=self.read,
            base=recovered.membership,
            configurations=recovered.walked.configurations,
        )

    @classmethod
    def open(
        cls,
        store: SealedStore,
        mark: DurableMark | None = None,
        new_incarnation: Callable[[], int] = draw_incarnation,
    ) -> RaftLog:
        """Verify the whole log in *store* and return it; a new store gives an empty log.

        Args:
            mark: the file that proves how far the log was durable; None only where a lost tail
                needs no detection (tests).

        Raises:
            CorruptionError, SealBroken: a record is damaged, missing, moved or replaced; the
                message names it and the remedy, and the node must not start.
            StorageError: the store cannot be read, or a new one cannot be written.
        """
        with contextlib.ExitStack() as undo:
            if mark is None:
                recovered = recover(store, None)
            else:
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
            incarnation = recovered.incarnation
            if incarnation is None:
                incarnation = new_incarnation()
                store.write([(TABLE_NODE, b"", encode_incarnation(incarnation))], sync=True)
            undo.pop_all()
        return cls(store, mark, recovered, incarnation)

    @property
    def bounds(self) -> LogBounds:
        """Where the log as written ends, and the number of its last group."""
        return self._bounds

    @property
    def state_index(self) -> int:
        """The entry up to which the state was written, not always durably; 0: not known."""
        return self._bounds.state_index

    @property
    def log_bytes(self) -> int:
        """Bytes of all encoded entries in the log."""
        return self._sizes.total

    def write(
        self,
        persist: Persist | None,
        rows: Sequence[Row],
        sync: bool,
        state_index: int | None = None,
    ) -> None:
        """Write one group: *persist* and *rows*, all or nothing.

        Args:
            rows: of tables 16 to 79, or the membership. With `persist.install` they are left
                out: they belong to the state that is replaced.
            sync: return only when it, and all before it, is on stable storage. An installation
                always is.
            state_index: the entry up to which the state is applied with *rows*.

        Raises:
            DurabilityFailure: nothing of it may be acknowledged, and nothing more is written.
        """
        self._require_sound()
        if persist is not None and persist.install is not None:
            self._install(persist, persist.install)
            return
        bounds, changed = self._bounds, disk_rows(rows, self._bounds.generation)
        batch: list[tuple[bytes, bytes | None]] = []
        kept, entries = bounds.last_index, list[bytes]()
        if persist is not None:
            entries = persist.entries
            kept = kept_index(bounds, persist)
            bounds = after_entries(bounds, kept, entries, self._entry)
            changed += self._head_rows(persist)
            changed += removed(range(bounds.last_index + 1, self._bounds.last_index + 1))
            self._terms.replace_after(kept, entries, entry_term)
            batch = self._store.seal_numbered(TABLE_ENTRY, kept + 1, entries)
        if state_index is not None:
            invariant(
                bounds.state_index <= state_index <= bounds.last_index,
                "the state goes back, or is ahead of the log",
                state_index=state_index,
                before=bounds.state_index,
                last_index=bounds.last_index,
            )
            bounds = bounds._replace(state_index=state_index)
        first = bounds.first_index
        self._write_group(batch, changed, bounds, sync)
        self._sizes.keep(0, kept - first + 1)
        self._sizes.extend(entries)

    def _head_rows(self, persist: Persist) -> list[Row]:
        """The rows of *persist* that are not entries."""
        rows: list[Row] = []
        if persist.hard_state is not None:
            self._term = persist.hard_state.term
            encoded = encode_hard_state(persist.hard_state)
            self._hard_state_crc = row_checksum(encoded)
            rows.append((TABLE_HARD_STATE, b"", encoded))
        if persist.base is not None:
            # Entries may be there: of a leader among others that began the same cluster earlier.
            is_new = self._bounds.first_index == 1 and self._membership_crc == row_checksum(None)
            invariant(is_new, "a first configuration for a log in use")
            self._membership_crc = row_checksum(persist.base)
            rows.append((TABLE_MEMBERSHIP, b"", persist.base))
        return rows

    def _install(self, persist: Persist, install: Install) -> None:
        """Make the staged generation live, and drop the log below it or all of it (F4, F7)."""
        stage, before = self._stage, self._bounds
        invariant(
            not persist.entries and persist.truncate_from is None and persist.base is None,
            "a group with a snapshot holds entries",
        )
        invariant(
            stage is not None
            and stage.is_finished
            and stage.progress.is_of(install.index, install.index_term),
            "the snapshot to be installed is not the one that is staged",
            index=install.index,
        )
        bounds = after_install(before, install, self._entry)
        rows = self._head_rows(persist)
        invariant(bounds.last_term <= self._term, "a snapshot of a later term", term=self._term)
        rows.append((TABLE_MEMBERSHIP, b"", install.configuration))
        self._membership_crc = row_checksum(install.configuration)
        self._terms.drop_before(bounds.first_index, bounds.last_index)
        rows.append((TABLE_STAGE, b"", None))
        kept = range(bounds.first_index, bounds.last_index + 1)
        gone = range(before.first_index, before.last_index + 1)
        rows += removed(index for index in gone if index not in kept)
        self._readable_from = bounds.first_index
        self._write_group([], rows, bounds, sync=True)
        dropped = min(bounds.first_index - before.first_index, len(gone))
        self._sizes.keep(dropped, dropped + len(kept))
        self._drop_stage()
        self._dead = DeadState(self._store.kv, before.generation, self._write_batch)

    def compact(self, through: int, base: bytes) -> None:
        """Drop the entries up to *through*, which the state holds; nothing when they are gone.

        In synced batches of `COMPACT_ENTRIES_MAX`: a caller that wants other writes in between
        asks for less at a time.

        Args:
            base: the configuration as of *through*, encoded.

        Raises:
            DurabilityFailure: the node must stop.
        """
        self._require_sound()
        bounds = self._bounds
        if through < bounds.first_index:
            return
        invariant(
            through <= bounds.last_index and through <= bounds.state_index,
            "a compaction of entries that the state does not hold",
            through=through,
            state_index=bounds.state_index,
        )
        if through > self._durable_state_index:
            self.write(None, [], sync=True)
        while self._bounds.first_index <= through:
            first = self._bounds.first_index
            last = min(through, first + COMPACT_ENTRIES_MAX - 1)
            term = entry_term(last, self._entry(last))
            bounds = after_compaction(self._bounds, last, term)
            # The newer base may stand before older configurations in the log: the last one counts.
            rows: list[Row] = [(TABLE_MEMBERSHIP, b"", base), *removed(range(first, last + 1))]
            self._membership_crc = row_checksum(base)
            self._terms.drop_before(last + 1, bounds.last_index)
            self._readable_from = last + 1  # before they are gone, for `read` on other threads
            self._write_group([], rows, bounds, sync=True)
            self._sizes.keep(last + 1 - first, bounds.last_index + 1 - first)

    def reseal(self, disk_keys: Iterable[bytes], epoch: int) -> int:
        """Seal those of the rows at *disk_keys* that are not of *epoch* with the newest key.

        Durably; contents stay. Returns how many there were.

        Raises:
            DurabilityFailure: the node must stop.
            SealBroken, CorruptionError: a row is damaged; the others of this call are untouched.
        """
        self._require_sound()
        batch = self._store.resealed(disk_keys, epoch)
        if batch:
            self._write_batch(batch, sync=True)
        return len(batch)

    def _write_group(
        self,
        batch: list[tuple[bytes, bytes | None]],
        rows: Sequence[Row],
        bounds: LogBounds,
        sync: bool,
    ) -> None:
        """Write *batch*, *rows* and *bounds* as the next group."""
        bounds = bounds._replace(
            group=bounds.group + 1, hard_state_crc=self._hard_state_crc,
            membership_crc=self._membership_crc, terms_crc=self._terms.checksum,
        )  # fmt: skip
        batch.extend(self._store.seal_rows([(TABLE_LOG_BOUNDS, b"", bounds.encode()), *rows]))
        self._write_batch(batch, sync, bounds.group)
        self._bounds = bounds
        if sync:
            self._durable_state_index = bounds.state_index

    def _write_batch(self, batch: Batch, sync: bool, group: int = 0) -> None:
        """Write *batch*; mark *group* as durable with *sync*. A failure is the last one."""
        self._require_sound()
        try:
            self._store.kv.write(batch, sync)
            if sync and group and self._mark is not None:
                self._mark.advance(group)
        except StorageError as error:
            self._failure = _failure_of(error)
            raise self._failure from error

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """Encoded entries from *first* on, at least one, up to *last*, within about *bytes_max*.

        Raises:
            Compacted: *first* is below the log, or was when the read ended.
            CorruptionError, SealBroken: an entry is damaged or missing; never a short answer.
        """
        self._require_readable(first)
        entries: list[bytes] = []
        size = 0
        for key, entry in self._store.scan(
            TABLE_ENTRY, numbered_key(first), numbered_key(last + 1)
        ):
            expected = first + len(entries)
            if int.from_bytes(key, "big") != expected:
                raise self._missing(first, expected)
            size += len(entry)
            if entries and size > bytes_max:
                break
            entries.append(entry)
        else:
            if len(entries) != last - first + 1:
                raise self._missing(first, first + len(entries))
        check_entries(first, entries)
        return entries

    def _require_readable(self, first: int) -> None:
        if first < self._readable_from:
            raise Compacted(f"log entry {first} was compacted away", index=first)

    def _missing(self, first: int, index: int) -> CorruptionError:
        """The error for a missing entry, unless the log was compacted while it was read."""
        self._require_readable(first)
        return CorruptionError(f"log entry {index}: the record is missing; {REMEDY}")

    def _entry(self, index: int) -> bytes:
        return self.read(index, index, 0)[0]

    def load_rows(self, tables: Iterable[int]) -> Iterator[Row]:
        """The rows of *tables*, table by table, ascending by key; while nothing is written.

        Raises:
            SealBroken, CorruptionError, StorageError: while iterating.
        """
        for table in tables:
            for key, value in self._store.scan(disk_table(table, self._bounds.generation)):
                yield table, key, value

    def read_row(self, table: int, key: bytes) -> bytes | None:
        """The row at *key* of *table* of the live state, as last written; None: there is none.

        Raises:
            SealBroken, CorruptionError, StorageError.
        """
        return self._store.get(disk_table(table, self._bounds.generation), key)

    def open_view(self) -> StateView:
        """The state as it is now, from any thread; close it.

        Raises:
            StorageError: the log is closed, or it is not known which entry the state belongs to.
        """
        return StateView(self._store.view())

    def stage(self, index: int, index_term: int) -> SnapshotStage:
        """Where the snapshot after entry (*index*, *index_term*) gathers; any other one is dropped.

        What is staged of the same one is kept: the transfer goes on behind `SnapshotStage.after`.

        Raises:
            DurabilityFailure: the node must stop.
            CorruptionError, StorageError: the store cannot be read.
        """
        self._require_sound()
        progress, is_known = self._progress, self._stage is not None
        if self._stage is not None:
            progress = self._stage.progress
        self._drop_stage()
        # Of an earlier process each row is looked for: a power cut may have taken unsynced ones.
        if (
            progress is None
            or not progress.is_of(index, index_term)
            or not (is_known or self._dead.holds(progress.row_count, progress.after))
        ):
            self._write_batch(self._store.seal_rows([(TABLE_STAGE, b"", None)]), False)
            self._dead.purge()
            progress = StageProgress(index, index_term)
        self._dead.is_used()
        self._stage = SnapshotStage(self._store, self._dead.generation, progress, self._write_batch)
        return self._stage

    def _drop_stage(self) -> None:
        if self._stage is not None:
            self._stage.drop()
        self._stage = self._progress = None

    def purge_some(self) -> bool:
        """Remove some rows of the state that is not live; return whether there may be more.

        To be called while there is nothing else to write, after opening too. A staged snapshot
        stays, unless the state has got as far by itself.

        Raises:
            DurabilityFailure: the node must stop.
        """
        self._require_sound()
        progress = self._progress if self._stage is None else self._stage.progress
        if progress is not None:
            if progress.index > self._bounds.state_index:
                return False
            self._drop_stage()
            self._write_batch(self._store.seal_rows([(TABLE_STAGE, b"", None)]), False)
        return self._dead.purge_some()

    def is_dropped(self, through: int) -> bool:
        """Whether no entry up to *through* is here any more, nor a state that another replaced.

        Removes some of the latter, as `purge_some`, which says what it raises.
        """
        return self._bounds.first_index > through and not self.purge_some()

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

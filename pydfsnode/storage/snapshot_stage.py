"""A snapshot on its way in: rows gather in the dead generation of the state until it is whole.

Nothing of it counts before `RaftLog.write` installs it. A progress row is written in one batch with
the rows that it speaks of, so a transfer goes on after a crash where it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pydfsnode.errors import CorruptionError, StorageError
from pydfsnode.storage.kv import Batch
from pydfsnode.storage.sealed import TABLE_STAGE, SealedStore
from pydfsnode.storage.state_tables import disk_rows

_PROGRESS = struct.Struct("<QQQIB")


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How much of the snapshot after entry (`index`, `index_term`) is staged.

    `row_count` rows with the running checksum `crc` (the transfer's), the last one at `after`.
    """

    index: int
    index_term: int
    row_count: int = 0
    crc: int = 0
    after: tuple[int, bytes] | None = None

    def is_of(self, index: int, index_term: int) -> bool:
        """Whether it is the snapshot after this entry."""
        return (self.index, self.index_term) == (index, index_term)

    def encode(self) -> bytes:
        """As FORMAT.md says."""
        table, key = self.after or (0, b"")
        head = _PROGRESS.pack(self.index, self.index_term, self.row_count, self.crc, table)
        return head + key

    @classmethod
    def decode(cls, encoded: bytes) -> StageProgress:
        """Undo `encode`; raises CorruptionError."""
        try:
            index, index_term, row_count, crc, table = _PROGRESS.unpack_from(encoded)
        except struct.error as error:
            raise CorruptionError(f"snapshot progress: {error}") from error
        after = (table, encoded[_PROGRESS.size :]) if table else None
        return cls(index, index_term, row_count, crc, after)


class SnapshotStage:
    """See the module. Made by `RaftLog.stage`; used on the storage thread only."""

    def __init__(
        self,
        store: SealedStore,
        generation: int,
        progress: StageProgress,
        write: Callable[[Batch, bool], None],
    ) -> None:
        self.progress = progress
        self.is_finished = False
        self._store = store
        self._generation = generation
        self._write = write
        self._is_dropped = False

    @property
    def after(self) -> tuple[int, bytes] | None:
        """(table, key) of the last row staged: the transfer goes on behind it."""
        return self.progress.after

    @property
    def row_count(self) -> int:
        """How many rows are staged."""
        return self.progress.row_count

    @property
    def crc(self) -> int:
        """The running checksum that the last `add` gave."""
        return self.progress.crc

    def add(self, rows: Sequence[tuple[int, bytes, bytes]], row_count: int, crc: int) -> None:
        """Stage *rows*, which follow `after` in ascending order.

        Args:
            row_count: how many there are with them.
            crc: the running checksum with them.

        Raises:
            CorruptionError: they are not in order, or not as many; nothing of them is staged.
            StorageError: this stage was dropped or is finished.
            DurabilityFailure: the node must stop.
        """
        self._require_current()
        if self.is_finished:
            raise StorageError("rows for a staged snapshot that is complete")
        last = self.progress.after
        for table, key, _ in rows:
            if last is not None and (table, key) <= last:
                raise CorruptionError("the rows of a snapshot are not in order")
            last = (table, key)
        if self.row_count + len(rows) != row_count:
            raise CorruptionError(
                f"a snapshot's row count is wrong: {row_count}, "
                f"counted {self.row_count + len(rows)}"
            )
        progress = replace(self.progress, row_count=row_count, crc=crc, after=last)
        self._store_progress(progress, disk_rows(rows, self._generation), sync=False)

    def finish(self, row_count: int, crc: int) -> None:
        """Make all that is staged durable; it may be installed afterwards.

        Raises:
            CorruptionError: it is not what *row_count* and *crc* say; nothing may be installed.
            StorageError: this stage was dropped.
            DurabilityFailure: the node must stop.
        """
        self._require_current()
        if (row_count, crc) != (self.row_count, self.crc):
            raise CorruptionError(
                f"the snapshot after entry {self.progress.index} does not match its checksum: "
                f"{self.row_count} rows came with {self.crc:08x}, "
                f"its end says {row_count} with {crc:08x}"
            )
        self._store_progress(self.progress, [], sync=True)
        self.is_finished = True

    def drop(self) -> None:
        """For `RaftLog`: this stage is installed, purged or made anew; it takes no more rows."""
        self._is_dropped = True

    def _store_progress(
        self, progress: StageProgress, rows: Sequence[tuple[int, bytes, bytes | None]], sync: bool
    ) -> None:
        row = (TABLE_STAGE, b"", progress.encode())
        self._write(self._store.seal_rows([*rows, row]), sync)
        self.progress = progress

    def _require_current(self) -> None:
        if self._is_dropped:
            raise StorageError(
                f"the staged snapshot after entry {self.progress.index} was dropped: it is not "
                "needed any more, or another one began"
            )

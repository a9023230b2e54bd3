"""The state as it was at one index, for a snapshot or a backup: readable while the log goes on."""

from __future__ import annotations

from collections.abc import Iterator

from pydfsnode.errors import CorruptionError, StorageError
from pydfsnode.storage.log_bounds import REMEDY, LogBounds
from pydfsnode.storage.log_changes import entry_term
from pydfsnode.storage.sealed import TABLE_ENTRY, TABLE_LOG_BOUNDS, SealedView, numbered_key
from pydfsnode.storage.state_tables import GENERATION_STEP, disk_span, disk_table


class StateView:
    """A consistent view of the live state tables. Used by one thread at a time; close it.

    `index` is the entry that the state is the one after. While a view is open the store keeps the
    disk space of what it shows.
    """

    def __init__(self, view: SealedView) -> None:
        """Take over *view*.

        Raises:
            StorageError: it is not known which entry the state belongs to.
            SealBroken, CorruptionError: the bounds are damaged.
        """
        self._view = view
        try:
            encoded = view.get(TABLE_LOG_BOUNDS, b"")
            bounds = LogBounds() if encoded is None else LogBounds.decode(encoded)
            self.index = bounds.state_index
            self._bounds = bounds
            self._generation = bounds.generation
            if not self.index and next(self.rows(), None) is not None:
                raise StorageError(
                    "the state's index is not on record: it was written by an older release; it "
                    "is recorded with this master's next write"
                )
        except BaseException:
            view.close()
            raise

    @property
    def index_term(self) -> int:
        """The term of the entry at `index`.

        Raises:
            SealBroken, CorruptionError, StorageError: the log cannot be read.
        """
        if self.index < self._bounds.first_index:  # the one before it: all others are gone
            return self._bounds.prev_term
        entry = self._view.get(TABLE_ENTRY, numbered_key(self.index))
        if entry is None:
            raise CorruptionError(f"log entry {self.index}: the record is missing; {REMEDY}")
        return entry_term(self.index, entry)

    def rows(self, after: tuple[int, bytes] | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """(table, key, plaintext) of all rows beyond *after*, ascending by (table, key).

        Raises:
            SealBroken, CorruptionError, StorageError: while iterating; never a short answer.
        """
        first, end = disk_span(self._generation)
        if after is not None:
            table, key = after
            first = bytes([disk_table(table, self._generation)]) + key + b"\0"
        offset = GENERATION_STEP * self._generation
        for table, key, plaintext in self._view.scan_span(first, end):
            yield table - offset, key, plaintext

    def close(self) -> None:
        """Give the view back; may be called twice."""
        self._view.close()

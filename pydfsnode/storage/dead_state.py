"""The generation of state tables that is not live: what an installed snapshot replaced, or a stage.

Its rows are removed a few at a time, so that the log's writes need not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from pydfsnode.storage.kv import Batch, KeyValue
from pydfsnode.storage.state_tables import disk_span, disk_table

PURGE_ROWS_MAX = 4096


class DeadState:
    """The dead *generation*. Used on the storage thread only."""

    def __init__(self, kv: KeyValue, generation: int, write: Callable[[Batch, bool], None]) -> None:
        self.generation = generation
        self._kv = kv
        self._write = write
        self._next, self._end = disk_span(generation)  # all before is gone
        self._is_clear = False

    def purge_some(self) -> bool:
        """Remove some rows; return whether there may be more. An unsynced batch."""
        if not self._is_clear:
            rows = self._kv.scan(self._next, self._end)
            keys = [key for key, _ in islice(rows, PURGE_ROWS_MAX)]
            self._is_clear = len(keys) < PURGE_ROWS_MAX
            if keys:
                self._write([(key, None) for key in keys], False)
                self._next = keys[-1]
        return not self._is_clear

    def purge(self) -> None:
        """Remove all rows."""
        while self.purge_some():
            pass

    def is_used(self) -> None:
        """Rows are staged here from now on: `purge_some` would begin anew."""
        self._next = disk_span(self.generation)[0]
        self._is_clear = False

    def holds(self, row_count: int, last: tuple[int, bytes] | None) -> bool:
        """Whether there are exactly *row_count* rows, *last* being the last: a look at each key."""
        keys = [key for key, _ in self._kv.scan(*disk_span(self.generation))]
        if last is None:
            return row_count == 0 and not keys
        table, key = last
        return len(keys) == row_count and keys[-1:] == [
            bytes([disk_table(table, self.generation)]) + key
        ]

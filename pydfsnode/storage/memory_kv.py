"""`KeyValue` in memory, for tests and simulation: also knows what a power loss would leave."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator

from pydfsnode.errors import StorageError
from pydfsnode.storage.kv import Batch


class MemoryKv:
    """Ordered rows in memory.

    `durable_rows` is what the last sync covered; `unsynced` the batches since, oldest first.
    """

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self._rows: dict[bytes, bytes] = dict(rows or {})
        self._keys = sorted(self._rows)
        self._lock = threading.Lock()
        self.durable_rows: dict[bytes, bytes] = dict(self._rows)
        self.unsynced: list[list[tuple[bytes, bytes | None]]] = []

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValue.get`."""
        return self._rows.get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValue.scan`."""
        with self._lock:
            keys = self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, end)]
            rows = [(key, self._rows[key]) for key in keys]
        return iter(rows)

    def view(self) -> MemoryView:
        """See `KeyValue.view`; a copy."""
        with self._lock:
            return MemoryView(self._rows)

    def write(self, batch: Batch, sync: bool) -> None:
        """See `KeyValue.write`."""
        with self._lock:
            for key, value in batch:
                self._set(key, value)
            self.unsynced.append(list(batch))
            if sync:
                for group in self.unsynced:
                    _apply(self.durable_rows, group)
                self.unsynced.clear()

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self._rows:
                insort(self._keys, key)
            self._rows[key] = value
        elif key in self._rows:
            del self._rows[key]
            del self._keys[bisect_left(self._keys, key)]

    def after_power_loss(self, surviving: int = 0) -> MemoryKv:
        """A new store with what was synced and the first *surviving* batches that were not."""
        rows = dict(self.durable_rows)
        for group in self.unsynced[:surviving]:
            _apply(rows, group)
        return MemoryKv(rows)

    def close(self) -> None:
        """See `KeyValue.close`; the rows stay, so that a test can open them again."""


class MemoryView:
    """A copy of the rows of a `MemoryKv`."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self._copy: MemoryKv | None = MemoryKv(rows)

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValueReader.get`."""
        return self._open_copy().get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValueReader.scan`."""
        for row in self._open_copy().scan(first, end):
            self._open_copy()
            yield row

    def close(self) -> None:
        """See `KeyValueView.close`."""
        self._copy = None

    def _open_copy(self) -> MemoryKv:
        if self._copy is None:
            raise StorageError("a view of the store was used after it was closed")
        return self._copy


def _apply(rows: dict[bytes, bytes], batch: Batch) -> None:
    for key, value in batch:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value

"""The ordered key-value store that a master's durable state lies in: what any implementation keeps.

Promises of every implementation (tests/conformance/kv.py):
- `write` is atomic: after a crash all of a batch is there or none of it, and batches survive as a
  prefix of the order in which they were written.
- With `sync` it returns only when the batch, and every batch before it, is on stable storage.
- `scan` sees one moment: writes made after its first row do not appear in it.
- A `view` sees one moment, for as long as it is open.
- Safe to call from several threads; the caller keeps writes in order.
- Damage is an error, never an absent key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

Batch = Sequence[tuple[bytes, bytes | None]]
"""(key, value) in the order of effect; a value of None deletes the key."""


class KeyValueReader(Protocol):
    """What a store and a view of it have in common."""

    def get(self, key: bytes) -> bytes | None:
        """The value at *key*, None when there is none.

        Raises:
            CorruptionError, StorageError: the store cannot tell.
        """
        ...

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows with first <= key < end, ascending by key bytes.

        Raises:
            CorruptionError, StorageError: while iterating, when a row cannot be read.
        """
        ...


class KeyValueView(KeyValueReader, Protocol):
    """The store as it was when `view` was called; used by one thread at a time."""

    def close(self) -> None:
        """Give it back: it holds on to disk space. May be called twice; reads fail afterwards."""
        ...


class KeyValue(KeyValueReader, Protocol):
    """See the module."""

    def view(self) -> KeyValueView:
        """The store as it is now; later writes do not appear in it, nor does it delay them.

        Raises:
            StorageError: the store is closed.
        """
        ...

    def write(self, batch: Batch, sync: bool) -> None:
        """Apply *batch*, see the module.

        Raises:
            DiskFull, StorageError: what is on disk is unknown; the caller must stop writing.
        """
        ...

    def close(self) -> None:
        """Release the store; may be called twice. Nothing else may be called afterwards.

        While views are open the store stays locked; the last one's `close` releases it.
        """
        ...

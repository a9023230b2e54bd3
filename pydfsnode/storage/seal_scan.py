"""Looks which key epochs the rows of a store are sealed with, and seals old ones anew, bit by bit.

A walk sees one moment (a view) and reads only the four bytes that name the epoch. What it finds old
is sealed anew by the storage thread, which looks again: rows may have been written since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydfsnode import limits
from pydfsnode.storage.kv import KeyValueView
from pydfsnode.storage.sealed import SealedStore, epoch_of

SLICE_ROWS, SLICE_BYTES = 2_000, limits.MIB
_END = b"\xff"


class SealScan:
    """One walk over all rows; `close` it. Used by one thread at a time.

    `epochs` counts the rows by epoch. `stale` are (key on disk, size) of the rows of the last slice
    that are not sealed with *epoch*.
    """

    def __init__(self, store: SealedStore, epoch: int) -> None:
        """
        Args:
            epoch: what rows should be sealed with.

        Raises:
            StorageError: the store is closed.
        """
        self.epochs: Counter[int] = Counter()
        self.stale: list[tuple[bytes, int]] = []
        self.rows_seen = 0
        self._epoch = epoch
        self._reads = store.reads
        self.number = self._reads.begin()
        """Every read that began before it may need what this walk does not find any more."""
        try:
            self._view: KeyValueView = store.kv.view()
        except BaseException:
            self._reads.end(self.number)
            raise
        self._rows: Iterator[tuple[bytes, bytes]] = self._view.scan(b"", _END)

    def step(self) -> bool:
        """Look at the next slice; False at the end.

        Raises:
            CorruptionError, StorageError: a row cannot be read.
        """
        self.stale, size = [], 0
        for count, (disk_key, sealed) in enumerate(self._rows, 1):
            epoch = epoch_of(sealed)
            self.epochs[epoch] += 1
            self.rows_seen += 1
            if epoch != self._epoch:
                self.stale.append((disk_key, len(sealed)))
            size += len(sealed)
            if count >= SLICE_ROWS or size >= SLICE_BYTES:
                return True
        return False

    def close(self) -> None:
        """Give the view back; may be called twice."""
        self._rows = iter(())  # before the view that it reads
        self._view.close()
        self._reads.end(self.number)

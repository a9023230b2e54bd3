"""How much of small chunks is in memory until they are packed (INV-BOUND)."""

from __future__ import annotations

import threading

from pydfsnode.limits import MIB

HELD_BYTES_MAX = 64 * MIB
"""Of all chunks together."""


class HeldBytes:
    """How much small chunks may hold in memory, each and all of them together. Thread-safe."""

    def __init__(self, chunk_bytes_max: int, total_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._chunk_bytes_max = chunk_bytes_max
        self._left = total_bytes_max
        self._lock = threading.Lock()

    def fits(self, size: int, chunk_bytes: int) -> bool:
        """Whether there is room for *size* more bytes of a chunk that has *chunk_bytes* then."""
        return size <= self._left and chunk_bytes <= self._chunk_bytes_max

    def take(self, size: int, chunk_bytes: int) -> bool:
        """Set *size* more bytes aside, as `fits`; False: no room."""
        with self._lock:
            if not self.fits(size, chunk_bytes):
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """*size* bytes are not held any more."""
        with self._lock:
            self._left += size

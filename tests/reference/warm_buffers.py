"""Buffers of a packet's size that are used again: counts what may wait for its next use."""

from __future__ import annotations

PAGE_BYTES = 4096
BLOCK_DATA_BYTES = 1 << 20
KEPT_MAX = 32


class Pool:
    """How many blocks wait, after buffers were taken and let go of."""

    def __init__(self, kept: int) -> None:
        self.kept = kept

    def take(self, size: int, lead: int = 0) -> bool:
        """Whether a buffer of *size* bytes with a page after *lead* can be had; one is taken."""
        if not 0 <= lead <= PAGE_BYTES or not lead <= size <= lead + BLOCK_DATA_BYTES:
            return False
        self.kept = max(0, self.kept - 1)
        return True

    def let_go(self) -> None:
        """The last view of a buffer is gone."""
        self.kept = min(KEPT_MAX, self.kept + 1)

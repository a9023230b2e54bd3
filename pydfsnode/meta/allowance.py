"""How much of what was deleted one operation may drop."""

from __future__ import annotations

CHUNKS_RELEASED_MAX = 4096
"""Chunks that one operation drops with deleted files and snapshots: a few milliseconds."""


class Allowance:
    """What is left of it: so many `inodes` (or past things of snapshots), so many `chunks`."""

    __slots__ = ("chunks", "inodes")

    def __init__(self, inodes: int) -> None:
        self.inodes = inodes
        self.chunks = CHUNKS_RELEASED_MAX

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more may be dropped."""
        return self.inodes <= 0 or self.chunks <= 0

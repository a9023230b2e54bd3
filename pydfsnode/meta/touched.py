"""Which inodes and pages changed: since the rows were drained, and since the last digest."""

from __future__ import annotations

from pydfsnode._fast import INODES_PER_BLOCK


class Touched:
    """Blocks and pages for the state table, inodes for the digest; in the order of the changes."""

    __slots__ = ("blocks", "inodes", "pages", "pages_in_interval")

    def __init__(self) -> None:
        self.blocks: dict[int, None] = {}
        self.pages: dict[tuple[int, int], None] = {}
        self.inodes: dict[int, None] = {}
        self.pages_in_interval: dict[tuple[int, int], None] = {}

    def inode(self, inode_id: int) -> None:
        """*inode_id* was made, changed or dropped."""
        self.blocks[inode_id // INODES_PER_BLOCK] = None
        self.inodes[inode_id] = None

    def page(self, inode_id: int, page: int) -> None:
        """The full page *page* of a file's chunks was made or dropped."""
        self.pages[inode_id, page] = None
        self.pages_in_interval[inode_id, page] = None

    def clear(self) -> None:
        """Nothing has changed."""
        self.blocks.clear()
        self.pages.clear()
        self.inodes.clear()
        self.pages_in_interval.clear()

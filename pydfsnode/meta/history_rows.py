"""Rows of snapshots: each snapshot, and what was changed or removed since and one of them sees.

A snapshot's `seq` is its number among all ever made. What was linked or changed while `born` (or
`since`) snapshots existed, and stopped being so while there were `died` (or `until`), is seen by
those in between: born < seq <= died.
"""

from __future__ import annotations

import msgspec

from pydfsnode.meta.inodes import Extras, Natural

TABLE_SNAPSHOT = 23
"""By seq."""
TABLE_PAST_ENTRY = 24
"""By a number of its own, out of one counter for both."""
TABLE_PAST_INODE = 25

ChunkRow = tuple[Natural, Natural, Natural, Natural]
"""Chunk id, version, length, crc32c."""


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A snapshot of a directory; the totals are what `Summary` tells, as they were."""

    directory_id: Natural
    name: str
    created_ms: Natural
    directories: Natural
    files: Natural
    bytes: Natural
    space: Natural


class PastEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A name that was taken out of a directory. `newest`: the newest snapshot that sees it."""

    newest: Natural
    parent_id: Natural
    name: str
    inode_id: Natural
    born: Natural
    died: Natural

    def is_seen_by(self, seq: int) -> bool:
        """Whether the snapshot *seq* sees it, if it sees the directory."""
        return self.born < seq <= self.died


class PastInode(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file or directory as it was. `newest`: the newest snapshot that sees it.

    Of `flags` only those that a reader asks for are kept. A file that was being written has the
    chunks that were finished.
    """

    newest: Natural
    inode_id: Natural
    since: Natural
    until: Natural
    is_directory: bool
    mode: Natural
    owner: str
    group: str
    mtime_ms: Natural
    atime_ms: Natural
    ctime_ms: Natural
    flags: Natural
    extras: Extras | None
    child_count: Natural = 0
    replication: Natural = 0
    chunk_bytes: Natural = 0
    crc32c: Natural = 0
    chunks: tuple[ChunkRow, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(length for _, _, length, _ in self.chunks)


Past = PastEntry | PastInode

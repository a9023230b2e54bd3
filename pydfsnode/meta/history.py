"""Snapshots of directories: what they still see of entries and inodes that changed since.

A snapshot is one row. From then on, before an entry is taken out of a directory, or an inode
changes for the first time, it is asked whether a snapshot sees it; then the old entry or the old
state of the inode is kept as a row of its own. What is deleted is kept in the same way, so that
the table of inodes holds only what is there now or waits to be reclaimed.

Every past thing knows the newest snapshot that sees it. When that one is deleted, the past thing is
given to the next one that sees it or is dropped: `purge`, bit by bit. A snapshot made later never
sees a past thing, so that this is all there is to watch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from pydfsnode.errors import InvalidArgument, invariant
from pydfsnode.meta.allowance import Allowance
from pydfsnode.meta.history_index import HistoryIndex
from pydfsnode.meta.history_rows import (
    TABLE_PAST_ENTRY,
    TABLE_PAST_INODE,
    TABLE_SNAPSHOT,
    PastEntry,
    PastInode,
    Snapshot,
)
from pydfsnode.meta.inodes import HAS_ACL, HAS_EXTRAS, HAS_SNAPSHOTS, INLINE, IS_INLINE
from pydfsnode.meta.results import WantedChunk
from pydfsnode.meta.tables import KEY, AnyTable, broken

if TYPE_CHECKING:
    from pydfsnode._fast import Inode
    from pydfsnode.meta.tree import Tree

TABLES = (TABLE_SNAPSHOT, TABLE_PAST_ENTRY, TABLE_PAST_INODE)
"""Numbers of the tables below."""
PURGED_AT_ONCE_MAX = 256
"""Past things that the deletion of a snapshot looks at itself; `purge` does the rest."""
_FLAGS_KEPT = HAS_ACL | IS_INLINE


class History:
    """See the module. `sequence` counts the snapshots ever made; 0: there was none."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.index = HistoryIndex()
        self.sequence = 0
        self.next_past_id = 1

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """The tables of its rows."""
        return self.index.tables

    # ---- snapshots

    def create(self, directory: Inode, name: str) -> None:
        """Make the snapshot *name* of *directory*, which has none of that name."""
        tree = self._tree
        self.sequence += 1
        snapshot = Snapshot(
            directory.inode_id, name, tree.clock_ms, 1 + directory.directories_below,
            directory.files_below, directory.bytes_below, directory.space_below,
        )  # fmt: skip
        self.index.add_snapshot(self.sequence, snapshot)
        directory.flags |= HAS_SNAPSHOTS
        tree.touched.inode(directory.inode_id)

    def delete(self, directory: Inode, seq: int) -> None:
        """Delete a snapshot of *directory*; what is left to do for it `purge` does."""
        self.index.drop_snapshot(seq)
        if directory.inode_id not in self.index.of_directory:
            directory.flags &= ~HAS_SNAPSHOTS
            self._tree.touched.inode(directory.inode_id)
        self.purge(Allowance(PURGED_AT_ONCE_MAX))

    def rename(self, seq: int, name: str) -> None:
        """Give a snapshot another *name*, which is free in its directory."""
        snapshots = self.index.snapshots
        snapshots.put(seq, msgspec.structs.replace(snapshots.rows[seq], name=name))

    def find(self, directory: Inode, name: str) -> int:
        """The seq of the snapshot *name* of *directory*; 0: there is none."""
        rows = self.index.snapshots.rows
        for seq in self.index.of_directory.get(directory.inode_id, ()):
            if rows[seq].name == name:
                return seq
        return 0

    def require_deletable(self, inode: Inode) -> None:
        """Raise InvalidArgument when *inode* or a directory in it has snapshots."""
        directory_ids: Iterable[int] = self.index.of_directory
        if not inode.directories_below:
            directory_ids = (inode.inode_id,) if inode.inode_id in self.index.of_directory else ()
        table = self._tree.table
        for directory_id in directory_ids:
            directory = table.get(directory_id)
            assert directory is not None
            if table.is_within(directory, inode):
                path = table.path(directory)
                raise InvalidArgument(f"{path!r} has snapshots: delete those first", path=path)

    # ---- before a change

    def leaving(self, parent: Inode, inode: Inode) -> None:
        """*inode* is about to lose its entry in *parent*."""
        newest = self.newest(parent.inode_id, inode.born, self.sequence)
        if newest:
            entry = PastEntry(
                newest, parent.inode_id, inode.name, inode.inode_id, inode.born, self.sequence
            )
            self.index.put_entry(self._new_id(), entry)

    def changing(self, inode: Inode) -> None:
        """An attribute or the content of *inode* is about to change."""
        live = self.index.live
        if not live or live[-1] <= inode.changed:
            return
        newest = self.newest(inode.inode_id, inode.changed, self.sequence)
        if newest:
            self.index.put_inode(self._new_id(), self._as_it_is(inode, newest))
        inode.changed = self.sequence

    def discarded(self, inode: Inode) -> None:
        """*inode* is about to be dropped for good; what it holds is still there."""
        invariant(
            inode.inode_id not in self.index.of_directory,
            f"directory {inode.inode_id} is dropped and has snapshots",
        )
        self.changing(inode)

    def _new_id(self) -> int:
        past_id = self.next_past_id
        self.next_past_id = past_id + 1
        return past_id

    def _as_it_is(self, inode: Inode, newest: int) -> PastInode:
        tree, is_file = self._tree, inode.is_file
        extras = tree.extras.get(inode.inode_id) if inode.flags & HAS_EXTRAS else None
        return PastInode(
            newest, inode.inode_id, inode.changed, self.sequence, not is_file, inode.mode,
            inode.owner, inode.group, inode.mtime_ms, inode.atime_ms, inode.ctime_ms,
            inode.flags & _FLAGS_KEPT, extras, inode.child_count, inode.replication,
            inode.chunk_bytes, inode.crc32c, tuple(tree.table.chunks(inode)) if is_file else (),
        )  # fmt: skip

    # ---- who sees what

    def newest(self, inode_id: int, since: int, until: int) -> int:
        """The newest snapshot with since < seq <= until that sees the inode; 0: none.

        It follows the names under which the inode lay up to the directories that have snapshots.
        For every snapshot there was one such way at most.
        """
        index, get = self.index, self._tree.table.get
        best, waiting = 0, [(inode_id, since, until)]
        while waiting:
            inode_id, since, until = waiting.pop()
            since = max(since, best)
            if not _last(index.live, since, until):
                continue
            own = index.of_directory.get(inode_id)
            if own is not None:
                best = max(best, _last(own, since, until))
                since = max(since, best)
            for entry in index.links(inode_id):
                waiting.append((entry.parent_id, max(since, entry.born), min(until, entry.died)))
            inode = get(inode_id)
            if inode is not None and inode.parent_id not in (0, inode_id):
                waiting.append((inode.parent_id, max(since, inode.born), until))
        return best

    # ---- after a deletion

    @property
    def is_purging(self) -> bool:
        """Whether a deleted snapshot leaves something to do for `purge`."""
        return bool(self.index.orphans)

    def purge(self, allowance: Allowance) -> None:
        """Look at past things of deleted snapshots, as far as *allowance* reaches."""
        index = self.index
        while index.orphans and not allowance.is_used_up:
            past_id = index.next_orphan()
            entry = index.entries.get(past_id)
            if entry is not None:
                self._purge_entry(past_id, entry)
            elif not self._purge_inode(past_id, index.inodes.rows[past_id], allowance):
                break
            allowance.inodes -= 1

    def _purge_entry(self, past_id: int, entry: PastEntry) -> None:
        newest = self.newest(entry.parent_id, entry.born, entry.died)
        if newest:
            self.index.put_entry(past_id, msgspec.structs.replace(entry, newest=newest))
        else:
            self.index.drop_entry(past_id)

    def _purge_inode(self, past_id: int, inode: PastInode, allowance: Allowance) -> bool:
        """Whether that is done; else some of its chunks are left for the next time."""
        newest = self.newest(inode.inode_id, inode.since, inode.until)
        if newest:
            self.index.put_inode(past_id, msgspec.structs.replace(inode, newest=newest))
            return True
        left = max(0, len(inode.chunks) - allowance.chunks)
        allowance.chunks -= len(inode.chunks) - left
        if left:
            self.index.shorten_inode(past_id, left)
        else:
            self.index.drop_inode(past_id)
        tree = self._tree
        if not left and tree.table.get(inode.inode_id) is None:
            tree.forget_key(inode.inode_id)
        for chunk_id, version, length, _ in inode.chunks[left:]:
            if tree.replication_of(chunk_id) < inode.replication:
                tree.release_chunk(chunk_id, version, length)
        return not left

    # ---- chunks

    def keeps_any(self, chunk_ids: list[int]) -> bool:
        """Whether a snapshot needs one of the chunks."""
        return self.index.holds_any(chunk_ids)

    def keeps_chunk(self, chunk_id: int) -> bool:
        """Whether a snapshot needs the chunk."""
        return self.index.holds(chunk_id)

    def replication_of(self, chunk_id: int) -> int:
        """How many replicas snapshots want of the chunk; 0: they do not need it."""
        return self.index.replication_of(chunk_id)

    def wanted_chunks(self) -> Iterator[WantedChunk]:
        """Chunks on chunkservers that only snapshots need."""
        index, table = self.index, self._tree.table
        for past_id, inode in index.inodes.rows.items():
            for chunk_id, version, length, _ in inode.chunks:
                if (
                    version != INLINE
                    and index.first_holder(chunk_id) == past_id
                    and not table.holder_of(chunk_id)
                ):
                    replication = index.replication_of(chunk_id)
                    yield WantedChunk(chunk_id, version, length, replication)

    # ---- loading

    def finish_load(self) -> None:
        """The rows are loaded. Raises CorruptionError when they do not fit."""
        index, table = self.index, self._tree.table
        for seq, snapshot in index.snapshots.rows.items():
            directory = table.get(snapshot.directory_id)
            if directory is None or not directory.flags & HAS_SNAPSHOTS or seq > self.sequence:
                raise broken(TABLE_SNAPSHOT, KEY.pack(seq), "belongs to no directory that has it")
        for past in (index.entries, index.inodes):
            for past_id in past.rows:
                if past_id >= self.next_past_id:
                    raise broken(past.number, KEY.pack(past_id), "has an id never given out")
        for past_id, inode in index.inodes.rows.items():
            if any(chunk[0] >= self._tree.next_chunk_id for chunk in inode.chunks):
                raise broken(TABLE_PAST_INODE, KEY.pack(past_id), "holds a chunk never given out")
        index.derive()


def _last(seqs: list[int], since: int, until: int) -> int:
    """The last of *seqs* with since < seq <= until; 0: none."""
    place = bisect_right(seqs, until)
    return seqs[place - 1] if place and seqs[place - 1] > since else 0

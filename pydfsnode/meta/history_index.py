"""The rows of snapshots with what is derived from them, to find them by what one asks for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import msgspec

from pydfsnode.meta.history_rows import (
    TABLE_PAST_ENTRY,
    TABLE_PAST_INODE,
    TABLE_SNAPSHOT,
    PastEntry,
    PastInode,
    Snapshot,
)
from pydfsnode.meta.sorted_blocks import SortedBlocks
from pydfsnode.meta.tables import AnyTable, Table

Ids = dict[int, int | tuple[int, ...]]
"""Ids of past things by key; one alone, as it mostly is, takes no tuple."""


class HistoryIndex:
    """Change it by its methods only; then all of it is what `derive` makes of the rows.

    `live` are the seqs of all snapshots and `of_directory` those of each directory, ascending.
    `orphans` are the ids of past things whose newest snapshot was deleted, by its seq: each
    waits to be given to the next snapshot that sees it, or to be dropped.
    """

    def __init__(self) -> None:
        self.snapshots: Table[Snapshot] = Table(TABLE_SNAPSHOT, Snapshot)
        self.entries: Table[PastEntry] = Table(TABLE_PAST_ENTRY, PastEntry)
        self.inodes: Table[PastInode] = Table(TABLE_PAST_INODE, PastInode)
        self.live: list[int] = []
        self.of_directory: dict[int, list[int]] = {}
        self.orphans: dict[int, SortedBlocks[int]] = {}
        self._seen_by: dict[int, SortedBlocks[int]] = {}
        self._links: Ids = {}
        self._versions: Ids = {}
        self._holders: Ids = {}
        self._names: dict[int, SortedBlocks[tuple[str, int]]] = {}

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Those of the rows."""
        return (self.snapshots, self.entries, self.inodes)

    def derive(self) -> None:
        """The rows were loaded."""
        for seq in sorted(self.snapshots.rows):
            self._note_snapshot(seq, self.snapshots.rows[seq])
        names: dict[int, list[tuple[str, int]]] = {}
        for past_id in sorted(self.entries.rows.keys() | self.inodes.rows.keys()):
            entry = self.entries.get(past_id)
            if entry is not None:
                self._note_entry(past_id, entry)
                names.setdefault(entry.parent_id, []).append((entry.name, past_id))
            else:
                self._note_inode(past_id, self.inodes.rows[past_id])
        self._names = {parent_id: SortedBlocks(named) for parent_id, named in names.items()}
        for seq in self._seen_by.keys() - self.snapshots.rows.keys():
            self._orphan(seq)

    # ---- snapshots

    def add_snapshot(self, seq: int, snapshot: Snapshot) -> None:
        """*seq* is larger than that of any other."""
        self.snapshots.put(seq, snapshot)
        self._note_snapshot(seq, snapshot)

    def _note_snapshot(self, seq: int, snapshot: Snapshot) -> None:
        self.live.append(seq)
        self.of_directory.setdefault(snapshot.directory_id, []).append(seq)

    def drop_snapshot(self, seq: int) -> None:
        """What it sees and no newer one becomes an orphan."""
        directory_id = self.snapshots.rows[seq].directory_id
        self.snapshots.drop(seq)
        self.live.remove(seq)
        seqs = self.of_directory[directory_id]
        seqs.remove(seq)
        if not seqs:
            del self.of_directory[directory_id]
        self._orphan(seq)

    def _orphan(self, seq: int) -> None:
        past_ids = self._seen_by.pop(seq, None)
        if past_ids:
            self.orphans[seq] = past_ids

    def next_orphan(self) -> int:
        """Take the first orphan out of `orphans`; there must be one."""
        seq = min(self.orphans)
        past_id = self.orphans[seq].pop_first()
        if not self.orphans[seq]:
            del self.orphans[seq]
        return past_id

    # ---- past entries

    def put_entry(self, past_id: int, entry: PastEntry) -> None:
        """A new one, or one that only another snapshot is the newest of now."""
        known = past_id in self.entries.rows
        self.entries.put(past_id, entry)
        if known:
            self._note_newest(past_id, entry.newest)
            return
        self._note_entry(past_id, entry)
        self._names.setdefault(entry.parent_id, SortedBlocks()).add((entry.name, past_id))

    def _note_entry(self, past_id: int, entry: PastEntry) -> None:
        self._note_newest(past_id, entry.newest)
        _add(self._links, entry.inode_id, past_id)

    def _note_newest(self, past_id: int, newest: int) -> None:
        self._seen_by.setdefault(newest, SortedBlocks()).add(past_id)

    def drop_entry(self, past_id: int) -> None:
        """No snapshot sees it."""
        entry = self.entries.rows[past_id]
        self.entries.drop(past_id)
        _remove(self._links, entry.inode_id, past_id)
        names = self._names[entry.parent_id]
        names.remove((entry.name, past_id))
        if not names:
            del self._names[entry.parent_id]

    def links(self, inode_id: int) -> Iterator[PastEntry]:
        """The past entries that named the inode, oldest first."""
        rows = self.entries.rows
        return (rows[past_id] for past_id in _get(self._links, inode_id))

    def entries_after(self, parent_id: int, name: str) -> Iterator[PastEntry]:
        """The past entries of a directory, in order, from behind *name*."""
        return self._entries_from(parent_id, (name, _PAST_ID_MAX))

    def entry_at(self, parent_id: int, name: str, seq: int) -> PastEntry | None:
        """The past entry that *seq* saw under *name*."""
        for entry in self._entries_from(parent_id, (name, 0)):
            if entry.name != name:
                break
            if entry.is_seen_by(seq):
                return entry
        return None

    def _entries_from(self, parent_id: int, start: tuple[str, int]) -> Iterator[PastEntry]:
        names, rows = self._names.get(parent_id), self.entries.rows
        if names is None:
            return
        for _, past_id in names.since(start):
            yield rows[past_id]

    # ---- past inodes

    def put_inode(self, past_id: int, inode: PastInode) -> None:
        """A new one, or one that only another snapshot is the newest of now."""
        known = past_id in self.inodes.rows
        self.inodes.put(past_id, inode)
        if known:
            self._note_newest(past_id, inode.newest)
        else:
            self._note_inode(past_id, inode)

    def _note_inode(self, past_id: int, inode: PastInode) -> None:
        self._note_newest(past_id, inode.newest)
        _add(self._versions, inode.inode_id, past_id)
        chunk_ids = [chunk[0] for chunk in inode.chunks]
        if not self.holds_any(chunk_ids):
            self._holders.update(dict.fromkeys(chunk_ids, past_id))
            return
        for chunk_id in chunk_ids:
            _add(self._holders, chunk_id, past_id)

    def shorten_inode(self, past_id: int, chunk_count: int) -> None:
        """Of an orphan that no snapshot sees: keep only the first *chunk_count* chunks."""
        inode = self.inodes.rows[past_id]
        for chunk in inode.chunks[chunk_count:]:
            _remove(self._holders, chunk[0], past_id)
        kept = msgspec.structs.replace(inode, chunks=inode.chunks[:chunk_count])
        self.inodes.put(past_id, kept)
        self.orphans.setdefault(inode.newest, SortedBlocks()).add(past_id)

    def drop_inode(self, past_id: int) -> None:
        """No snapshot sees it."""
        inode = self.inodes.rows[past_id]
        self.inodes.drop(past_id)
        _remove(self._versions, inode.inode_id, past_id)
        for chunk in inode.chunks:
            _remove(self._holders, chunk[0], past_id)

    def version_at(self, inode_id: int, seq: int) -> PastInode | None:
        """The inode as *seq* saw it, None when it has not changed since or does not know."""
        past_ids, rows = _get(self._versions, inode_id), self.inodes.rows
        place = bisect_left(past_ids, seq, key=lambda past_id: rows[past_id].until)
        if place == len(past_ids):
            return None
        found = rows[past_ids[place]]
        return found if found.since < seq else None

    def replication_of(self, chunk_id: int) -> int:
        """The most replicas that a past file wants of a chunk; 0: none holds it."""
        rows, past_ids = self.inodes.rows, _get(self._holders, chunk_id)
        return max((rows[past_id].replication for past_id in past_ids), default=0)

    def holds_any(self, chunk_ids: list[int]) -> bool:
        """Whether a past file has one of the chunks."""
        return not self._holders.keys().isdisjoint(chunk_ids)

    def holds(self, chunk_id: int) -> bool:
        """Whether a past file has the chunk."""
        return chunk_id in self._holders

    def sees(self, inode_id: int) -> bool:
        """Whether a snapshot sees the inode as it was once, or waits to be purged."""
        return inode_id in self._versions

    def past_inode_of(self, chunk_id: int) -> int:
        """The id of the inode that had the chunk; 0: none that a snapshot sees."""
        past_ids = _get(self._holders, chunk_id)
        return self.inodes.rows[past_ids[0]].inode_id if past_ids else 0

    def first_holder(self, chunk_id: int) -> int:
        """The id of the first of the past files that hold a chunk."""
        return _get(self._holders, chunk_id)[0]


_PAST_ID_MAX = 2**64


def _get(found: Ids, key: int) -> tuple[int, ...]:
    past_ids = found.get(key)
    if past_ids is None:
        return ()
    return (past_ids,) if isinstance(past_ids, int) else past_ids


def _add(found: Ids, key: int, past_id: int) -> None:
    known = _get(found, key)
    found[key] = (*known, past_id) if known else past_id


def _remove(found: Ids, key: int, past_id: int) -> None:
    left = tuple(known for known in _get(found, key) if known != past_id)
    if left:
        found[key] = left[0] if len(left) == 1 else left
    else:
        del found[key]

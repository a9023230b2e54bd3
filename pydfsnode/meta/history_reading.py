"""The tree as a snapshot saw it: what is there still, and what was kept of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from pydfsnode._fast import Inode
from pydfsnode.errors import InvariantViolation
from pydfsnode.meta.history_rows import ChunkRow, PastInode
from pydfsnode.meta.inodes import HAS_ACL, IS_INLINE, Extras
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

Seen = Inode | PastInode
_PAGE = 256


class SeenTree:
    """The directories that snapshot *seq* saw; one past the last seq: all that is there now."""

    def __init__(self, tree: Tree, seq: int) -> None:
        self.seq = seq
        self._tree = tree
        self._index = tree.history.index

    def inode(self, inode_id: int) -> Seen:
        """The inode, which the snapshot saw, as it was."""
        past = self._index.version_at(inode_id, self.seq)
        if past is not None:
            return past
        inode = self._tree.table.get(inode_id)
        if inode is None or inode.changed >= self.seq:
            raise InvariantViolation(f"snapshot {self.seq} lacks inode {inode_id}")
        return inode

    def child(self, directory_id: int, name: str) -> int:
        """The id of the inode under *name* in a directory that the snapshot saw; 0: none."""
        table = self._tree.table
        directory = table.get(directory_id)
        inode = None if directory is None else table.child(directory, name)
        if inode is not None and inode.born < self.seq:
            return inode.inode_id
        entry = self._index.entry_at(directory_id, name, self.seq)
        return 0 if entry is None else entry.inode_id

    def entries(self, directory_id: int, after: str = "") -> Iterator[tuple[str, int]]:
        """(name, inode id) of the entries behind *after*, in order."""
        return (entry for entry in self.scanned(directory_id, after) if entry[1])

    def scanned(self, directory_id: int, after: str = "") -> Iterator[tuple[str, int]]:
        """As `entries`, and also each name that the snapshot did not see, with id 0."""
        last, seen = "", 0
        for name, inode_id in merge(
            self._present(directory_id, after), self._past(directory_id, after)
        ):
            if name != last and last:
                yield last, seen
                seen = 0
            last, seen = name, seen or inode_id
        if last:
            yield last, seen

    def made_since(self, seq: int, directory_id: int) -> Iterator[tuple[str, int]]:
        """(name, inode id) of the entries that the snapshot *seq*, an older one, did not see."""
        for name, inode_id in self._present(directory_id, "", seq):
            if inode_id:
                yield name, inode_id
        for entry in self._index.entries_after(directory_id, ""):
            if entry.born >= seq and entry.is_seen_by(self.seq):
                yield entry.name, entry.inode_id

    def _past(self, directory_id: int, after: str) -> Iterator[tuple[str, int]]:
        for entry in self._index.entries_after(directory_id, after):
            yield entry.name, entry.inode_id if entry.is_seen_by(self.seq) else 0

    def _present(
        self, directory_id: int, after: str, born_from: int = 0
    ) -> Iterator[tuple[str, int]]:
        table = self._tree.table
        directory = table.get(directory_id)
        while directory is not None and (page := table.page(directory, after, _PAGE)):
            for inode in page:
                yield inode.name, inode.inode_id if born_from <= inode.born < self.seq else 0
            after = page[-1].name

    def place(self, inode_id: int) -> tuple[int, str] | None:
        """The directory and the name under which an inode lay; None: nowhere."""
        for entry in self._index.links(inode_id):
            if entry.is_seen_by(self.seq):
                return entry.parent_id, entry.name
        inode = self._tree.table.get(inode_id)
        if inode is None or inode.parent_id in (0, inode_id) or inode.born >= self.seq:
            return None
        return inode.parent_id, inode.name

    def names_from(self, top_id: int, inode_id: int) -> list[str] | None:
        """The names on the way from the directory *top_id*; None: it was not below it."""
        names: list[str] = []
        while inode_id != top_id:
            place = self.place(inode_id)
            if place is None:
                return None
            inode_id, name = place
            names.append(name)
        names.reverse()
        return names

    # ---- what an inode had

    def chunks(self, inode: Seen) -> tuple[ChunkRow, ...]:
        """The finished chunks of a file."""
        if isinstance(inode, PastInode):
            return inode.chunks
        return tuple(self._tree.table.chunks(inode))

    def extras(self, inode: Seen) -> Extras | None:
        """Attributes and ACLs."""
        if isinstance(inode, PastInode):
            return inode.extras
        return self._tree.extras.get(inode.inode_id)

    def acl_of(self, inode: Seen) -> tuple[str, ...]:
        """The access ACL, () when there was none."""
        extras = self.extras(inode) if inode.flags & HAS_ACL else None
        return () if extras is None else extras.acl

    def view(self, inode: Seen, path: str) -> FileView:
        """What to tell about it; nobody writes it there, and its checksum is of what it had."""
        return FileView(
            path, "directory" if inode.is_directory else "file", inode.size, inode.replication,
            inode.owner, inode.group, inode.mode, inode.mtime_ms, inode.ctime_ms, inode.inode_id,
            inode.chunk_bytes, False, inode.child_count,
            "" if inode.is_directory else f"crc32c:{inode.crc32c:08x}", inode.atime_ms,
            bool(inode.flags & HAS_ACL), bool(inode.flags & IS_INLINE),
        )  # fmt: skip

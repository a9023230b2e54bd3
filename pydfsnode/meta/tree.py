"""The inodes and chunks in memory, and the few ways to change them that keep all parts consistent.

Operations check first and change afterwards, through the methods here only; each method notes what
it touched, for the state table, the table of replicas and the counters.
"""

from __future__ import annotations

from sys import intern
from typing import cast

from pydfsnode._fast import crc32c_combine
from pydfsnode.errors import NotADirectory, NotFound, invariant
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import OPEN_TO_NOBODY, AnyInode, Chunk, Directory, File
from pydfsnode.meta.results import FileView, WantedChunk
from pydfsnode.meta.sorted_names import SortedNames

ROOT_OWNER, ROOT_GROUP, ROOT_MODE = "root", "supergroup", 0o755
_SORTED_KEPT_FROM = 256
"""Smaller directories are sorted again for each page; larger ones keep their order once listed."""


class Tree:
    """All inodes by id, the entries of each directory by name, all chunks by id.

    `clock_ms` is the largest time stamp seen: it never goes back. `freed` and `finished` collect
    until they are drained.
    """

    def __init__(self) -> None:
        root = Directory(
            ROOT_INODE_ID, ROOT_INODE_ID, "", ROOT_MODE, ROOT_OWNER, ROOT_GROUP, 0, 0
        )  # fmt: skip
        self.inodes: dict[int, AnyInode] = {ROOT_INODE_ID: root}
        self.entries: dict[int, dict[str, int]] = {ROOT_INODE_ID: {}}
        self.chunks: dict[int, Chunk] = {}
        self.next_inode_id = ROOT_INODE_ID + 1
        self.next_chunk_id = 1
        self.clock_ms = 0
        self.file_count = 0
        self.freed: list[int] = []
        self.finished: dict[int, WantedChunk] = {}
        self.touched_inodes: dict[int, None] = {ROOT_INODE_ID: None}
        self.touched_chunks: dict[int, None] = {}
        self._sorted: dict[int, SortedNames] = {}

    @property
    def directory_count(self) -> int:
        """Directories, the root included."""
        return len(self.entries)

    # ---- looking

    def walk(self, names: list[str]) -> AnyInode:
        """The inode at the end of *names*.

        Raises:
            NotFound, NotADirectory: naming the part of the path that is missing or a file.
        """
        current: int = ROOT_INODE_ID
        entries = self.entries
        for depth, name in enumerate(names):
            below = entries.get(current)
            if below is None:
                raise not_a_directory(names[:depth])
            found = below.get(name)
            if found is None:
                raise not_found(names[: depth + 1])
            current = found
        return self.inodes[current]

    def walk_directory(self, names: list[str]) -> Directory:
        """The directory at the end of *names*; as `walk`, and NotADirectory for a file."""
        inode = self.walk(names)
        if type(inode) is not Directory:
            raise not_a_directory(names)
        return inode

    def child(self, directory: Directory, name: str) -> AnyInode | None:
        """The entry *name*, None when there is none."""
        inode_id = self.entries[directory.inode_id].get(name)
        return None if inode_id is None else self.inodes[inode_id]

    def file_of(self, chunk: Chunk) -> File:
        """The file that holds *chunk*."""
        file = self.inodes[chunk.inode_id]
        invariant(type(file) is File, f"chunk {chunk.chunk_id} belongs to no file")
        return cast(File, file)

    def path_of(self, inode: AnyInode) -> str:
        """The path from the root."""
        names: list[str] = []
        while inode.inode_id != ROOT_INODE_ID:
            names.append(inode.name)
            inode = self.inodes[inode.parent_id]
        return "/" + "/".join(reversed(names))

    def names_after(self, directory: Directory, name: str, count: int) -> list[str]:
        """Up to *count* names that follow *name*, in byte order."""
        entries = self.entries[directory.inode_id]
        if len(entries) < _SORTED_KEPT_FROM:
            return sorted(entry for entry in entries if entry > name)[:count]
        kept = self._sorted.get(directory.inode_id)
        if kept is None:
            kept = self._sorted[directory.inode_id] = SortedNames(entries)
        return kept.after(name, count)

    def view(self, inode: AnyInode, path: str) -> FileView:
        """What to tell about *inode*, which lies at *path*."""
        if type(inode) is File:
            is_open = inode.holder != OPEN_TO_NOBODY
            return FileView(
                path, "file", inode.size, inode.replication, inode.owner, inode.group, inode.mode,
                inode.mtime_ms, inode.ctime_ms, inode.inode_id, inode.chunk_bytes, is_open, 0,
                "" if is_open else f"crc32c:{inode.crc32c:08x}",
            )  # fmt: skip
        return FileView(
            path, "directory", 0, 0, inode.owner, inode.group, inode.mode, inode.mtime_ms,
            inode.ctime_ms, inode.inode_id, 0, False, len(self.entries[inode.inode_id]), "",
        )  # fmt: skip

    # ---- changing

    def add_directory(self, parent: Directory, name: str, mode: int, owner: str) -> Directory:
        """Make the directory *name* in *parent*, which has no such entry."""
        made = Directory(
            self.next_inode_id, parent.inode_id, name, mode, intern(owner), parent.group,
            self.clock_ms, self.clock_ms,
        )  # fmt: skip
        self.entries[made.inode_id] = {}
        self._add(parent, made)
        return made

    def add_file(
        self, parent: Directory, name: str, mode: int, owner: str, replication: int,
        chunk_bytes: int, holder: int,
    ) -> File:  # fmt: skip
        """Make the empty file *name*, open for *holder*, in *parent*, which has no such entry."""
        made = File(
            self.next_inode_id, parent.inode_id, name, mode, intern(owner), parent.group,
            self.clock_ms, self.clock_ms, replication, chunk_bytes, holder, 0, 0, [],
        )  # fmt: skip
        self.file_count += 1
        self._add(parent, made)
        return made

    def _add(self, parent: Directory, made: AnyInode) -> None:
        inode_id, parent_id = made.inode_id, parent.inode_id
        self.inodes[inode_id] = made
        self.next_inode_id = inode_id + 1
        self.entries[parent_id][made.name] = inode_id
        if parent_id in self._sorted:
            self._sorted[parent_id].add(made.name)
        parent.mtime_ms = parent.ctime_ms = self.clock_ms
        self.touched_inodes[parent_id] = self.touched_inodes[inode_id] = None

    def link(self, parent: Directory, inode: AnyInode) -> None:
        """Enter *inode* under its name into *parent*."""
        inode.parent_id = parent.inode_id
        self.entries[parent.inode_id][inode.name] = inode.inode_id
        if parent.inode_id in self._sorted:
            self._sorted[parent.inode_id].add(inode.name)
        self._modified(parent)
        self.touched_inodes[inode.inode_id] = None

    def unlink(self, inode: AnyInode) -> None:
        """Take the entry of *inode* out of its parent; the inode itself stays."""
        parent = self.inodes[inode.parent_id]
        entries = self.entries[parent.inode_id]
        del entries[inode.name]
        if parent.inode_id in self._sorted:
            self._sorted[parent.inode_id].remove(inode.name)
        self._modified(parent)

    def remove(self, top: AnyInode) -> int:
        """Unlink *top* and drop it with all that is in it; returns how many inodes that were."""
        self.unlink(top)
        removed = 0
        doomed = [top]
        while doomed:
            inode = doomed.pop()
            removed += 1
            del self.inodes[inode.inode_id]
            self.touched_inodes[inode.inode_id] = None
            if type(inode) is File:
                self.file_count -= 1
                for chunk_id in inode.chunks:
                    self._free(chunk_id)
            else:
                self._sorted.pop(inode.inode_id, None)
                below = self.entries.pop(inode.inode_id)
                doomed.extend(self.inodes[inode_id] for inode_id in below.values())
        return removed

    def close(self, file: File) -> None:
        """Nobody writes *file* any more."""
        file.holder = OPEN_TO_NOBODY
        file.mtime_ms = file.ctime_ms = self.clock_ms
        self.touched_inodes[file.inode_id] = None

    def _modified(self, directory: AnyInode) -> None:
        directory.mtime_ms = directory.ctime_ms = self.clock_ms
        self.touched_inodes[directory.inode_id] = None

    # ---- chunks

    def add_chunk(self, file: File, targets: tuple[str, ...]) -> Chunk:
        """Append an open chunk to *file*."""
        chunk = Chunk(self.next_chunk_id, file.inode_id, 1, targets=targets)
        self.next_chunk_id += 1
        self.chunks[chunk.chunk_id] = chunk
        file.chunks.append(chunk.chunk_id)
        self.touched_chunks[chunk.chunk_id] = None
        self.touched_inodes[file.inode_id] = None
        return chunk

    def finish_chunk(self, file: File, version: int, length: int, crc32c: int) -> None:
        """The open last chunk of *file* is complete."""
        chunk = self.chunks[file.chunks[-1]]
        chunk.version, chunk.length, chunk.crc32c, chunk.done = version, length, crc32c, True
        self.finished[chunk.chunk_id] = WantedChunk(
            chunk.chunk_id, version, length, file.replication, chunk.targets
        )
        chunk.targets = ()
        file.crc32c = crc32c_combine(file.crc32c, crc32c, length)
        file.size += length
        self.touched_chunks[chunk.chunk_id] = None
        self.touched_inodes[file.inode_id] = None

    def drop_last_chunk(self, file: File) -> None:
        """Forget the open last chunk of *file*, of which nothing counts."""
        self._free(file.chunks.pop())
        self.touched_inodes[file.inode_id] = None

    def _free(self, chunk_id: int) -> None:
        del self.chunks[chunk_id]
        self.finished.pop(chunk_id, None)
        self.freed.append(chunk_id)
        self.touched_chunks[chunk_id] = None


def _joined(names: list[str]) -> str:
    return "/" + "/".join(names)


def not_found(names: list[str]) -> NotFound:
    """The error for a missing path."""
    return NotFound(f"{paths.shown(_joined(names))} does not exist", path=_joined(names))


def not_a_directory(names: list[str]) -> NotADirectory:
    """The error for a file where a directory is needed."""
    return NotADirectory(
        f"{paths.shown(_joined(names))} is a file, not a directory", path=_joined(names)
    )

"""Questions to snapshots of directories: `/dir/.snapshot/NAME/sub/path`.

On the way to the directory permissions are as they are now; from the directory on they are as they
were when the snapshot was made.
"""

from __future__ import annotations

from typing import NamedTuple

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument, IsADirectory
from pydfsnode.meta import access, paths
from pydfsnode.meta.access import EXECUTE, READ
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.history_reading import Seen, SeenTree
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.looking import RESERVED_NAME, joined, not_a_directory, not_found
from pydfsnode.meta.results import FileView, Listing, LocatedChunk, Summary
from pydfsnode.meta.snapshot_diff import diff
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import Tree

SUMMARY_INODES_MAX = 100_000
"""Of a directory inside a snapshot; the snapshot itself knows its totals."""


__all__ = [
    "Reached", "SnapshotInfo", "attributes_at", "diff", "list_directory", "locate", "resolve",
    "shelf_view", "snapshots", "stat", "summary",
]  # fmt: skip


class SnapshotInfo(NamedTuple):
    """A snapshot, as its directory lists it."""

    name: str
    created_ms: int


class Reached(NamedTuple):
    """What a path inside a snapshot led to."""

    seen: SeenTree
    inode: Seen
    is_top: bool

    def require(self, caller: Caller, wanted: int, path: str) -> None:
        """Raise AccessDenied unless *caller* had the bits *wanted*."""
        if not access.may(self.inode, caller, wanted, self.seen.acl_of(self.inode)):
            raise access.denied(self.inode, caller, wanted, path)


def stat(namespace: Namespace, path: str, caller: Caller) -> FileView:
    """The file or directory as the snapshot saw it; "/dir/.snapshot" is a directory.

    Raises:
        InvalidPath, NotFound, NotADirectory, AccessDenied.
    """
    tree = namespace.tree
    found = resolve(tree, path, caller)
    if isinstance(found, Reached):
        return found.seen.view(found.inode, path)
    return shelf_view(tree, found, path)


def list_directory(
    namespace: Namespace, path: str, caller: Caller, start_after: str, limit: int
) -> Listing:
    """A page of a directory as the snapshot saw it, or of the snapshots, by names.

    Args:
        start_after: the last name of the page before; it need not exist.
        limit: entries, at least 1.

    Raises:
        InvalidPath, NotFound, NotADirectory.
        AccessDenied: read and execute are needed.
    """
    tree = namespace.tree
    found = resolve(tree, path, caller)
    if not isinstance(found, Reached):
        return _list_shelf(tree, found, path, caller, start_after, limit)
    seen, inode, _ = found
    if not inode.is_directory:
        return Listing([] if start_after else [seen.view(inode, path)], False)
    found.require(caller, READ | EXECUTE, path)
    page: list[FileView] = []
    for name, inode_id in seen.entries(inode.inode_id, start_after):
        if len(page) == limit:
            return Listing(page, True)
        page.append(seen.view(seen.inode(inode_id), paths.join(path, name)))
    return Listing(page, False)


def locate(namespace: Namespace, path: str, caller: Caller) -> tuple[FileView, list[LocatedChunk]]:
    """The file and the chunks that it had; of one that was being written the finished ones.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file was there.
        AccessDenied: read is needed.
    """
    found = resolve(namespace.tree, path, caller)
    if not isinstance(found, Reached) or found.inode.is_directory:
        raise IsADirectory(f"{paths.shown(path)} is a directory", path=path)
    found.require(caller, READ, path)
    located: list[LocatedChunk] = []
    offset = 0
    for chunk_id, version, length, crc32c in found.seen.chunks(found.inode):
        located.append(LocatedChunk(chunk_id, version, offset, length, crc32c, True))
        offset += length
    return found.seen.view(found.inode, path), located


def summary(namespace: Namespace, path: str, caller: Caller) -> Summary:
    """What was at *path* and below it, and its quotas; of a whole snapshot at once, else counted.

    Raises:
        InvalidPath, NotFound, NotADirectory.
        InvalidArgument: there is too much to count.
        AccessDenied: read and execute on a directory are needed.
    """
    tree = namespace.tree
    found = resolve(tree, path, caller)
    if not isinstance(found, Reached):
        tree.require(found, caller, READ | EXECUTE, path)
        return Summary(1, 0, 0, 0)
    seen, inode, is_top = found
    if inode.is_directory:
        found.require(caller, READ | EXECUTE, path)
    extras = seen.extras(inode) or Extras()
    if is_top:
        row = tree.history.index.snapshots.rows[seen.seq]
        sums = row.directories, row.files, row.bytes, row.space
    else:
        sums = _count(seen, inode, path)
    return Summary(*sums, extras.names_max, extras.bytes_max)


def _count(seen: SeenTree, top: Seen, path: str) -> tuple[int, int, int, int]:
    directories = files = size = space = 0
    waiting = [top.inode_id]
    while waiting:
        inode = seen.inode(waiting.pop())
        if inode.is_directory:
            directories += 1
            for _, inode_id in seen.entries(inode.inode_id):
                waiting.append(inode_id)
                if directories + files + len(waiting) > SUMMARY_INODES_MAX:
                    raise InvalidArgument(
                        f"{paths.shown(path)} holds over {SUMMARY_INODES_MAX} files and "
                        "directories: ask for its parts, or for the whole snapshot",
                        path=path,
                    )
        else:
            files += 1
            size += inode.size
            space += inode.size * inode.replication
    return directories, files, size, space


def attributes_at(tree: Tree, path: str, caller: Caller, wanted: int) -> tuple[Seen, Extras | None]:
    """What *path*, inside a snapshot, leads to, and what it had beside its record.

    "/dir/.snapshot" is like its directory, without attributes, ACL and quotas.

    Args:
        wanted: the bits that *caller* needs on it; 0: none.

    Raises:
        InvalidPath, NotFound, NotADirectory, AccessDenied.
    """
    found = resolve(tree, path, caller)
    if not isinstance(found, Reached):
        tree.require(found, caller, wanted, path)
        return found, None
    found.require(caller, wanted, path)
    return found.inode, found.seen.extras(found.inode)


def snapshots(namespace: Namespace, path: str, caller: Caller) -> list[SnapshotInfo]:
    """The snapshots of the directory *path*, oldest first.

    Raises:
        InvalidPath, NotFound, NotADirectory.
        AccessDenied: read and execute are needed.
    """
    tree = namespace.tree
    directory = tree.walk_directory(path, caller)
    tree.require(directory, caller, READ | EXECUTE, path)
    index = tree.history.index
    rows = [index.snapshots.rows[seq] for seq in index.of_directory.get(directory.inode_id, ())]
    return [SnapshotInfo(row.name, row.created_ms) for row in rows]


# ---- the way there


def resolve(tree: Tree, path: str, caller: Caller) -> Reached | Inode:
    """What *path*, with a part `.snapshot`, leads to; the directory for its `.snapshot` itself."""
    names = paths.parse(path)
    place = names.index(RESERVED_NAME)
    above = joined(names[:place])
    directory = tree.walk_directory(above, caller)
    if place == len(names) - 1:
        tree.require(directory, caller, EXECUTE, above)
        return directory
    upto = place + 2
    seq = tree.history.find(directory, names[upto - 1])
    if not seq:
        tree.require(directory, caller, EXECUTE, above)
        raise not_found(joined(names[:upto]))
    seen = SeenTree(tree, seq)
    inode = seen.inode(directory.inode_id)
    for name in names[upto:]:
        so_far = joined(names[:upto])
        if not inode.is_directory:
            raise not_a_directory(so_far)
        Reached(seen, inode, False).require(caller, EXECUTE, path)
        upto += 1
        inode_id = seen.child(inode.inode_id, name)
        if not inode_id:
            raise not_found(joined(names[:upto]))
        inode = seen.inode(inode_id)
    return Reached(seen, inode, upto == place + 2)


def shelf_view(tree: Tree, directory: Inode, path: str) -> FileView:
    """`.snapshot` of *directory*: its own attributes, and a child for every snapshot."""
    count = len(tree.history.index.of_directory.get(directory.inode_id, ()))
    return FileView(
        path, "directory", 0, 0, directory.owner, directory.group, directory.mode,
        directory.mtime_ms, directory.ctime_ms, directory.inode_id, 0, False, count, "",
        directory.atime_ms, False, False,
    )  # fmt: skip


def _list_shelf(
    tree: Tree, directory: Inode, path: str, caller: Caller, start_after: str, limit: int
) -> Listing:
    tree.require(directory, caller, READ | EXECUTE, path)
    index = tree.history.index
    seqs = index.of_directory.get(directory.inode_id, ())
    named = sorted((index.snapshots.rows[seq].name, seq) for seq in seqs)
    chosen = [(name, seq) for name, seq in named if name > start_after]
    page: list[FileView] = []
    for name, seq in chosen[: min(limit, limits.LIST_ENTRIES_MAX)]:
        seen = SeenTree(tree, seq)
        page.append(seen.view(seen.inode(directory.inode_id), paths.join(path, name)))
    return Listing(page, len(chosen) > len(page))

"""Move a file or directory to a new path, atomically."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidRename
from pydfsnode.meta import paths
from pydfsnode.meta.access import EXECUTE, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.looking import Entry
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.removal import require_deletable
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class Rename(Op, frozen=True, array_like=True, tag=7):
    """`destination` is the whole new path; nothing is moved into a directory.

    A directory may take the place of an empty one (POSIX), a file that of a file with `overwrite`.
    """

    source: str
    destination: str
    overwrite: bool = False


def apply(tree: Tree, op: Rename) -> FileView:
    """The moved inode's view at its new path; source = destination changes nothing.

    Raises:
        InvalidPath: either path.
        InvalidRename: the root, or a directory into itself.
        NotFound, NotADirectory: the source, or the parent of the destination.
        AlreadyExists: the destination.
        AccessDenied, QuotaExceeded.
    """
    caller = tree.caller(op.user)
    inode = tree.walk(op.source, caller)
    if not inode.name:
        raise InvalidRename("'/' cannot be renamed", path="/")
    if op.source == op.destination:
        return tree.view(inode, op.destination)
    if op.destination.startswith(op.source + "/"):
        raise InvalidRename(
            f"{paths.shown(op.source)} cannot move into itself, to {paths.shown(op.destination)}",
            source=op.source, destination=op.destination,
        )  # fmt: skip
    if op.destination == "/":
        raise AlreadyExists("'/' exists", path="/")
    entry = tree.entry(op.destination, caller)
    _require_replaceable(tree, op, inode, entry, caller)
    move(tree, inode, entry, caller, op.source, op.destination)
    return tree.view(inode, op.destination)


def _require_replaceable(
    tree: Tree, op: Rename, inode: Inode, entry: Entry, caller: Caller
) -> None:
    existing = entry.inode
    if existing is None:
        return
    if inode.is_file and existing.is_file and op.overwrite:
        require_deletable(tree, existing, caller, op.destination)
        return
    if inode.is_directory and existing.is_directory and not existing.child_count:
        require_deletable(tree, existing, caller, op.destination)
        return
    why = "exists"
    if existing.is_directory and existing.child_count:
        why = "exists and is not empty"
    raise AlreadyExists(f"{paths.shown(op.destination)} {why}", path=op.destination)


def move(
    tree: Tree, inode: Inode, entry: Entry, caller: Caller, source: str, destination: str
) -> None:
    """Take *inode* from *source* to *entry*, replacing what is there, which may be replaced.

    Raises:
        AccessDenied, QuotaExceeded: nothing is changed.
    """
    parent = tree.table.parent(inode)
    assert parent is not None
    tree.require_removable(parent, inode, caller, source)
    tree.require(entry.parent, caller, WRITE | EXECUTE, destination)
    if tree.quota_count:
        _require_room(tree, inode, parent, entry)
    if entry.inode is not None:
        tree.remove(entry.inode)
    tree.modified(inode)
    tree.unlink(inode)
    inode.ctime_ms = tree.clock_ms
    tree.link(entry.parent, inode, entry.name)


def _require_room(tree: Tree, inode: Inode, parent: Inode, entry: Entry) -> None:
    """Only what lies above the new place and not above the old one has more to hold."""
    table = tree.table
    common: Inode | None = entry.parent
    while common is not None and not table.is_within(parent, common):
        common = table.parent(common)
    names, space = 1, inode.size * inode.replication
    if inode.is_directory:
        names += inode.files_below + inode.directories_below
        space = inode.space_below
    if entry.inode is not None:
        names -= 1
        space -= entry.inode.size * entry.inode.replication
    tree.require_quota(entry.parent, names, space, below=common)

"""What must hold before an inode may leave its place for good."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.access import EXECUTE, READ, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.tree import Tree

DIRECTORIES_CHECKED_MAX = 10_000
"""Directories that one recursive delete by somebody who is no superuser looks at."""
_PAGE = 256


def require_deletable(tree: Tree, inode: Inode, caller: Caller, path: str) -> None:
    """Raise unless *caller* may delete *inode* with all that is in it.

    As in HDFS: write permission on the parent, and read, write and execute on every directory below
    that is not empty.

    Raises:
        AccessDenied.
        InvalidArgument: there are snapshots in it, or too many directories to look at.
    """
    parent = tree.table.parent(inode)
    assert parent is not None
    tree.require_removable(parent, inode, caller, path)
    tree.history.require_deletable(inode)
    if caller.superuser or not inode.is_directory or not inode.child_count:
        return
    if inode.directories_below > DIRECTORIES_CHECKED_MAX:
        raise InvalidArgument(
            f"{paths.shown(path)} holds {inode.directories_below} directories; a user who is no "
            f"superuser can delete {DIRECTORIES_CHECKED_MAX} at once: delete its parts, or move it "
            "to the trash",
            path=path,
        )
    waiting = [inode]
    while waiting:
        directory = waiting.pop()
        if not directory.child_count:
            continue
        tree.require(directory, caller, READ | WRITE | EXECUTE, tree.table.path(directory))
        if directory.directories_below:
            waiting.extend(_directories_in(tree, directory))


def _directories_in(tree: Tree, directory: Inode) -> list[Inode]:
    found: list[Inode] = []
    after = ""
    while page := tree.table.page(directory, after, _PAGE):
        found += [inode for inode in page if inode.is_directory]
        after = page[-1].name
    return found

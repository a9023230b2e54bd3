"""Delete for good what is in the caller's own trash."""

from __future__ import annotations

from pydfsnode.errors import DomainError
from pydfsnode.meta import trash
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.removal import require_deletable
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree


class EmptyTrash(Op, frozen=True, array_like=True, tag=29):
    """Current and all checkpoints; what else the user put there stays."""


def apply(tree: Tree, op: EmptyTrash) -> Removed:
    """How many inodes went. A checkpoint that the caller may not delete stays until it expires.

    Raises:
        AccessDenied, InvalidArgument: none of it may be deleted by the caller.
    """
    caller = tree.caller(op.user)
    directory = trash.trash_of(tree, caller.user)
    if directory is None:
        return Removed(0)
    found = [inode for inode, _ in trash.checkpoints(tree, directory)]
    current = tree.table.child(directory, trash.CURRENT)
    if current is not None and current.is_directory:
        found.append(current)
    deletable, refused = [], None
    for inode in found:
        try:
            require_deletable(tree, inode, caller, tree.table.path(inode))
        except DomainError as error:
            refused = refused or error
        else:
            deletable.append(inode)
    if refused is not None and not deletable:
        raise refused
    return Removed(trash.remove_all(tree, deletable))

"""Change the permission bits (chmod)."""

from __future__ import annotations

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.mkdirs import checked_mode
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

_KEPT_OF_STRANGERS = 0o1777


class SetMode(Op, frozen=True, array_like=True, tag=14):
    """With an ACL the group bits are its mask. Mode 0 is a mode: nobody may."""

    path: str
    mode: int


def apply(tree: Tree, op: SetMode) -> FileView:
    """The view of the file or directory.

    An owner who is no member of its group cannot set the set-user-id and set-group-id bits: they
    are left out, as by chmod(2).

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: the mode.
        AccessDenied: needs the owner.
    """
    mode = checked_mode(op.mode)
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    tree.require_owner(inode, caller, op.path)
    if not caller.superuser and inode.group not in caller.groups:
        mode &= _KEPT_OF_STRANGERS
    tree.modified(inode)
    inode.mode = mode
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)

"""Change the owner, the group, or both (chown, chgrp)."""

from __future__ import annotations

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import acl, paths
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class SetOwner(Op, frozen=True, array_like=True, tag=13):
    """`owner` or `group` "": stays as it is."""

    path: str
    owner: str = ""
    group: str = ""


def apply(tree: Tree, op: SetOwner) -> FileView:
    """The view of the file or directory.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: neither is given, or no name can be like that.
        AccessDenied: a new owner needs a superuser, a new group the owner, who is a member of it.
    """
    if not op.owner and not op.group:
        raise InvalidArgument(
            f"neither an owner nor a group is given for {paths.shown(op.path)}", path=op.path
        )
    for name in (op.owner, op.group):
        if name:
            acl.checked_name(name)
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    tree.require_owner(inode, caller, op.path)
    if not caller.superuser:
        if op.owner and op.owner != inode.owner:
            raise AccessDenied(
                f"Permission denied: user={caller.user} is not a superuser and cannot give "
                f"{paths.shown(op.path)} to {op.owner}",
                path=op.path,
            )
        if op.group and op.group not in caller.groups:
            raise AccessDenied(
                f"Permission denied: user={caller.user} does not belong to the group {op.group}",
                path=op.path,
            )
    tree.modified(inode)
    inode.owner = op.owner or inode.owner
    inode.group = op.group or inode.group
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)

"""Remove an extended attribute of a file or directory."""

from __future__ import annotations

import msgspec

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.set_xattr import checked_xattr_name, no_such_xattr, require_changeable
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class RemoveXattr(Op, frozen=True, array_like=True, tag=17):
    """`name` with its prefix."""

    path: str
    name: str


def apply(tree: Tree, op: RemoveXattr) -> FileView:
    """The view of the file or directory.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        NotSupported, InvalidArgument: the name.
        AccessDenied: as for setting it.
        NotFound: it has no such attribute.
    """
    checked_xattr_name(op.name, op.path)
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    require_changeable(tree, inode, caller, op.name, op.path)
    extras = tree.extras.get(inode.inode_id)
    if extras is None or op.name not in extras.xattrs:
        raise no_such_xattr(op.name, op.path)
    xattrs = {name: value for name, value in extras.xattrs.items() if name != op.name}
    tree.modified(inode)
    tree.set_extras(inode, msgspec.structs.replace(extras, xattrs=xattrs))
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)

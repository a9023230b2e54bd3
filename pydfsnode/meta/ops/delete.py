"""Delete a file, an empty directory or, when asked, a whole tree."""

from __future__ import annotations

from pydfsnode.errors import DirectoryNotEmpty, InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.removal import require_deletable
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree


class Delete(Op, frozen=True, array_like=True, tag=6):
    """Files under construction go too; their writers then find their lease gone."""

    path: str
    recursive: bool = False


def apply(tree: Tree, op: Delete) -> Removed:
    """How many inodes went. A large tree leaves at once and is dropped bit by bit (`Reclaim`).

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: the root, or something with snapshots in it.
        DirectoryNotEmpty: and `recursive` was not asked for.
        AccessDenied.
    """
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    if not inode.name:
        raise InvalidArgument("'/' cannot be deleted", path="/")
    if inode.is_directory and not op.recursive and inode.child_count:
        raise DirectoryNotEmpty(
            f"{paths.shown(op.path)} has {inode.child_count} entries: delete it recursively",
            path=op.path,
        )
    require_deletable(tree, inode, caller, op.path)
    return Removed(tree.remove(inode))

"""Delete a file, an empty directory or, when asked, a whole tree."""

from __future__ import annotations

from pydfsnode.errors import DirectoryNotEmpty, InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import Directory
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree


class Delete(Op, frozen=True, array_like=True, tag=6):
    """Files under construction go too; their writers then find their lease gone."""

    path: str
    recursive: bool = False


def apply(tree: Tree, op: Delete) -> Removed:
    """How many inodes went.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: the root.
        DirectoryNotEmpty: and `recursive` was not asked for.
    """
    names = paths.parse(op.path)
    if not names:
        raise InvalidArgument("'/' cannot be deleted", path="/")
    inode = tree.walk(names)
    if type(inode) is Directory and not op.recursive and tree.entries[inode.inode_id]:
        raise DirectoryNotEmpty(
            f"{paths.shown(op.path)} has {len(tree.entries[inode.inode_id])} entries: "
            "delete it recursively",
            path=op.path,
        )
    return Removed(tree.remove(inode))

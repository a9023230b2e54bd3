"""Take something out of the trash, back to where it was."""

from __future__ import annotations

from pydfsnode.errors import AlreadyExists, InvalidArgument, InvalidRename
from pydfsnode.meta import paths, trash, trash_place
from pydfsnode.meta.ops import mkdirs
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class RestoreTrash(Op, frozen=True, array_like=True, tag=30):
    """`path` is what is restored, below Current or a checkpoint of a trash."""

    path: str


def apply(tree: Tree, op: RestoreTrash) -> FileView:
    """Its view at its original path; missing directories on the way are made.

    Raises:
        InvalidPath, NotFound: nothing is there.
        InvalidArgument: it is not in a trash, or is a checkpoint.
        AlreadyExists, NotADirectory: the original path is taken, or a file is in its way.
        AccessDenied, QuotaExceeded.
    """
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    names = paths.parse(op.path)
    if len(names) <= trash.CURRENT_DEPTH or not trash.is_in_trash(names):
        raise InvalidArgument(
            f"{paths.shown(op.path)} is nothing that was moved to the trash: name what lies in "
            "/user/NAME/.Trash/Current or in a checkpoint beside it",
            path=op.path,
        )
    parent = tree.table.parent(inode)
    assert parent is not None
    tree.require_removable(parent, inode, caller, op.path)
    origin = trash_place.origin_of(tree, inode, names)
    found, missing = tree.deepest(origin, caller)
    if missing == 0:
        raise AlreadyExists(f"{paths.shown(origin)} exists: rename it first", path=origin)
    mkdirs.require_makeable(tree, found, origin, missing, caller, missing)
    if tree.table.is_within(found, inode):
        raise InvalidRename(f"{paths.shown(op.path)} cannot move into itself", path=op.path)
    trash_place.require_room(tree, inode, found, missing - 1)
    *above, name = paths.parse(origin)[-missing:]
    directory = mkdirs.make(tree, found, above, mkdirs.MODE_DEFAULT, caller.user)
    trash_place.relocate(tree, inode, directory, name)
    trash_place.mark(tree, inode, "")
    return tree.view(inode, origin)

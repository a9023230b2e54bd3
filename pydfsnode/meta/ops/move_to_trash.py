"""Delete so that it can be undone: move a file or tree to its user's trash."""

from __future__ import annotations

from pydfsnode.meta import paths, trash, trash_place
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class MoveToTrash(Op, frozen=True, array_like=True, tag=24):
    """It goes to /user/NAME/.Trash/Current, NAME being the caller, under the path that it had."""

    path: str


def apply(tree: Tree, op: MoveToTrash) -> FileView:
    """Its view in the trash; where a name is taken there, it has the time behind its own.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there; the path in the trash is too long.
        InvalidArgument: the root, what is in a trash, what contains the trash, or has snapshots.
        AlreadyExists: even the other names are taken in the trash.
        AccessDenied, QuotaExceeded: also in the home directory.
    """
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    names = paths.parse(op.path)
    trash.require_disposable(names, caller, op.path)
    parent = tree.table.parent(inode)
    assert parent is not None
    tree.require_removable(parent, inode, caller, op.path)
    tree.history.require_deletable(inode)
    place = trash_place.place(tree, caller, names, inode)
    trash_place.require_room(tree, inode, place.parent, len(place.missing))
    directory = place.parent
    for missing in place.missing:
        directory = tree.add_directory(directory, missing.name, missing.mode, missing.owner)
        if missing.origin:
            trash_place.mark(tree, directory, missing.origin)
    trash_place.relocate(tree, inode, directory, place.name)
    trash_place.mark(tree, inode, op.path if place.is_renamed else "")
    return tree.view(inode, place.path)

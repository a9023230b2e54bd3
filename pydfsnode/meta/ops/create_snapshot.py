"""Make a snapshot of a directory: from then on it is readable as it is now."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidArgument, InvalidPath, NotFound
from pydfsnode.meta import paths
from pydfsnode.meta.looking import RESERVED_NAME
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class CreateSnapshot(Op, frozen=True, array_like=True, tag=31):
    """Takes the same short time whatever the size of the directory."""

    path: str
    name: str


def apply(tree: Tree, op: CreateSnapshot) -> FileView:
    """The view of the snapshot, at `<path>/.snapshot/<name>`.

    Raises:
        InvalidPath: also for the name.
        NotFound, NotADirectory: no directory is there.
        AlreadyExists: it has a snapshot of that name.
        InvalidArgument: it has too many.
        AccessDenied: needs the owner.
    """
    check_name(op.name)
    directory = owned_directory(tree, op.path, op.user)
    require_free(tree, directory, op.path, op.name)
    count = len(tree.history.index.of_directory.get(directory.inode_id, ()))
    if count >= limits.SNAPSHOTS_MAX:
        raise InvalidArgument(
            f"{paths.shown(op.path)} has {count} snapshots, the most there can be: delete old ones",
            path=op.path,
        )
    tree.history.create(directory, op.name)
    return tree.view(directory, snapshot_path(op.path, op.name))


def owned_directory(tree: Tree, path: str, user: str) -> Inode:
    """The directory at *path*, which *user* owns. Raises as `apply`."""
    caller = tree.caller(user)
    directory = tree.walk_directory(path, caller)
    tree.require_owner(directory, caller, path)
    return directory


def check_name(name: str) -> None:
    """Raise InvalidPath unless *name* may be that of a snapshot."""
    if len(paths.parse(f"/{name}")) != 1 or name == RESERVED_NAME:
        raise InvalidPath(f"{paths.shown(name)} cannot be the name of a snapshot")


def require_free(tree: Tree, directory: Inode, path: str, name: str) -> None:
    """Raise AlreadyExists when *directory* has a snapshot *name*."""
    if tree.history.find(directory, name):
        shown = snapshot_path(path, name)
        raise AlreadyExists(f"the snapshot {paths.shown(shown)} exists", path=shown)


def required_seq(tree: Tree, directory: Inode, path: str, name: str) -> int:
    """The seq of the snapshot *name* of *directory*. Raises NotFound."""
    seq = tree.history.find(directory, name)
    if not seq:
        shown = snapshot_path(path, name)
        raise NotFound(f"the snapshot {paths.shown(shown)} does not exist", path=shown)
    return seq


def snapshot_path(path: str, name: str) -> str:
    """Where the snapshot *name* of the directory *path* is read."""
    return paths.join(paths.join(path, RESERVED_NAME), name)

"""Make a directory and the missing ones above it."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidArgument
from pydfsnode.meta import acl, paths
from pydfsnode.meta.access import EXECUTE, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import HAS_EXTRAS
from pydfsnode.meta.looking import joined, not_a_directory, not_found
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

MODE_DEFAULT = 0o755
MODE_MAX = 0o7777
_ABOVE_MODE = 0o300
"""What directories made on the way get beside the mode: the owner must be able to fill them."""


class Mkdirs(Op, frozen=True, array_like=True, tag=1):
    """`mode` 0: MODE_DEFAULT. Succeeds, changing nothing, on an existing directory (as HDFS)."""

    path: str
    mode: int = 0


def apply(tree: Tree, op: Mkdirs) -> FileView:
    """The directory's view.

    Raises:
        InvalidPath, InvalidArgument: the path or mode.
        NotADirectory, AlreadyExists: a file is in the way, or at the end of the path.
        AccessDenied, QuotaExceeded.
    """
    mode = checked_mode(op.mode) or MODE_DEFAULT
    caller = tree.caller(op.user)
    found, missing = tree.deepest(op.path, caller)
    if missing == 0:
        if found.is_file:
            raise AlreadyExists(f"{paths.shown(op.path)} exists and is a file", path=op.path)
        return tree.view(found, op.path)
    require_makeable(tree, found, op.path, missing, caller, missing)
    tree.require_quota(found, missing, 0)
    names = paths.parse(op.path)[-missing:]
    return tree.view(make(tree, found, names, mode, caller.user), op.path)


def checked_mode(mode: int) -> int:
    """*mode* when it is one. Raises InvalidArgument otherwise."""
    if not 0 <= mode <= MODE_MAX:
        raise InvalidArgument(f"mode {mode:#o} is not within 0 to {MODE_MAX:#o}", mode=mode)
    return mode


def require_makeable(
    tree: Tree, found: Inode, path: str, missing: int, caller: Caller, makeable: int
) -> Inode:
    """*found*, when the *missing* names of *path* can be made in it by *caller*.

    Args:
        makeable: how many may be made; the ones above must exist.

    Raises:
        NotADirectory, NotFound, AccessDenied.
    """
    if found.is_file:
        raise not_a_directory(joined(paths.parse(path)[:-missing]))
    if missing > makeable:
        names = paths.parse(path)
        raise not_found(joined(names[: len(names) - missing + 1]))
    tree.require(found, caller, WRITE | EXECUTE, path)
    return found


def make(tree: Tree, directory: Inode, missing: list[str], mode: int, owner: str) -> Inode:
    """Make the chain *missing* below *directory*; returns its last one."""
    if not missing:
        return directory
    for name in missing[:-1]:
        directory = inherit_directory(tree, directory, name, mode | _ABOVE_MODE, owner)
    return inherit_directory(tree, directory, missing[-1], mode, owner)


def inherit_directory(tree: Tree, parent: Inode, name: str, mode: int, owner: str) -> Inode:
    """A new directory with the default ACL of *parent*, if it has one."""
    extras = tree.extras.get(parent.inode_id) if parent.flags & HAS_EXTRAS else None
    if extras is None or not extras.default_acl:
        return tree.add_directory(parent, name, mode, owner)
    mode, inherited = acl.inherit(extras, mode, is_directory=True)
    made = tree.add_directory(parent, name, mode, owner)
    acl.give(tree, made, inherited)
    return made


def inherit_file(
    tree: Tree, parent: Inode, name: str, mode: int, owner: str, replication: int, chunk_bytes: int
) -> Inode:
    """A new closed file with the default ACL of *parent*, if it has one."""
    extras = tree.extras.get(parent.inode_id) if parent.flags & HAS_EXTRAS else None
    if extras is None or not extras.default_acl:
        return tree.add_file(parent, name, mode, owner, replication, chunk_bytes)
    mode, inherited = acl.inherit(extras, mode, is_directory=False)
    made = tree.add_file(parent, name, mode, owner, replication, chunk_bytes)
    acl.give(tree, made, inherited)
    return made

"""Make a directory and the missing ones above it."""

from __future__ import annotations

from pydfsnode.errors import AlreadyExists, InvalidArgument
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import AnyInode, Directory
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree, not_a_directory

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
    """
    names = paths.parse(op.path)
    mode = checked_mode(op.mode) or MODE_DEFAULT
    directory, missing = deepest(tree, names)
    if type(directory) is not Directory:
        if missing:
            raise not_a_directory(names[: len(names) - len(missing)])
        raise AlreadyExists(f"{paths.shown(op.path)} exists and is a file", path=op.path)
    return tree.view(make(tree, directory, missing, mode, op.user), op.path)


def checked_mode(mode: int) -> int:
    """*mode* when it is one. Raises InvalidArgument otherwise."""
    if not 0 <= mode <= MODE_MAX:
        raise InvalidArgument(f"mode {mode:#o} is not within 0 to {MODE_MAX:#o}", mode=mode)
    return mode


def deepest(tree: Tree, names: list[str]) -> tuple[AnyInode, list[str]]:
    """The deepest existing inode on the way along *names*, and the names that are missing."""
    inode_id: int = ROOT_INODE_ID
    entries = tree.entries
    for depth, name in enumerate(names):
        below = entries.get(inode_id)  # None: a file
        found = None if below is None else below.get(name)
        if found is None:
            return tree.inodes[inode_id], names[depth:]
        inode_id = found
    return tree.inodes[inode_id], []


def make(tree: Tree, directory: Directory, missing: list[str], mode: int, owner: str) -> Directory:
    """Make the chain *missing* below *directory*; returns its last one."""
    if not missing:
        return directory
    for name in missing[:-1]:
        directory = tree.add_directory(directory, name, mode | _ABOVE_MODE, owner)
    return tree.add_directory(directory, missing[-1], mode, owner)

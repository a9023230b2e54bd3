"""Give up a file that is being written."""

from __future__ import annotations

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import held_file


class Abandon(Op, frozen=True, array_like=True, tag=5):
    """A new file disappears with its chunks; one that was opened again is closed as it is."""

    inode_id: int


def apply(tree: Tree, op: Abandon) -> Removed:
    """One inode removed, or none.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    opened = tree.holder(file)
    if opened is not None and opened.reopened:
        tree.close(file)
        return Removed(0)
    return Removed(tree.remove(file))

"""Give up a file that was never closed."""

from __future__ import annotations

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import held_file


class Abandon(Op, frozen=True, array_like=True, tag=5):
    """The file disappears with its chunks."""

    inode_id: int


def apply(tree: Tree, op: Abandon) -> Removed:
    """One inode removed.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
    """
    return Removed(tree.remove(held_file(tree, op.inode_id, op.client_id)))

"""Close the files of writers that were not heard of for longer than the hard limit."""

from __future__ import annotations

from pydfsnode.meta.leases import is_hard_expired
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class ExpireLeases(Op, frozen=True, array_like=True, tag=22):
    """The leader names files that it found; one whose writer came back meanwhile stays open."""

    inode_ids: tuple[int, ...]


def apply(tree: Tree, op: ExpireLeases) -> Done:
    """They are closed at the length that was acknowledged; their open chunks are dropped.

    Raises:
        AccessDenied: only the masters themselves may ask.
    """
    tree.require_superuser(tree.caller(op.user), "Closing the files of silent writers")
    for inode_id in op.inode_ids:
        opened = tree.open_files.get(inode_id)
        file = tree.table.get(inode_id)
        if opened is not None and file is not None and is_hard_expired(tree, opened, tree.clock_ms):
            tree.close(file)
    return Done()

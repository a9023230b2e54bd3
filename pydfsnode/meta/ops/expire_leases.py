"""Close the files of writers that were not heard of for longer than the hard limit."""

from __future__ import annotations

from pydfsnode.meta.leases import close_or_recover, is_hard_expired, is_soft_expired
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class ExpireLeases(Op, frozen=True, array_like=True, tag=22):
    """The leader names files that it found; one whose writer came back meanwhile stays open.

    `soft`: the soft limit is enough, as somebody else wants to write them.
    """

    inode_ids: tuple[int, ...]
    soft: bool = False


def apply(tree: Tree, op: ExpireLeases) -> Done:
    """They are closed, or, with a chunk open, taken from their writers: see FinishRecovery.

    Raises:
        AccessDenied: only the masters themselves may ask.
    """
    tree.require_superuser(tree.caller(op.user), "Closing the files of silent writers")
    for inode_id in op.inode_ids:
        opened = tree.open_files.get(inode_id)
        file = tree.table.get(inode_id)
        if opened is None or file is None:
            continue
        if is_hard_expired(tree, opened, tree.clock_ms) or (
            op.soft and is_soft_expired(tree, opened)
        ):
            close_or_recover(tree, file)
    return Done()

"""Drop a part of what was deleted: large trees go bit by bit, so that nobody waits for them."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Removed
from pydfsnode.meta.tree import Tree

RECLAIM_COUNT_MAX = 4096
"""Inodes of one operation."""


class Reclaim(Op, frozen=True, array_like=True, tag=23):
    """Proposed by the leader while there are doomed trees, or remains of deleted snapshots."""

    count: int


def apply(tree: Tree, op: Reclaim) -> Removed:
    """How many inodes were dropped; fewer than `count` when little is left, or of many chunks.

    Raises:
        AccessDenied: only the masters themselves may ask.
        InvalidArgument: the count.
    """
    tree.require_superuser(tree.caller(op.user), "Dropping what was deleted")
    if not 1 <= op.count <= RECLAIM_COUNT_MAX:
        raise InvalidArgument(f"{op.count} inodes are not within 1 to {RECLAIM_COUNT_MAX}")
    return Removed(tree.reclaim(op.count))

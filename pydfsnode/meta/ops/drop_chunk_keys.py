"""Destroy keys that no chunk is sealed with any more."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class DropChunkKeys(Op, frozen=True, array_like=True, tag=46):
    """Of all epochs below `below`; the leader saw that no chunkserver needs them."""

    below: int


def apply(tree: Tree, op: DropChunkKeys) -> Done:
    """The newest key always stays; keys that are gone already are fine.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: `below` is beyond the newest epoch.
    """
    tree.require_superuser(tree.caller(op.user), "Destroying keys of chunks")
    newest = tree.administration.chunk_key_epoch
    if not 0 < op.below <= newest:
        raise InvalidArgument(f"keys below an epoch from 1 to {newest} can be destroyed")
    tree.administration.drop_chunk_keys(op.below)
    return Done()

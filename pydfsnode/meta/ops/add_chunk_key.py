"""Give chunkservers another key to seal chunks with."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.administration import ChunkKey
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree

KEY_BYTES = 32
EPOCH_MAX = (1 << 32) - 1


class AddChunkKey(Op, frozen=True, array_like=True, tag=44):
    """`key`: random bytes that the leader drew; `epoch` is the next one."""

    epoch: int
    key: bytes

    def __repr__(self) -> str:
        return f"AddChunkKey(epoch={self.epoch})"  # never the key: operations are logged


def apply(tree: Tree, op: AddChunkKey) -> Done:
    """An epoch that has its key already keeps it.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: the key's size, or an epoch that is not the next.
    """
    tree.require_superuser(tree.caller(op.user), "Adding a key for chunks")
    newest = tree.administration.chunk_key_epoch
    if len(op.key) != KEY_BYTES or not 0 < op.epoch <= min(newest + 1, EPOCH_MAX):
        raise InvalidArgument(f"a key of {KEY_BYTES} bytes for epoch {newest + 1} is needed")
    if op.epoch > newest:
        tree.administration.add_chunk_key(op.epoch, ChunkKey(op.key, tree.clock_ms))
    return Done()

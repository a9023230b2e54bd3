"""Close a file whose writer is gone, with what was found of its open chunk."""

from __future__ import annotations

from pydfsnode.errors import LeaseExpired
from pydfsnode.meta.inodes import RECOVERING, ChunkDone
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk


class FinishRecovery(Op, frozen=True, array_like=True, tag=39):
    """`found`: the open chunk as the leader sealed it; None: no server had anything of it."""

    inode_id: int
    found: ChunkDone | None


def apply(tree: Tree, op: FinishRecovery) -> FileView:
    """The closed file's view; one that is closed already is left as it is.

    Raises:
        AccessDenied: only the masters themselves may ask.
        LeaseExpired: the file is gone, or somebody writes it again.
        UnknownChunk, StaleChunkVersion, InvalidArgument: what was said of the chunk.
    """
    tree.require_superuser(tree.caller(op.user), "Closing the files of silent writers")
    file = tree.table.get(op.inode_id)
    if file is None or not file.is_file or not tree.table.is_attached(file):
        raise LeaseExpired(f"no file {op.inode_id}: it was deleted", inode_id=op.inode_id)
    opened = tree.holder(file)
    if opened is not None:
        if opened.holder != RECOVERING:
            raise LeaseExpired(f"file {op.inode_id} is not being recovered", inode_id=op.inode_id)
        abandoned = opened.chunk_id if op.found is None else 0
        LastChunk(tree, file, op.found, abandoned).settle()
        tree.close(file)
    return tree.view(file, tree.table.path(file))

"""Close a file: from then on it has its size and checksum, and no writer."""

from __future__ import annotations

from pydfsnode.meta.inodes import ChunkDone
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk, held_file


class Complete(Op, frozen=True, array_like=True, tag=4):
    """See LastChunk for `last` and `abandon_chunk_id`."""

    inode_id: int
    last: ChunkDone | None
    abandon_chunk_id: int = 0


def apply(tree: Tree, op: Complete) -> FileView:
    """The closed file's view.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        UnknownChunk, StaleChunkVersion, InvalidArgument: what was said of the last chunk.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    LastChunk(tree, file, op.last, op.abandon_chunk_id).settle()
    tree.close(file)
    return tree.view(file, tree.table.path(file))

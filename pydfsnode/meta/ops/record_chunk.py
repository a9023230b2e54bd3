"""Let what was written of an open file count: its last chunk is finished, the file stays open."""

from __future__ import annotations

from pydfsnode.meta.inodes import ChunkDone
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk, held_file


class RecordChunk(Op, frozen=True, array_like=True, tag=37):
    """For `sync`: the length is in the namespace then. The writer continues the chunk with the next
    `AllocateChunk`."""

    inode_id: int
    last: ChunkDone


def apply(tree: Tree, op: RecordChunk) -> FileView:
    """The file's view, under construction.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        UnknownChunk, StaleChunkVersion, InvalidArgument: what was said of the last chunk.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    LastChunk(tree, file, op.last, 0).settle()
    tree.modified(file)
    file.mtime_ms = file.ctime_ms = tree.clock_ms
    return tree.view(file, tree.table.path(file))

"""Give the writer of a file its next chunk, and take its word on the one before."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.inodes import ChunkDone
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import ChunkAllocated
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk, held_file


class AllocateChunk(Op, frozen=True, array_like=True, tag=3):
    """`targets`: the pipeline that the leader chose, in order. See LastChunk for the others."""

    inode_id: int
    previous: ChunkDone | None
    abandon_chunk_id: int
    targets: tuple[str, ...]


def apply(tree: Tree, op: AllocateChunk) -> ChunkAllocated:
    """The new chunk.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        QuotaExceeded: a whole chunk does not fit, as in HDFS.
        UnknownChunk, StaleChunkVersion, InvalidArgument: what was said of the last chunk; too many.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    if not 1 <= len(set(op.targets)) == len(op.targets) <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"a chunk needs 1 to {limits.REPLICATION_MAX} distinct chunkservers, "
            f"not {len(op.targets)}: {', '.join(op.targets)}"
        )
    last = LastChunk(tree, file, op.previous, op.abandon_chunk_id)
    if file.chunk_count + (op.previous is not None) >= limits.CHUNKS_PER_FILE_MAX:
        raise InvalidArgument(
            f"file {file.inode_id} has {file.chunk_count} chunks, the most there can be: "
            "use a larger chunk size",
            inode_id=file.inode_id,
        )
    parent = tree.table.parent(file)
    assert parent is not None
    tree.require_quota(parent, 0, (last.grows_by + file.chunk_bytes) * file.replication)
    last.settle()
    chunk = tree.add_chunk(file, op.targets)
    return ChunkAllocated(chunk.chunk_id, chunk.version, op.targets)

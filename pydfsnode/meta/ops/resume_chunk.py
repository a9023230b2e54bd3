"""Go on with the open chunk of a file after its pipeline broke: a new version on other servers."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument, UnknownChunk
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import ChunkAllocated
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import held_file


class ResumeChunk(Op, frozen=True, array_like=True, tag=38):
    """`targets`: who is left of the pipeline, and who takes the place of those that failed.

    The new version fences the failed ones, and a recovery asks the new ones (INV-FENCE).
    """

    inode_id: int
    chunk_id: int
    targets: tuple[str, ...]


def apply(tree: Tree, op: ResumeChunk) -> ChunkAllocated:
    """The open chunk with its new version.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        UnknownChunk: it is not the file's open chunk.
        InvalidArgument: no pipeline.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    if not 1 <= len(set(op.targets)) == len(op.targets) <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"a chunk needs 1 to {limits.REPLICATION_MAX} distinct chunkservers, "
            f"not {len(op.targets)}: {', '.join(op.targets)}"
        )
    opened = tree.open_files.rows[op.inode_id]
    if not opened.chunk_id or opened.chunk_id != op.chunk_id:
        raise UnknownChunk(
            f"chunk {op.chunk_id} is not the open one of file {op.inode_id}", chunk_id=op.chunk_id
        )
    chunk = tree.resume_chunk(file, op.targets)
    return ChunkAllocated(chunk.chunk_id, chunk.version, op.targets)

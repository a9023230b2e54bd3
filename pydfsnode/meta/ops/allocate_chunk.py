"""Give the writer of a file its next chunk, and take its word on the one before."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.inodes import IS_INLINE, ChunkDone
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import ChunkAllocated
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk, held_file, last_chunk


class AllocateChunk(Op, frozen=True, array_like=True, tag=3):
    """`targets`: the pipeline that the leader chose, in order. See LastChunk for others.

    `continues`: a last chunk that is partly filled is continued: the new one begins with its bytes
    and takes its place once it is finished. Until then nothing changes for the old one: readers,
    snapshots and a writer that stops have it as it is.
    """

    inode_id: int
    previous: ChunkDone | None
    abandon_chunk_id: int
    targets: tuple[str, ...]
    continues: bool = False


def apply(tree: Tree, op: AllocateChunk) -> ChunkAllocated:
    """The new chunk.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        QuotaExceeded: a whole chunk does not fit, as in HDFS.
        UnknownChunk, StaleChunkVersion, InvalidArgument: what was said of the last chunk; too many.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    check_targets(op.targets)
    last = LastChunk(tree, file, op.previous, op.abandon_chunk_id)
    base = _partly_filled(tree, file) if op.continues and op.previous is None else None
    if base is None and file.chunk_count + (op.previous is not None) >= limits.CHUNKS_PER_FILE_MAX:
        raise InvalidArgument(
            f"file {file.inode_id} has {file.chunk_count} chunks, the most there can be: "
            "use a larger chunk size",
            inode_id=file.inode_id,
        )
    parent = tree.table.parent(file)
    assert parent is not None
    more_bytes = file.chunk_bytes - (0 if base is None else base[2])
    tree.require_quota(parent, 0, (last.grows_by + more_bytes) * file.replication)
    last.settle()
    if base is None:
        chunk = tree.add_chunk(file, op.targets)
        return ChunkAllocated(chunk.chunk_id, chunk.version, op.targets)
    chunk = tree.add_chunk(file, op.targets, replaces=base[0])
    return ChunkAllocated(chunk.chunk_id, chunk.version, op.targets, *base)


def check_targets(targets: tuple[str, ...]) -> None:
    """Raise InvalidArgument unless *targets* can be a pipeline."""
    if not 1 <= len(set(targets)) == len(targets) <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"a chunk needs 1 to {limits.REPLICATION_MAX} distinct chunkservers, "
            f"not {len(targets)}: {', '.join(targets)}"
        )


def _partly_filled(tree: Tree, file: Inode) -> tuple[int, int, int, int] | None:
    """The last finished chunk of *file*, when there is room in it."""
    if not file.chunk_count or file.flags & IS_INLINE:
        return None
    base = last_chunk(tree, file)
    return base if base[2] < file.chunk_bytes else None

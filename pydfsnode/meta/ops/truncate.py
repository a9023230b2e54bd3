"""Cut a file off at a size."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.access import WRITE
from pydfsnode.meta.inodes import IS_INLINE, ChunkDone, OpenFile
from pydfsnode.meta.leases import recover, require_free
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk


class Truncate(Op, frozen=True, array_like=True, tag=10):
    """Chunks never change: for a cut inside one, the caller holds the file (`Append`), writes what
    is kept of that chunk as a new one (`AllocateChunk`) and names it as `tail`.
    """

    path: str
    size: int
    tail: ChunkDone | None = None


def apply(tree: Tree, op: Truncate) -> FileView:
    """The closed file's view.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
        FileUnderConstruction: another client writes it.
        InvalidArgument: the file is shorter, or `tail` is not what is kept of the cut chunk.
        UnknownChunk, StaleChunkVersion: `tail`.
        AccessDenied.
    """
    caller = tree.caller(op.user)
    file = tree.walk_file(op.path, caller)
    tree.require(file, caller, WRITE, op.path)
    opened = tree.holder(file)
    held = opened if opened is not None and opened.holder == op.client_id else None
    if held is None:
        require_free(tree, file, op.client_id, op.path)
    if not 0 <= op.size <= file.size:
        raise InvalidArgument(
            f"{paths.shown(op.path)} has {file.size} bytes and cannot be truncated to {op.size}: "
            "truncate makes a file shorter",
            path=op.path, size=file.size,
        )  # fmt: skip
    dropped, begin = tree.table.chunks_beyond(file, op.size)
    _require_tail(op, file, held, op.size - begin)
    last = None if held is None else LastChunk(tree, file, op.tail, 0)
    if last is None:
        recover(tree, file, op.path)
    if dropped:
        tree.pop_chunks(file, dropped)
        file.mtime_ms = file.ctime_ms = tree.clock_ms
    if last is not None:
        last.settle()
        tree.close(file)
    return tree.view(file, op.path)


def _require_tail(op: Truncate, file: Inode, held: OpenFile | None, kept_bytes: int) -> None:
    """Raise InvalidArgument unless `tail` holds the *kept_bytes* of the chunk that is cut."""
    if not kept_bytes:
        if op.tail is not None:
            raise InvalidArgument(
                f"{paths.shown(op.path)} has the edge of a chunk at {op.size}: no tail is needed",
                path=op.path,
            )
        return
    if file.flags & IS_INLINE:
        raise InvalidArgument(
            f"{paths.shown(op.path)} is stored with its inode: append to it and complete it with "
            f"its first {op.size} bytes",
            path=op.path,
        )
    done = op.tail
    if held is not None and held.replaces:
        raise InvalidArgument(
            f"{paths.shown(op.path)}: its open chunk continues another and is no tail",
            path=op.path,
        )
    if done is None or held is None or done.chunk_id != held.chunk_id or done.length != kept_bytes:
        raise InvalidArgument(
            f"{paths.shown(op.path)} cannot be cut inside a chunk without a tail: append to it, "
            f"write the last {kept_bytes} bytes before {op.size} as a new chunk and name that",
            path=op.path, kept_bytes=kept_bytes,
        )  # fmt: skip

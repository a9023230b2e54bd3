"""Join files: the chunks of some move behind those of another."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import FileUnderConstruction, InvalidArgument, NotSupported
from pydfsnode.meta import paths
from pydfsnode.meta.access import READ, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import IS_INLINE, IS_OPEN
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class Concat(Op, frozen=True, array_like=True, tag=11):
    """`sources`, in the directory of `target` as HDFS wants it, disappear; no byte is copied."""

    target: str
    sources: tuple[str, ...]


def apply(tree: Tree, op: Concat) -> FileView:
    """The target's view.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: a file is not there.
        FileUnderConstruction: one of them is being written.
        InvalidArgument: no source, too many, one twice, in another directory, with larger chunks,
            or a file that is stored with its inode.
        NotSupported: one of them has a key of its own.
        AccessDenied, QuotaExceeded.
    """
    caller = tree.caller(op.user)
    target = tree.walk_file(op.target, caller)
    tree.require(target, caller, WRITE, op.target)
    _require_joinable(tree, target, op.target)
    if not 1 <= len(op.sources) <= limits.CONCAT_SOURCES_MAX:
        raise InvalidArgument(
            f"1 to {limits.CONCAT_SOURCES_MAX} files are joined to another, not {len(op.sources)}",
            path=op.target,
        )
    parent = tree.table.parent(target)
    assert parent is not None
    sources = [_source(tree, path, target, parent, caller) for path in op.sources]
    if len({target.inode_id, *(source.inode_id for source in sources)}) <= len(sources):
        raise InvalidArgument(f"{paths.shown(op.target)}: a file is named twice", path=op.target)
    chunk_count = target.chunk_count + sum(source.chunk_count for source in sources)
    if chunk_count > limits.CHUNKS_PER_FILE_MAX:
        raise InvalidArgument(
            f"{paths.shown(op.target)} would have {chunk_count} chunks; "
            f"the most is {limits.CHUNKS_PER_FILE_MAX}",
            path=op.target,
        )
    space = sum(source.size * (target.replication - source.replication) for source in sources)
    tree.require_quota(parent, 0, space)
    for source in sources:
        tree.take_chunks(target, source)
        tree.remove(source)
    tree.modified(target)
    target.mtime_ms = target.ctime_ms = tree.clock_ms
    return tree.view(target, op.target)


def _source(tree: Tree, path: str, target: Inode, parent: Inode, caller: Caller) -> Inode:
    """The file at *path*, which may be joined to *target* and disappear. Raises as `apply`."""
    source = tree.walk_file(path, caller)
    if tree.table.parent(source) != parent:
        raise InvalidArgument(
            f"{paths.shown(path)} is not in the directory of the file that it is joined to: "
            "rename it first",
            path=path,
        )
    tree.require(source, caller, READ, path)
    tree.require_removable(parent, source, caller, path)
    _require_joinable(tree, source, path)
    if source.chunk_bytes > target.chunk_bytes:
        raise InvalidArgument(
            f"{paths.shown(path)} has chunks of up to {source.chunk_bytes} bytes, larger than the "
            f"{target.chunk_bytes} of the file that it is joined to",
            path=path,
        )
    return source


def _require_joinable(tree: Tree, file: Inode, path: str) -> None:
    if tree.file_keys.get(file.inode_id) is not None:
        raise NotSupported(
            f"{paths.shown(path)} has a key of its own, which ends with it: its chunks cannot "
            "become those of another file; copy the contents instead",
            path=path,
        )
    if file.flags & IS_OPEN:
        raise FileUnderConstruction(
            f"{paths.shown(path)} is being written: close it, or recover its lease", path=path
        )
    if file.flags & IS_INLINE:
        raise InvalidArgument(
            f"{paths.shown(path)} is so small that it is stored with its inode and has no chunks "
            "to join: append its content instead",
            path=path,
        )

"""Create a file that its creator then writes."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import AlreadyExists, InvalidArgument, IsADirectory
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import Directory
from pydfsnode.meta.ops import mkdirs
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree, not_a_directory, not_found

MODE_DEFAULT = 0o644


class Create(Op, frozen=True, array_like=True, tag=2):
    """`mode` 0: MODE_DEFAULT. The caller's client holds the file until it completes or abandons it.

    `overwrite` removes an existing file, a half written one too: its writer finds its lease gone.
    """

    path: str
    replication: int
    chunk_bytes: int
    mode: int = 0
    overwrite: bool = False
    create_parents: bool = False


def apply(tree: Tree, op: Create) -> FileView:
    """The new file's view, under construction.

    Raises:
        InvalidPath, InvalidArgument: path, mode, replication or chunk size.
        NotFound, NotADirectory: the parent is missing, or a file is in the way.
        IsADirectory, AlreadyExists: what lies there already.
    """
    names = paths.parse(op.path)
    mode = mkdirs.checked_mode(op.mode) or MODE_DEFAULT
    _check_layout(op)
    if not names:
        raise IsADirectory("'/' is a directory", path="/")
    parent, missing = mkdirs.deepest(tree, names[:-1])
    if type(parent) is not Directory:
        raise not_a_directory(names[: len(names) - 1 - len(missing)])
    if missing and not op.create_parents:
        raise not_found(names[: len(names) - len(missing)])
    existing = None if missing else tree.child(parent, names[-1])
    if existing is not None:
        if type(existing) is Directory:
            raise IsADirectory(f"{paths.shown(op.path)} is a directory", path=op.path)
        if not op.overwrite:
            raise AlreadyExists(f"{paths.shown(op.path)} exists", path=op.path)
        tree.remove(existing)
    parent = mkdirs.make(tree, parent, missing, mkdirs.MODE_DEFAULT, op.user)
    file = tree.add_file(
        parent, names[-1], mode, op.user, op.replication, op.chunk_bytes, op.client_id
    )
    return tree.view(file, op.path)


def _check_layout(op: Create) -> None:
    if not 1 <= op.replication <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"replication {op.replication} is not within 1 to {limits.REPLICATION_MAX}",
            replication=op.replication,
        )
    if not limits.CHUNK_BYTES_MIN <= op.chunk_bytes <= limits.CHUNK_BYTES_MAX:
        raise InvalidArgument(
            f"chunk size {op.chunk_bytes} is not within {limits.CHUNK_BYTES_MIN} to "
            f"{limits.CHUNK_BYTES_MAX} bytes",
            chunk_bytes=op.chunk_bytes,
        )

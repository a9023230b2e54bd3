"""Move a file or directory to a new path, atomically."""

from __future__ import annotations

from pydfsnode.errors import AlreadyExists, InvalidRename
from pydfsnode.meta import paths
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class Rename(Op, frozen=True, array_like=True, tag=7):
    """`destination` is the whole new path and must be free; nothing is moved into a directory."""

    source: str
    destination: str


def apply(tree: Tree, op: Rename) -> FileView:
    """The moved inode's view at its new path; source = destination changes nothing.

    Raises:
        InvalidPath: either path.
        InvalidRename: the root, or a directory into itself.
        NotFound, NotADirectory: the source, or the parent of the destination.
        AlreadyExists: the destination.
    """
    source, destination = paths.parse(op.source), paths.parse(op.destination)
    if not source:
        raise InvalidRename("'/' cannot be renamed", path="/")
    inode = tree.walk(source)
    if source == destination:
        return tree.view(inode, op.destination)
    if destination[: len(source)] == source:
        raise InvalidRename(
            f"{paths.shown(op.source)} cannot move into itself, to {paths.shown(op.destination)}",
            source=op.source, destination=op.destination,
        )  # fmt: skip
    parent = tree.walk_directory(destination[:-1])
    if not destination or tree.child(parent, destination[-1]) is not None:
        raise AlreadyExists(f"{paths.shown(op.destination)} exists", path=op.destination)
    tree.unlink(inode)
    inode.name = destination[-1]
    inode.ctime_ms = tree.clock_ms
    tree.link(parent, inode)
    return tree.view(inode, op.destination)

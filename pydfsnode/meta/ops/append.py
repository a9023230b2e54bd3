"""Open a closed file again: its caller writes behind what is there."""

from __future__ import annotations

from pydfsnode.errors import FileUnderConstruction
from pydfsnode.meta import paths
from pydfsnode.meta.access import WRITE
from pydfsnode.meta.inodes import IS_INLINE
from pydfsnode.meta.leases import recover, require_free
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Appended
from pydfsnode.meta.tree import Tree


class Append(Op, frozen=True, array_like=True, tag=9):
    """The caller's client holds the file until it completes it.

    A small file's content stays until the writer replaced it: it writes that content again, in
    front of what it appends (`CompleteInline`, or the first chunk). So nothing is lost if it stops.
    """

    path: str


def apply(tree: Tree, op: Append) -> Appended:
    """The file's view, under construction, and the id of its inline content.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
        FileUnderConstruction: another client writes it and was heard of within the soft limit, or
            the caller's client itself does.
        AccessDenied.
    """
    caller = tree.caller(op.user)
    file = tree.walk_file(op.path, caller)
    tree.require(file, caller, WRITE, op.path)
    require_free(tree, file, op.client_id, op.path)
    opened = tree.holder(file)
    if opened is not None and opened.holder == op.client_id:
        # As in HDFS: two writers of one client would not know of each other.
        raise FileUnderConstruction(
            f"{paths.shown(op.path)} is already being written by this client: close it first",
            path=op.path,
        )
    recover(tree, file, op.path)
    is_inline = bool(file.flags & IS_INLINE)
    tree.open(file, op.client_id, replaces_inline=is_inline, reopened=True)
    content_id = tree.table.chunk(file, 0)[0] if is_inline else 0
    return Appended(tree.view(file, op.path), content_id)

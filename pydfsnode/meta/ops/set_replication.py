"""Change how many replicas a file wants."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.access import WRITE
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class SetReplication(Op, frozen=True, array_like=True, tag=12):
    """Holds for chunks that exist and for those to come; replicas are made and dropped later."""

    path: str
    replication: int


def apply(tree: Tree, op: SetReplication) -> FileView:
    """The file's view.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
        InvalidArgument: the number.
        AccessDenied: needs WRITE on the file.
        QuotaExceeded: more replicas do not fit.
    """
    if not 1 <= op.replication <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"replication {op.replication} is not within 1 to {limits.REPLICATION_MAX}",
            replication=op.replication,
        )
    caller = tree.caller(op.user)
    file = tree.walk_file(op.path, caller)
    tree.require(file, caller, WRITE, op.path)
    more = op.replication - file.replication
    parent = tree.table.parent(file)
    if more > 0 and parent is not None:
        opened = tree.holder(file)
        # A chunk that is being written is in no total yet and may still grow to its full size.
        unfinished = file.chunk_bytes if opened is not None and opened.chunk_id else 0
        tree.require_quota(parent, 0, file.size * more + unfinished * op.replication)
    tree.set_replication(file, op.replication)
    file.ctime_ms = tree.clock_ms
    return tree.view(file, op.path)

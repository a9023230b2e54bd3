"""Set the times of last modification and access (touch)."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.access import WRITE
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

KEEP = -1
TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999: later ones many programs cannot show."""


class SetTimes(Op, frozen=True, array_like=True, tag=15):
    """Milliseconds since 1970; KEEP: stays as it is."""

    path: str
    mtime_ms: int = KEEP
    atime_ms: int = KEEP


def apply(tree: Tree, op: SetTimes) -> FileView:
    """The view of the file or directory; when both times are kept, nothing changes.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: a time.
        AccessDenied: needs WRITE, as in HDFS; not the owner.
    """
    for time_ms in (op.mtime_ms, op.atime_ms):
        if not KEEP <= time_ms <= TIME_MS_MAX:
            raise InvalidArgument(
                f"time {time_ms} ms is not within 0 to {TIME_MS_MAX} (the year 9999)",
                path=op.path,
            )
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    tree.require(inode, caller, WRITE, op.path)
    if op.mtime_ms == KEEP and op.atime_ms == KEEP:
        return tree.view(inode, op.path)
    tree.modified(inode)
    if op.mtime_ms != KEEP:
        inode.mtime_ms = op.mtime_ms
    if op.atime_ms != KEEP:
        inode.atime_ms = op.atime_ms
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)

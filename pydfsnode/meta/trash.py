"""The trash of each user: where things go that are deleted, until they are restored or expire.

/user/NAME/.Trash/Current holds what was thrown away lately, under the path that it had. From time
to time it is renamed to a checkpoint, named by its time (YYMMDDhhmmss), and a checkpoint goes when
it is old (`ops.roll_trash`). Where exactly something goes, and from where it came, is in
`trash_place`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydfsnode._fast import Inode
from pydfsnode.errors import DomainError, InvalidArgument
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import civil, paths
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.looking import RESERVED_NAME
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX, Tree

HOMES = "user"
TRASH = ".Trash"
CURRENT = "Current"
HOME_DEPTH, TRASH_DEPTH, CURRENT_DEPTH = 2, 3, 4
"""How many names lead to a home, its trash, and Current or a checkpoint."""
CHECKPOINTS_MAX = 1024
"""Checkpoints of one user that one operation looks at."""
_SAME_SECOND_MAX = 9


def require_disposable(names: list[str], caller: Caller, path: str) -> None:
    """Raise InvalidArgument when *path*, which *names* lead to, cannot be moved to the trash."""
    if not names:
        raise InvalidArgument("'/' cannot be moved to the trash", path="/")
    if is_in_trash(names):
        raise InvalidArgument(
            f"{paths.shown(path)} is in a trash already: delete it for good (rm -skipTrash)",
            path=path,
        )
    if "/" in caller.user or caller.user == RESERVED_NAME:
        raise InvalidArgument(f"user {caller.user!r} can have no home and so no trash", path=path)
    if [HOMES, caller.user][: len(names)] == names:
        raise InvalidArgument(
            f"{paths.shown(path)} cannot be moved to the trash, for it contains the trash: "
            "delete it for good (rm -skipTrash)",
            path=path,
        )


def is_in_trash(names: list[str]) -> bool:
    """Whether the path of *names* is somebody's trash, or in one."""
    return len(names) >= TRASH_DEPTH and names[0] == HOMES and names[TRASH_DEPTH - 1] == TRASH


def trash_of(tree: Tree, user: str) -> Inode | None:
    """The trash directory of *user*, None when there is none."""
    at = tree.table.get(ROOT_INODE_ID)
    for name in (HOMES, user, TRASH):
        at = tree.table.child(at, name) if at is not None and at.is_directory else None
    return at if at is not None and at.is_directory else None


def checkpoints(tree: Tree, trash: Inode) -> Iterator[tuple[Inode, int]]:
    """The checkpoints in *trash* and their times, the oldest first, at most CHECKPOINTS_MAX."""
    for inode in tree.table.page(trash, "", CHECKPOINTS_MAX):
        since_ms = civil.parse_stamp(inode.name.partition("-")[0])
        if since_ms is not None and inode.is_directory:
            yield inode, since_ms


def current_of(tree: Tree, trash: Inode) -> Inode | None:
    """What was thrown away since the last checkpoint; None: nothing."""
    current = tree.table.child(trash, CURRENT)
    return current if current is not None and current.child_count else None


def is_due(tree: Tree, trash: Inode, now_ms: int, roll_ms: int, keep_ms: int) -> bool:
    """Whether `RollTrash` would do something here at *now_ms*."""
    current = current_of(tree, trash)
    if current is not None and is_old(current, now_ms, roll_ms):
        return True
    return next(expired(tree, trash, now_ms, keep_ms), None) is not None


def expired(tree: Tree, trash: Inode, now_ms: int, keep_ms: int) -> Iterator[Inode]:
    """The checkpoints that were kept for long enough; not those with snapshots in them."""
    for inode, since_ms in checkpoints(tree, trash):
        if now_ms - since_ms > keep_ms and _is_free_of_snapshots(tree, inode):
            yield inode


def _is_free_of_snapshots(tree: Tree, inode: Inode) -> bool:
    try:
        tree.history.require_deletable(inode)
    except DomainError:
        return False
    return True


def is_old(current: Inode, now_ms: int, roll_ms: int) -> bool:
    """Whether it is time for a checkpoint; nobody reads a directory, so atime is its birth."""
    return now_ms - current.atime_ms >= roll_ms


def free_stamp(tree: Tree, trash: Inode) -> str | None:
    """The name of a checkpoint made now; None: there are too many of this second."""
    name = civil.stamp(tree.clock_ms)
    for free in (name, *(f"{name}-{again}" for again in range(1, _SAME_SECOND_MAX))):
        if tree.table.child(trash, free) is None:
            return free
    return None


def remove_all(tree: Tree, directories: Iterable[Inode]) -> int:
    """Delete *directories* with all that is in them; returns how many inodes that are.

    In the time of one operation: beyond RECLAIMED_AT_ONCE_MAX inodes they only leave their places,
    and are dropped bit by bit.
    """
    removed = 0
    for directory in directories:
        removed += 1 + directory.files_below + directory.directories_below
        if removed > RECLAIMED_AT_ONCE_MAX:
            tree.unlink(directory)
            tree.doom(directory)
        else:
            tree.remove(directory)
    return removed

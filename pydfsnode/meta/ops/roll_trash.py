"""Let the trash grow old: checkpoints are made, and go when they are kept for long enough."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.meta import trash
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Removed
from pydfsnode.meta.trash_place import relocate
from pydfsnode.meta.tree import Tree


class RollTrash(Op, frozen=True, array_like=True, tag=28):
    """The leader names the users whose trash is due (`trash.is_due`).

    `roll_ms`: so old is what becomes a checkpoint. `keep_ms`: so long a checkpoint is kept.
    """

    roll_ms: int
    keep_ms: int
    users: tuple[str, ...]


def apply(tree: Tree, op: RollTrash) -> Removed:
    """How many inodes went.

    Raises:
        AccessDenied: only the masters themselves may ask.
    """
    tree.require_superuser(tree.caller(op.user), "Expiring what is in the trash")
    old: list[Inode] = []
    for user in dict.fromkeys(op.users):
        directory = trash.trash_of(tree, user)
        if directory is not None:
            _roll(tree, directory, op.roll_ms)
            old += trash.expired(tree, directory, tree.clock_ms, op.keep_ms)
    return Removed(trash.remove_all(tree, old))


def _roll(tree: Tree, directory: Inode, roll_ms: int) -> None:
    current = trash.current_of(tree, directory)
    name = trash.free_stamp(tree, directory)
    if current is not None and name is not None and trash.is_old(current, tree.clock_ms, roll_ms):
        relocate(tree, current, directory, name)

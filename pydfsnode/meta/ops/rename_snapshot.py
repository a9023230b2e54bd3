"""Give a snapshot of a directory another name."""

from __future__ import annotations

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create_snapshot import (
    check_name,
    owned_directory,
    require_free,
    required_seq,
)
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class RenameSnapshot(Op, frozen=True, array_like=True, tag=33):
    """The same name changes nothing."""

    path: str
    old: str
    new: str


def apply(tree: Tree, op: RenameSnapshot) -> Done:
    """Nothing to tell.

    Raises:
        InvalidPath: also for the new name.
        NotFound, NotADirectory: no directory is there, or it has no such snapshot.
        AlreadyExists: it has one of the new name.
        AccessDenied: needs the owner.
    """
    check_name(op.new)
    directory = owned_directory(tree, op.path, op.user)
    seq = required_seq(tree, directory, op.path, op.old)
    if op.new != op.old:
        require_free(tree, directory, op.path, op.new)
        tree.history.rename(seq, op.new)
    return Done()

"""Delete a snapshot of a directory, and what only it needed."""

from __future__ import annotations

from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create_snapshot import owned_directory, required_seq
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class DeleteSnapshot(Op, frozen=True, array_like=True, tag=32):
    """It is gone at once; when it held much, `Reclaim` frees that bit by bit."""

    path: str
    name: str


def apply(tree: Tree, op: DeleteSnapshot) -> Done:
    """Nothing to tell.

    Raises:
        InvalidPath.
        NotFound, NotADirectory: no directory is there, or it has no such snapshot.
        AccessDenied: needs the owner.
    """
    directory = owned_directory(tree, op.path, op.user)
    tree.history.delete(directory, required_seq(tree, directory, op.path, op.name))
    return Done()

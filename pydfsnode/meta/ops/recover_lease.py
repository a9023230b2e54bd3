"""Close a file that somebody else began to write and does not finish."""

from __future__ import annotations

from pydfsnode.meta.access import WRITE
from pydfsnode.meta.leases import close_or_recover, require_free
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class RecoverLease(Op, frozen=True, array_like=True, tag=21):
    """The owner of the file, a superuser and the writing client itself need not wait.

    With a chunk open, the file is not closed yet: see FinishRecovery.
    """

    path: str


def apply(tree: Tree, op: RecoverLease) -> FileView:
    """The view of the file, closed or to be recovered; one that nobody writes is left as it is.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
        FileUnderConstruction: its writer was heard of within the soft limit.
        AccessDenied.
    """
    caller = tree.caller(op.user)
    file = tree.walk_file(op.path, caller)
    tree.require(file, caller, WRITE, op.path)
    if not (caller.superuser or caller.user == file.owner):
        require_free(tree, file, op.client_id, op.path)
    close_or_recover(tree, file)
    return tree.view(file, op.path)

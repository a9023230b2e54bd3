"""Make the namespace read-only for a while, or end that."""

from __future__ import annotations

from pydfsnode.meta.administration import SAFE_MODE, Mode
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class SetSafeMode(Op, frozen=True, array_like=True, tag=35):
    """From the operation after it on, nothing but what `apply.py` excepts changes the namespace."""

    on: bool


def apply(tree: Tree, op: SetSafeMode) -> Done:
    """Asked for what is so already, nothing changes.

    Raises:
        AccessDenied: needs a superuser.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Entering or leaving safe mode")
    if op.on != tree.administration.is_read_only:
        mode = Mode(tree.clock_ms, caller.user) if op.on else None
        tree.administration.set_mode(SAFE_MODE, mode)
    return Done()

"""Have every master forget for good the keys of files that were deleted."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class ForgetKeys(Op, frozen=True, array_like=True, tag=49):
    """`order` is the next one; each master then takes another data key of its own."""

    order: int


def apply(tree: Tree, op: ForgetKeys) -> Done:
    """An order that was given already stays as it is.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: an order that is not the next.
    """
    tree.require_superuser(tree.caller(op.user), "Having keys forgotten")
    orders = tree.file_keys.forgetting.orders
    if not 0 < op.order <= orders + 1:
        raise InvalidArgument(f"the next order to forget keys is number {orders + 1}")
    if op.order > orders:
        tree.file_keys.order(tree.clock_ms)
    return Done()

"""Run one operation: a rule that says no becomes a value like any other outcome."""

from __future__ import annotations

from pydfsnode.errors import DomainError
from pydfsnode.meta.ops import RULES, AnyOp
from pydfsnode.meta.results import Applied, Outcome, rejected
from pydfsnode.meta.tree import Tree


def apply(tree: Tree, op: AnyOp) -> Outcome:
    """The outcome of *op*. `Rejected` means that nothing changed: rules check before they touch.

    An error that is not a DomainError is a defect and ends the node (INV-STOP).
    """
    try:
        return Applied(RULES[type(op)](tree, op))
    except DomainError as error:
        return rejected(error)

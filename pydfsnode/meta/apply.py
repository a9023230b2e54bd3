"""Run one operation: a rule that says no becomes a value like any other outcome."""

from __future__ import annotations

from pydfsnode.errors import DomainError, SafeMode
from pydfsnode.meta.ops import (
    RULES,
    AddChunkKey,
    AddJoinToken,
    AnyOp,
    DropChunkKeys,
    ForgetKeys,
    MarkAudit,
    RenewLease,
    RevokeCertificates,
    SetAuthority,
    SetBalance,
    SetDuty,
    SetSafeMode,
    UseJoinToken,
)
from pydfsnode.meta.results import Applied, Outcome, rejected
from pydfsnode.meta.tree import Tree

_IN_SAFE_MODE = frozenset(
    {
        RenewLease, SetBalance, SetDuty, SetSafeMode,
        RevokeCertificates, AddJoinToken, UseJoinToken, SetAuthority, AddChunkKey,
        MarkAudit, DropChunkKeys, ForgetKeys,
    }
)  # fmt: skip
"""What changes no file: writers stay alive, operators go on."""


def apply(tree: Tree, op: AnyOp) -> Outcome:
    """The outcome of *op*. `Rejected` means that nothing changed: rules check before they touch.

    An error that is not a DomainError is a defect and ends the node (INV-STOP).

    Raises:
        KeyNeeded: nothing changed, and nothing is to be remembered: it may come again with a key.
    """
    if tree.administration.is_read_only and type(op) not in _IN_SAFE_MODE:
        return rejected(
            SafeMode(
                "the namespace is in safe mode and takes no changes: an administrator ends that "
                "by 'pydfsnode cluster safemode leave'"
            )
        )
    try:
        return Applied(RULES[type(op)](tree, op))
    except DomainError as error:
        return rejected(error)

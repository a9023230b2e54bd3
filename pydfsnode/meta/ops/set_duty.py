"""Take chunkservers out of service, or back into it."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.administration import (
    DECOMMISSIONED,
    DECOMMISSIONING,
    IN_SERVICE,
    MAINTENANCE,
    Duty,
    DutyState,
)
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree

SERVERS_MAX = 4096
"""Chunkservers out of service at once, and of one operation."""
NODE_ID_CHARACTERS_MAX = 64
_STATES: dict[str, DutyState] = {
    state: state for state in (DECOMMISSIONING, DECOMMISSIONED, MAINTENANCE)
}


class SetDuty(Op, frozen=True, array_like=True, tag=34):
    """`state`: one of `meta.administration`; `until_ms` of the log's time ends a maintenance.

    Whether the others can do without them is looked at before this is proposed. DECOMMISSIONED
    comes from the leader, and holds only for those that are DECOMMISSIONING.
    """

    node_ids: tuple[str, ...]
    state: str
    until_ms: int = 0


def apply(tree: Tree, op: SetDuty) -> Done:
    """Naming the state that they are in already changes nothing.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: no such state or name, no end of a maintenance, too many.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Changing the state of a chunkserver")
    duties = tree.administration.duties
    _require_valid(op, len(duties.keys() | op.node_ids))
    for node_id in op.node_ids:
        before = duties.get(node_id)
        state = _STATES.get(op.state)
        if state is None:
            duty = None
        elif state == DECOMMISSIONED:
            if before is None or before.state != DECOMMISSIONING:
                continue
            duty = Duty(node_id, state, 0, before.since_ms, before.user)
        elif state == DECOMMISSIONING and before is not None and before.state != MAINTENANCE:
            continue
        else:
            until_ms = op.until_ms if state == MAINTENANCE else 0
            duty = Duty(node_id, state, until_ms, tree.clock_ms, caller.user)
        if duty != before:
            tree.administration.set_duty(node_id, duty)
    return Done()


def _require_valid(op: SetDuty, out_of_service: int) -> None:
    if op.state != IN_SERVICE and op.state not in _STATES:
        raise InvalidArgument(f"{op.state[:80]!r} is no state of a chunkserver")
    if not op.node_ids or max(out_of_service, len(op.node_ids)) > SERVERS_MAX:
        raise InvalidArgument(f"name 1 to {SERVERS_MAX} chunkservers")
    for node_id in op.node_ids:
        if not 0 < len(node_id) <= NODE_ID_CHARACTERS_MAX:
            raise InvalidArgument(f"{node_id[:80]!r} is no name of a chunkserver")
    if op.state == MAINTENANCE and op.until_ms <= 0:
        raise InvalidArgument("a maintenance needs an end")

"""What operators order of the fleet, carried out: drains, maintenance, balance, safe mode.

The orders are in the namespace (`meta.administration`), the decisions in `fleet/`; here they meet,
beside `fleet.repair`, on every master by the same clock as the rest of `Fleet`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pydfsnode.errors import ChangeInProgress, InvalidArgument
from pydfsnode.fleet.balance import BalanceStatus, Balancing
from pydfsnode.fleet.draining import Draining, DrainProgress
from pydfsnode.fleet.leaving import LeaveCheck
from pydfsnode.fleet.orders import Copy, Delete
from pydfsnode.fleet.relocation import Relocation, Relocations
from pydfsnode.fleet.repair import RepairPlanner
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.safe_mode import SafeModeStatus, StartSafeMode
from pydfsnode.fleet.servers import IN_SERVICE, ServerTable
from pydfsnode.meta.administration import (
    BALANCE,
    DECOMMISSIONED,
    DECOMMISSIONING,
    MAINTENANCE,
    SAFE_MODE,
    Mode,
)
from pydfsnode.meta.ops import SetBalance, SetDuty
from pydfsnode.meta.state import Namespace

Wish = tuple[type[SetDuty], tuple[str, ...], str] | tuple[type[SetBalance], int]
"""An operation that the leader shall propose: its type and fields."""
_BY_OPERATOR = "an operator ordered it ('pydfsnode cluster safemode leave' ends it)"


@dataclass(frozen=True, slots=True)
class OperationsView:
    """For people. `safe_mode.reason` also names an operator's order."""

    drains: list[DrainProgress]
    balance: BalanceStatus
    safe_mode: SafeModeStatus
    safe_mode_order: Mode | None
    balance_order: Mode | None


class FleetOperations:
    """Fed by `Fleet`, which describes its arguments."""

    def __init__(
        self,
        namespace: Namespace,
        servers: ServerTable,
        replicas: ReplicaMap,
        reports: ReplicaReports,
        planner: RepairPlanner,
        now_ms: int,
    ) -> None:
        self._namespace = namespace
        self._servers = servers
        self._replicas = replicas
        self._reports = reports
        self._planner = planner
        self._start = StartSafeMode(now_ms)
        self._relocations = Relocations(servers, replicas, planner.deletes, self._moved)
        self._draining = Draining(servers, replicas, self._relocations)
        self._balancing = Balancing(servers, replicas, self._relocations)
        self._states: dict[str, str] = {}

    # ---- time passes, on every master

    def observe(self, now_ms: int, wall_ms: int) -> None:
        """Take over what operators ordered, and what became known."""
        duties = self._namespace.tree.administration.duties
        states = {
            duty.node_id: str(duty.state)
            for duty in duties.values()
            if duty.state != MAINTENANCE or wall_ms < duty.until_ms
        }
        for node_id in self._states.keys() - states.keys():
            self._servers.set_admin_state(node_id, IN_SERVICE)
        self._states = states
        for node_id in states:
            self.heard(node_id)
        self._replicas.set_maintained(n for n, state in states.items() if state == MAINTENANCE)
        self._draining.set_states(states)
        order = self._namespace.tree.administration.mode(BALANCE)
        self._balancing.set_orders(
            0 if order is None else order.threshold_ppm, 0 if order is None else order.bytes_per_s
        )
        live = self._servers.live()
        complete = sum(self._reports.is_complete(server.node_id) for server in live)
        wanted, missing = self._replicas.wanted_count, self._replicas.missing_count
        self._start.observe(now_ms, wanted, missing, len(live), complete)

    def heard(self, node_id: str) -> None:
        """*node_id* may have been heard for the first time."""
        server, state = self._servers.get(node_id), self._states.get(node_id, IN_SERVICE)
        if server is not None and server.admin_state != state:
            self._servers.set_admin_state(node_id, state)

    @property
    def in_start_safe_mode(self) -> bool:
        """Whether this master does not know enough replicas yet."""
        return self._start.is_on

    @property
    def may_order(self) -> bool:
        """Whether anything may be copied or deleted now."""
        return not self._start.is_on and not self._namespace.tree.administration.is_read_only

    @property
    def moves_running(self) -> int:
        """Replicas on their way for a drain or a balance."""
        return len(self._relocations.running)

    def leave_safe_mode(self) -> None:
        """End the one after the start: an operator knows better."""
        self._start.leave()

    # ---- orders of the leader

    def new_epoch(self) -> None:
        """This master leads in a new term."""
        self._relocations.clear()
        self._draining.clear()
        self._balancing.clear()

    @property
    def is_walking(self) -> bool:
        """Whether `step` should be called soon again."""
        return self._draining.is_walking

    def step(self) -> None:
        """Look at some more of what those hold that leave."""
        self._relocations.refresh()
        self._draining.step()

    def plan(self, now_ms: int, pick: Callable[[], float]) -> list[Copy | Delete]:
        """What to order now; before repair plans, which would trim what is moved elsewhere."""
        self._relocations.refresh()
        self._relocations.beside_repair = self._planner.status().copies_running > 0
        return [
            *self._relocations.review(now_ms),
            *self._draining.plan(now_ms, pick),
            *self._balancing.plan(now_ms, pick),
        ]

    def copy_done(self, chunk_id: int, node_id: str, ok: bool, now_ms: int) -> None:
        """*node_id* says that its copy of *chunk_id* ended."""
        self._relocations.done(chunk_id, node_id, ok, now_ms)

    def lost(self, order: Copy | Delete) -> None:
        """The server was never told of *order*."""
        if isinstance(order, Copy):
            self._relocations.lost(order.chunk_id, order.node_id)

    def restarted(self, node_id: str) -> None:
        """*node_id* was started anew."""
        self._relocations.restarted(node_id)

    def _moved(self, done: Relocation) -> None:
        self._draining.moved(done.source)
        self._balancing.moved(done)

    def wishes(self, wall_ms: int) -> list[Wish]:
        """What is to be recorded in the namespace, by the leader."""
        duties = self._namespace.tree.administration.duties.values()
        over = [d.node_id for d in duties if d.state == MAINTENANCE and wall_ms >= d.until_ms]
        going = {d.node_id for d in duties if d.state == DECOMMISSIONING}
        gone = [
            node for node in self._draining.drained() if node in going and self._is_sure_of(node)
        ]
        found: list[Wish] = []
        if over:
            found.append((SetDuty, tuple(sorted(over)), IN_SERVICE))
        if gone and self.may_order:
            found.append((SetDuty, tuple(gone), DECOMMISSIONED))
        if self._balancing.is_on and self._balancing.ended_because:
            found.append((SetBalance, 0))
        return found

    def _is_sure_of(self, node_id: str) -> bool:
        """Whether it is known what *node_id* holds, or that nobody needs it."""
        if self._reports.is_complete(node_id):
            return True
        server, replicas = self._servers.get(node_id), self._replicas
        is_needed = replicas.missing_count or replicas.under_replicated_count
        is_unknown = server is None or server.is_remembered
        return is_unknown and not is_needed and not replicas.is_behind

    # ---- questions

    def leave_check(self, node_ids: tuple[str, ...], state: str) -> LeaveCheck:
        """Whether they may be put into *state*.

        Raises:
            InvalidArgument: one of them was never heard of.
            ChangeInProgress: what they hold is not known yet.
        """
        known = [server.node_id for server in self._servers.all()]
        for node_id in node_ids:
            if node_id not in known and node_id not in self._states:
                raise InvalidArgument(
                    f"no chunkserver {node_id[:80]!r} was heard of: there are "
                    f"{', '.join(known[:20]) or 'none'}"
                )
        if self._start.is_on:
            raise ChangeInProgress(
                f"the leader began lately and is in safe mode: {self._start.status().reason}"
            )
        for node_id in node_ids:
            if self._servers.is_live(node_id) and not self._reports.is_complete(node_id):
                raise ChangeInProgress(f"{node_id} has not reported everything that it holds yet")
        return LeaveCheck(
            self._servers, self._replicas, node_ids, for_good=state == DECOMMISSIONING
        )

    def view(self) -> OperationsView:
        """How it stands."""
        administration = self._namespace.tree.administration
        order, status = administration.mode(SAFE_MODE), self._start.status()
        if order is not None:
            status = SafeModeStatus(
                True, _BY_OPERATOR, status.chunks_wanted, status.chunks_reported
            )
        drains = [
            replace(drain, counted=drain.counted and self._is_sure_of(drain.node_id))
            for drain in self._draining.progress()
        ]
        return OperationsView(
            drains,
            self._balancing.status(),
            status,
            order,
            administration.mode(BALANCE),
        )

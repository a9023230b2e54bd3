"""What operators order of the fleet and ask about it: part of the Cluster service, for admins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pydfsnode.errors import InvalidArgument, NotLeader, PydfsError, UnsafeChange
from pydfsnode.meta import ops
from pydfsnode.meta.administration import DECOMMISSIONING, IN_SERVICE, MAINTENANCE, Mode
from pydfsnode.meta.results import Done
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.fleet_operations import OperationsView
from pydfsnode.roles.master.service import fleet_fsck
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers

_log = get_logger("roles.master.fleet_orders")

SERVICE = "/pydfs.v1.Cluster/"
MAINTENANCE_MS_MAX = 30 * 86_400_000


class FleetOrders:
    """Orders are operations of the namespace; the leader answers with how the fleet stands then."""

    def __init__(self, consensus: Consensus, fleet: Fleet, callers: Callers) -> None:
        self._consensus = consensus
        self._admission = Admission(consensus, callers)
        self._callers = callers
        self._fleet = fleet

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            SERVICE + "FleetState": self.fleet_state,
            SERVICE + "SetDuty": self.set_duty,
            SERVICE + "SetBalance": self.set_balance,
            SERVICE + "SetSafeMode": self.set_safe_mode,
            SERVICE + "Fsck": self.fsck,
        }

    async def fleet_state(
        self, request: pb.FleetStateRequest, call: CallContext
    ) -> pb.FleetStateResponse:
        """Drains, balance, safe mode."""
        await self._consensus.read()
        return self._state()

    async def set_duty(self, request: pb.SetDutyRequest, call: CallContext) -> pb.SetDutyResponse:
        """Take chunkservers out of service, when the others can do without, or back into it."""
        node_ids = tuple(dict.fromkeys(request.node_ids))
        with _told(request.state, ",".join(node_ids), call):
            head = self._admission.head(request.op, call)
            await self._consensus.read()
            await self._require_allowed(node_ids, request)
            until_ms = self._consensus.wall_ms() + request.for_ms if request.for_ms else 0
            op = ops.SetDuty(*head, node_ids, request.state, until_ms)
            await self._admission.propose(op, Done)
        return pb.SetDutyResponse(fleet=self._state())

    async def _require_allowed(self, node_ids: tuple[str, ...], request: pb.SetDutyRequest) -> None:
        """Raises UnsafeChange, InvalidArgument, ChangeInProgress."""
        if request.state not in (IN_SERVICE, DECOMMISSIONING, MAINTENANCE):
            raise InvalidArgument(f"{request.state[:80]!r} cannot be ordered of a chunkserver")
        if request.for_ms > MAINTENANCE_MS_MAX:
            raise InvalidArgument(f"a maintenance is at most {MAINTENANCE_MS_MAX} ms long")
        if request.state == IN_SERVICE:
            return
        check = self._fleet.operations.leave_check(node_ids, request.state)
        for _ in iter(check.step, False):
            await asyncio.sleep(0)
        if why := check.refusal():
            raise UnsafeChange(why)

    async def set_balance(
        self, request: pb.SetBalanceRequest, call: CallContext
    ) -> pb.SetBalanceResponse:
        """Begin or stop to even out the chunkservers."""
        with _told("balance" if request.threshold_ppm else "stop balance", "fleet", call):
            head = self._admission.head(request.op, call)
            op = ops.SetBalance(*head, request.threshold_ppm, request.bytes_per_s)
            await self._admission.propose(op, Done)
        return pb.SetBalanceResponse(fleet=self._state())

    async def set_safe_mode(
        self, request: pb.SetSafeModeRequest, call: CallContext
    ) -> pb.SetSafeModeResponse:
        """Make the namespace read-only, or end safe mode, whoever ordered it."""
        with _told("enter safe mode" if request.on else "leave safe mode", "fleet", call):
            op = ops.SetSafeMode(*self._admission.head(request.op, call), request.on)
            await self._admission.propose(op, Done)
            if not request.on:
                self._fleet.operations.leave_safe_mode()
        return pb.SetSafeModeResponse(fleet=self._state())

    async def fsck(self, request: pb.FsckRequest, call: CallContext) -> pb.FsckResponse:
        """One bounded step of a file system check."""
        namespace = await self._consensus.read()
        caller = self._callers.of(call.identity).caller
        return fleet_fsck.Step(namespace, self._fleet, caller).run(request.path, request.after)

    def _state(self) -> pb.FleetStateResponse:
        fleet = self._fleet
        fleet.orders_changed()
        view = fleet.operations.view()
        return pb.FleetStateResponse(
            duties=self._duties(view),
            balance=_balance(view),
            safe_mode=safe_mode(view),
            copies_running=fleet.repairs_running,
            deletions_running=fleet.deletions_running,
            under_replicated=fleet.under_replicated,
            missing=fleet.missing,
        )

    def _duties(self, view: OperationsView) -> list[pb.DutyState]:
        progress = {drain.node_id: drain for drain in view.drains}
        duties = []
        for node_id, duty in sorted(self._consensus.namespace.tree.administration.duties.items()):
            state = pb.DutyState(
                node_id=node_id, state=duty.state, until_ms=duty.until_ms,
                since_ms=duty.since_ms, user=duty.user,
            )  # fmt: skip
            if (drain := progress.get(node_id)) is not None:
                state.chunks_held = drain.held
                state.chunks_left = drain.left
                state.chunks_stuck = drain.stuck
                state.stuck_because = drain.stuck_because
                state.counted = drain.counted
                state.moves_running = drain.moving
            duties.append(state)
        return duties


def _balance(view: OperationsView) -> pb.BalanceState:
    status, order = view.balance, view.balance_order or Mode(0, "")
    return pb.BalanceState(
        on=view.balance_order is not None,
        threshold_ppm=order.threshold_ppm,
        bytes_per_s=order.bytes_per_s,
        since_ms=order.since_ms,
        user=order.user,
        moved_chunks=status.moved_chunks,
        moved_bytes=status.moved_bytes,
        moves_running=status.moving,
        bytes_left=status.bytes_left,
        mean_ppm=status.mean_ppm,
        spread_ppm=status.spread_ppm,
        ended_because=status.ended_because,
    )


def safe_mode(view: OperationsView) -> pb.SafeModeState:
    """Whether anything is held back, by whom and why."""
    status, order = view.safe_mode, view.safe_mode_order
    return pb.SafeModeState(
        on=status.on,
        by_operator=order is not None,
        reason=status.reason,
        user="" if order is None else order.user,
        since_ms=0 if order is None else order.since_ms,
        chunks_wanted=status.chunks_wanted,
        chunks_reported=status.chunks_reported,
    )


@contextmanager
def _told(what: str, whom: str, call: CallContext) -> Iterator[None]:
    """Log who ordered what, and what became of it, as changes of the masters are."""
    told = {
        "what": what[:80], "whom": whom[:200], "by": call.identity.uri, "peer": call.peer,
        "request_id": call.request_id,
    }  # fmt: skip
    _log.info("fleet: asked", **told)
    try:
        yield
    except NotLeader:
        _log.info("fleet: sent to the leader", **told)
        raise
    except PydfsError as error:
        _log.warning("fleet: refused", **told, why=error.message)
        raise
    except BaseException as error:
        _log.warning("fleet: not finished", **told, why=type(error).__name__)
        raise
    _log.info("fleet: done", **told)

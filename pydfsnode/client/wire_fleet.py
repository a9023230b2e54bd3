"""What admins order of the fleet and ask about it, as methods on plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydfsnode.client.fleet import (
    Balance,
    Duty,
    FleetState,
    FsckCounts,
    FsckFinding,
    FsckStep,
    SafeMode,
)
from pydfsnode.client.wire_asking import Asking, Router
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

_CLUSTER = "/pydfs.v1.Cluster/"


class FleetCalls:
    """One method for every RPC; errors as of `MasterCalls`. Orders have op ids."""

    def __init__(self, router: Router, asking: Asking) -> None:
        self._router = router
        self._asking = asking

    async def _ask(self, name: str, request: Any) -> Any:
        path = _CLUSTER + name
        encoded = request.SerializeToString()
        answer = await self._router.call(path, encoded, timeout_ms=self._asking.timeout_ms)
        return rpc_of(path).parse_response(answer)

    async def _order(self, name: str, request: Any) -> FleetState:
        path = _CLUSTER + name
        encoded = request.SerializeToString()
        answer = await self._asking.change(path, encoded, rpc_of(path).parse_response)
        return _fleet_state(answer.fleet)

    async def state(self) -> FleetState:
        """What is ordered, and what is going on."""
        return _fleet_state(await self._ask("FleetState", pb.FleetStateRequest()))

    async def set_duty(self, node_ids: Sequence[str], state: str, for_ms: int = 0) -> FleetState:
        """Take chunkservers out of service, or back into it; for_ms: of a maintenance."""
        request = pb.SetDutyRequest(node_ids=node_ids, state=state, for_ms=for_ms)
        return await self._order("SetDuty", request)

    async def set_balance(self, threshold_ppm: int, bytes_per_s: int) -> FleetState:
        """Begin to even out, or with other numbers; threshold 0: stop."""
        request = pb.SetBalanceRequest(threshold_ppm=threshold_ppm, bytes_per_s=bytes_per_s)
        return await self._order("SetBalance", request)

    async def set_safe_mode(self, on: bool) -> FleetState:
        """Make the namespace read-only, or end safe mode."""
        return await self._order("SetSafeMode", pb.SetSafeModeRequest(on=on))

    async def fsck(self, path: str, after: tuple[str, int] | None = None) -> FsckStep:
        """One step of a check, from behind where the step before ended."""
        at, chunk = after or ("", 0)
        request = pb.FsckRequest(path=path, after=pb.FsckCursor(path=at, chunk=chunk))
        answer = await self._ask("Fsck", request)
        counts = FsckCounts(**{f.name: getattr(answer.counts, f.name) for f in fields(FsckCounts)})
        findings = [FsckFinding(f.path, f.problem, f.chunks, f.bytes) for f in answer.findings]
        following = (answer.next.path, answer.next.chunk) if answer.more else None
        return FsckStep(counts, findings, answer.safe_mode, following)


def _fleet_state(answer: pb.FleetStateResponse) -> FleetState:
    return FleetState(
        duties=[
            Duty(
                id=d.node_id,
                state=d.state,
                until_ms=d.until_ms,
                since_ms=d.since_ms,
                user=d.user,
                counted=d.counted,
                chunks_held=d.chunks_held,
                chunks_left=d.chunks_left,
                chunks_stuck=d.chunks_stuck,
                stuck_because=d.stuck_because,
                moves_running=d.moves_running,
            )
            for d in answer.duties
        ],
        balance=_plain(Balance, answer.balance),
        safe_mode=_plain(SafeMode, answer.safe_mode),
        copies_running=answer.copies_running,
        deletions_running=answer.deletions_running,
        under_replicated=answer.under_replicated,
        missing=answer.missing,
    )


def _plain(kind: Any, message: Any) -> Any:
    """A record whose fields have the names of the message's."""
    return kind(**{each.name: getattr(message, each.name) for each in fields(kind)})

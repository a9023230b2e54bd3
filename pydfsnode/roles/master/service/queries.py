"""Reading the namespace, as fresh as each request says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydfsnode._fast import only_text
from pydfsnode.client.consistency import LINEARIZABLE, Consistency, Mode
from pydfsnode.errors import InvalidArgument, NotLeader, PydfsError
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.reading import Reading
from pydfsnode.roles.master.service import views
from pydfsnode.roles.master.service.conversions import Encoded
from pydfsnode.roles.master.service.locating import Locating
from pydfsnode.roles.master.service.quick import WEIGHT_MAX, Quick, QuickRead
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.server import Handler, Handlers
from pydfsnode.runtime.turns import Turns

SHORT_LIST_ENTRIES_MAX = 128
"""A longer page takes more than a tenth of a millisecond."""
View = Callable[[Namespace, Any, Caller], Any]
"""Makes the response to a request for reading."""

_MODES = {
    pb.ReadOptions.LINEARIZABLE: LINEARIZABLE,
    pb.ReadOptions.LEASE: Consistency("lease"),
    pb.ReadOptions.STALE: Consistency("stale"),
}


class QueryHandlers:
    """Every handler is a view of the namespace behind the same barrier.

    Args of the constructor:
        consistency: of reads that do not say.
        turns: of what takes long to answer.
    """

    def __init__(
        self,
        consensus: Consensus,
        callers: Callers,
        locating: Locating,
        consistency: Consistency,
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._consensus = consensus
        self._callers = callers
        self._locating = locating
        self._reading = Reading(consensus)
        self._plain_reads = 0
        self._consistency = consistency
        self._plain_by_default = consistency == LINEARIZABLE
        self._export_counts()

    def _export_counts(self) -> None:
        asked = self._reading.asked

        def total(mode: Mode) -> int:
            return asked[mode] + (self._plain_reads if mode == "linearizable" else 0)

        for mode in asked:
            metrics().follow("namespace_reads_total", partial(total, mode), mode)

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {
            "Stat": self._handler(views.stat),
            "List": self._list,
            "Locate": self._handler(self._locating.locate),
            "Summary": self._handler(views.summary),
            "Find": self._long_handler(views.find),
            "GetXattrs": self._handler(views.get_xattrs),
            "GetAcl": self._handler(views.get_acl),
            "ListSnapshots": self._handler(views.list_snapshots),
            "SnapshotDiff": self._long_handler(views.snapshot_diff),
        }

    def quick(self) -> Quick:
        """See `Quick`: reads that are linearizable unless they say something else."""
        if not self._plain_by_default:
            return Quick()
        parse_list = rpc_of("/pydfs.v1.Namespace/List").parse_request
        parse_locate = rpc_of("/pydfs.v1.Namespace/Locate").parse_request

        def short_list(request: bytes) -> pb.ListRequest | None:
            asked: pb.ListRequest = parse_list(request)
            return asked if _is_short(asked) and not asked.HasField("read") else None

        def plain_locate(request: bytes) -> pb.LocateRequest | None:
            asked: pb.LocateRequest = parse_locate(request)
            return None if asked.HasField("read") else asked

        return Quick(
            reads={
                "Stat": QuickRead(only_text, views.stat_bytes),
                "List": QuickRead(short_list, _encoded(views.list_directory), WEIGHT_MAX),
                "Locate": QuickRead(plain_locate, _encoded(self._locating.locate), WEIGHT_MAX),
            }
        )

    def plain_barrier(self, reads: int) -> asyncio.Future[None]:
        """Await it: then *reads* that say nothing else may be answered. Raises as the barrier."""
        self._plain_reads += reads
        return self._consensus.leader_barrier(reads)

    def _handler(self, view: View) -> Handler:
        def handle(request: Any, call: CallContext) -> Awaitable[Any]:
            return self._read(request, call, view)

        return handle

    def _long_handler(self, view: View) -> Handler:
        def handle(request: Any, call: CallContext) -> Awaitable[Any]:
            return self._read_in_turn(request, call, view)

        return handle

    def _list(self, request: pb.ListRequest, call: CallContext) -> Awaitable[Any]:
        read = self._read if _is_short(request) else self._read_in_turn
        return read(request, call, views.list_directory)

    async def _read_in_turn(self, request: Any, call: CallContext, view: View) -> Any:
        """As `_read`, of what takes long: when it is the caller's turn, and it takes the answer."""
        self._turns.note(call.peer)
        if not self._plain_by_default or request.HasField("read"):
            await self._turn(call)
            return await self._read(request, call, view)
        self._plain_reads += 1
        await self._consensus.leader_barrier()
        # After the barrier, which lets all that wait for it go on at once.
        await self._turn(call)
        return view(self._consensus.namespace, request, self._callers.of(call.identity).caller)

    async def _turn(self, call: CallContext) -> None:
        await self._turns.next(call.peer)
        while not call.is_writable:
            await call.writable()
            await self._turns.next(call.peer)

    async def _read(self, request: Any, call: CallContext, view: View) -> Any:
        """What *view* makes of the namespace, as fresh as *request* says."""
        self._turns.note(call.peer)
        caller = self._callers.of(call.identity).caller
        if self._plain_by_default and not request.HasField("read"):
            # The hot path: one await, no label.
            self._plain_reads += 1
            await self._consensus.leader_barrier()
            return view(self._consensus.namespace, request, caller)
        return await self._read_as_asked(request, caller, view)

    async def _read_as_asked(self, request: Any, caller: Caller, view: View) -> Any:
        asked = request.read
        wanted = _consistency(asked) or self._consistency
        try:
            answer, freshness = await self._reading.answer(
                wanted,
                wanted.any_master or asked.from_follower,
                lambda: view(self._consensus.namespace, request, caller),
            )
        except PydfsError as error:
            if (hint := self._hint()) and not isinstance(error, NotLeader):
                error.fields["leader_hint"] = hint
            raise
        # An answer without a label is the leader's and linearizable; who says how fresh is told
        # how fresh, and whom to ask for more.
        if isinstance(answer, Encoded):
            answer = answer.message()
        if request.HasField("read") or not (freshness.linearizable and self._consensus.is_leader):
            answer.freshness.CopyFrom(
                pb.Freshness(
                    linearizable=freshness.linearizable,
                    staleness_ms=freshness.staleness_ms,
                    served_by=freshness.served_by,
                    leader_hint=self._hint(),
                )
            )
        return answer

    def _hint(self) -> str:
        """Who leads, in an answer of a master that does not; "" of the leader."""
        return "" if self._consensus.is_leader else self._consensus.leader_hint


def _is_short(request: pb.ListRequest) -> bool:
    return 0 < request.limit <= SHORT_LIST_ENTRIES_MAX


def _encoded(view: View) -> Callable[[Namespace, Any, Caller], bytes]:
    def answer(namespace: Namespace, request: Any, caller: Caller) -> bytes:
        encoded: bytes = view(namespace, request, caller).SerializeToString()
        return encoded

    return answer


def _consistency(asked: pb.ReadOptions) -> Consistency | None:
    """What a request asks for, None when it leaves that to the configuration.

    Raises:
        InvalidArgument: an unknown mode, or bounded without a bound.
    """
    if asked.mode == pb.ReadOptions.DEFAULT:
        return None
    if asked.mode == pb.ReadOptions.BOUNDED:
        if not asked.max_staleness_ms:
            raise InvalidArgument("a bounded read needs max_staleness_ms, 1 or more")
        return Consistency("bounded", asked.max_staleness_ms)
    wanted = _MODES.get(asked.mode)
    if wanted is None:
        raise InvalidArgument(
            f"read mode {asked.mode} is unknown here: ask for LINEARIZABLE, LEASE, BOUNDED or STALE"
        )
    return wanted

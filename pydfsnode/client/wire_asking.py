"""How the masters' RPCs are asked: op ids for changes, options and labels for reads."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import Freshness
from pydfsnode.client.session import OpSession
from pydfsnode.errors import PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb

_NAMESPACE = "/pydfs.v1.Namespace/"
_MODES = {
    "linearizable": pb.ReadOptions.LINEARIZABLE,
    "lease": pb.ReadOptions.LEASE,
    "bounded": pb.ReadOptions.BOUNDED,
    "stale": pb.ReadOptions.STALE,
    "follower": pb.ReadOptions.LINEARIZABLE,
}


class Router(Protocol):
    """Finds the leader and asks it; see routing.py."""

    async def call(
        self,
        path: str,
        request: Any,
        *,
        timeout_ms: int,
        final: tuple[type[PydfsError], ...] = (),
    ) -> Any:
        """The leader's answer; see LeaderRouter.call."""
        ...

    async def read_any(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Any master's answer; see LeaderRouter.read_any."""
        ...

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well."""
        ...


class Asking:
    """Requests of the Namespace service, by the name of the method."""

    def __init__(self, router: Router, session: OpSession, timeout_ms: int) -> None:
        self._router = router
        self._session = session
        self.timeout_ms = timeout_ms
        self.stalest: Freshness | None = None
        """Of all answers so far, the one that promised least; None while all were linearizable."""

    async def change(
        self, name: str, request: Any, final: tuple[type[PydfsError], ...] = ()
    ) -> Any:
        """The answer to a mutation, which has one op id in all its attempts.

        Args:
            name: of the method.
            request: without its op id, which is set here.
            final: see LeaderRouter.call.
        """
        async with self._session.operation() as op:
            # In place: a message of its own, and its copy, take twice the time.
            head = request.op
            head.client_id = op.client_id
            head.seq = op.seq
            head.first_unacked = op.first_unacked
            return await self._router.call(
                _NAMESPACE + name, request, timeout_ms=self.timeout_ms, final=final
            )

    def ask(self, name: str, request: Any) -> Awaitable[Any]:
        """The leader's answer to what is no mutation."""
        return self._router.call(_NAMESPACE + name, request, timeout_ms=self.timeout_ms)

    def read(self, name: str, request: Any, consistency: Consistency | None) -> Awaitable[Any]:
        """An answer as fresh as *consistency*; None leaves it to the masters' configuration."""
        if consistency is None:
            return self.ask(name, request)
        options = request.read
        options.mode = _MODES[consistency.mode]
        options.max_staleness_ms = consistency.max_staleness_ms
        options.from_follower = consistency.any_master
        if consistency.any_master:
            return self._router.read_any(_NAMESPACE + name, request, timeout_ms=self.timeout_ms)
        return self.ask(name, request)

    def freshness(self, answer: Any) -> Freshness | None:
        """The label of *answer*, None when it has none: then it is linearizable."""
        if not answer.HasField("freshness"):
            return None
        label = answer.freshness
        found = Freshness(label.linearizable, label.staleness_ms, label.served_by)
        if found.staler_than(self.stalest):
            self.stalest = found
        return found

"""How the masters' RPCs are asked: op ids for changes, options and labels for reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from pydfsnode._fast import client_requests
from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import Freshness
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire_values import freshness
from pydfsnode.errors import PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

NAMESPACE = "/pydfs.v1.Namespace/"
_MODES = {
    "linearizable": pb.ReadOptions.LINEARIZABLE,
    "lease": pb.ReadOptions.LEASE,
    "bounded": pb.ReadOptions.BOUNDED,
    "stale": pb.ReadOptions.STALE,
    "follower": pb.ReadOptions.LINEARIZABLE,
}
T = TypeVar("T")


class Router(Protocol):
    """Finds the leader and asks it; see routing.py."""

    def call(
        self,
        path: str,
        request: bytes,
        *,
        timeout_ms: int,
        final: tuple[type[PydfsError], ...] = (),
        changes: bool = False,
    ) -> Awaitable[bytes]:
        """The leader's answer; see LeaderRouter.call."""
        ...

    def read_any(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """Any master's answer; see LeaderRouter.read_any."""
        ...

    def hinted(self, leader_hint: str) -> None:
        """Who leads, by the answer of another master; "": that says nothing."""
        ...

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well."""
        ...


class Asking:
    """Requests of the Namespace service.

    What is asked often is encoded and read without protobuf: `change` and `read`. All else goes by
    `change_message` and `read_message`, as a message without its op id or its options.
    """

    def __init__(self, router: Router, session: OpSession, timeout_ms: int) -> None:
        self._router = router
        self._session = session
        self.timeout_ms = timeout_ms
        self.stalest: Freshness | None = None
        """Of all answers so far, the one that promised least; None while all were linearizable."""
        self._options: tuple[Consistency | None, bytes] = (None, b"")  # those encoded last

    async def change(
        self,
        path: str,
        fields: bytes,
        read_answer: Callable[[bytes], T],
        final: tuple[type[PydfsError], ...] = (),
    ) -> T:
        """The answer to a mutation, which has one op id in all its attempts.

        Args:
            path: of the method.
            fields: the encoded request without its op id, which is set here.
            read_answer: makes of the encoded answer what is returned.
            final: see LeaderRouter.call.
        """
        session = self._session
        if session.is_full:
            await session.wait_for_room()
        seq = session.begin()
        try:
            op = client_requests.operation(session.client_id, seq, session.first_unacked)
            answer = await self._router.call(
                path, op + fields, timeout_ms=self.timeout_ms, final=final, changes=True
            )
            return read_answer(answer)
        finally:
            session.end(seq)

    def change_message(
        self, name: str, request: Any, final: tuple[type[PydfsError], ...] = ()
    ) -> Coroutine[Any, Any, Any]:
        """As `change`, by the name of the method, with messages."""
        path = NAMESPACE + name
        # The op id is field 1: what is encoded without it stands behind it.
        return self.change(path, request.SerializeToString(), rpc_of(path).parse_response, final)

    async def ask_message(self, name: str, request: Any) -> Any:
        """The leader's answer to what is no mutation and no read."""
        path = NAMESPACE + name
        encoded = request.SerializeToString()
        answer = await self._router.call(path, encoded, timeout_ms=self.timeout_ms)
        return rpc_of(path).parse_response(answer)

    async def read(
        self,
        path: str,
        request: bytes,
        consistency: Consistency | None,
        read_answer: Callable[[bytes], T],
    ) -> T:
        """An answer as fresh as *consistency*; None leaves it to the masters' configuration.

        Args:
            path: of the method.
            request: encoded, with the options of *consistency*.
            read_answer: makes of the encoded answer what is returned.
        """
        if consistency is None or not consistency.any_master:
            answer = await self._router.call(path, request, timeout_ms=self.timeout_ms)
        else:
            answer = await self._router.read_any(path, request, timeout_ms=self.timeout_ms)
        return read_answer(answer)

    def read_message(
        self, name: str, request: Any, consistency: Consistency | None
    ) -> Coroutine[Any, Any, Any]:
        """As `read`, by the name of the method, with messages; the options are set here."""
        path = NAMESPACE + name
        # The options stand last in every request.
        encoded = request.SerializeToString() + self.options(consistency)
        return self.read(path, encoded, consistency, rpc_of(path).parse_response)

    def options(self, consistency: Consistency | None) -> bytes:
        """The encoded field `read` of a request: b"" for None."""
        last, encoded = self._options
        if consistency is last:
            return encoded
        if consistency is None:
            return b""
        options = pb.StatRequest()
        options.read.mode = _MODES[consistency.mode]
        options.read.max_staleness_ms = consistency.max_staleness_ms
        options.read.from_follower = consistency.any_master
        encoded = options.SerializeToString()
        self._options = (consistency, encoded)
        return encoded

    def freshness(self, answer: Any) -> Freshness | None:
        """The label of the message *answer*, None when it has none: then it is linearizable."""
        found = freshness(answer)
        return None if found is None else self.labelled(found)

    def labelled(self, found: Freshness) -> Freshness:
        """Take *found*, of an answer, into `stalest`."""
        if found.leader_hint:
            self._router.hinted(found.leader_hint)
        if found.staler_than(self.stalest):
            self.stalest = found
        return found

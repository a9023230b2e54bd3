"""The Namespace service over real consensus whose driver does what it is told, when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from pydfsnode import limits
from pydfsnode.client.consistency import LINEARIZABLE, Consistency
from pydfsnode.errors import BY_CODE, NotLeader, PydfsError
from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.service.namespace import SERVICE, NamespaceService
from pydfsnode.roles.master.service.writing import FileDefaults
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security.identity import Identity
from tests.support.capabilities import give_key
from tests.unit.client.fakes import FakeFleet

ANN = Identity("testcluster", "admin", "ann")
BOB = Identity("testcluster", "user", "bob")


class FakeStatus:
    node_id = "m1#5f3a9c01"


class Driver:
    """Keeps what is proposed and asked until `go`; with `at_once` it does not wait for that."""

    term = 7

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.at_once = True
        self.is_leader = True
        self.payloads: list[bytes] = []
        self.waiting: list[asyncio.Future[object]] = []
        self.barriers: list[asyncio.Future[None]] = []
        self.reads: list[int] = []
        self.refusal: PydfsError | None = None

    def status(self) -> FakeStatus:
        return FakeStatus()

    @property
    def leader_hint(self) -> str:
        return "m1=h:1" if self.is_leader else "m2=h:1"

    def require_leader(self) -> None:
        if not self.is_leader:
            raise NotLeader("m1 is not the leader; ask m2=h:1", leader_hint="m2=h:1")

    require_leader_soon = require_leader

    def propose(self, payload: bytes, client: int) -> asyncio.Future[object]:
        self.require_leader()
        if self.refusal is not None:
            raise self.refusal
        assert client == decode_op(payload).client_id
        self.payloads.append(payload)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        if self.at_once:
            self.apply()
        return future

    def apply(self) -> None:
        """Apply all that waits."""
        waiting, self.waiting = self.waiting, []
        for future, payload in zip(waiting, self.payloads[-len(waiting) :], strict=True):
            index = self._namespace.applied_index + 1
            outcome = self._namespace.apply(decode_op(payload), index)
            if not future.done():
                future.set_result(outcome)

    def read_barrier(self, lease: bool = False, reads: int = 1) -> asyncio.Future[None]:
        self.reads.append(reads)
        barrier: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.barriers.append(barrier)
        if self.at_once:
            self.confirm()
        return barrier

    def confirm(self) -> None:
        """Let all that is asked be read."""
        for barrier in self.barriers:
            if not barrier.done():
                barrier.set_result(None)
        self.barriers.clear()

    def holds_lease(self) -> bool:
        return self.is_leader

    def staleness_ms(self) -> int | None:
        return 0


class ServiceBench:
    """`ask` calls one method, `batch` several in one message."""

    def __init__(
        self, consistency: Consistency = LINEARIZABLE, defaults: FileDefaults | None = None
    ) -> None:
        self.namespace = Namespace()
        give_key(self.namespace)
        self.driver = Driver(self.namespace)
        self.consensus = Consensus(
            cast(Any, self.driver),
            self.namespace,
            ManualClock(),
            read_inline=lambda content_id: self.namespace.tree.inline.get(content_id) or b"",
        )
        self.fleet = cast(Any, FakeFleet(["c1", "c2", "c3"]))
        self.service = NamespaceService(
            self.consensus,
            Allocation(self.consensus, self.fleet, self.namespace),
            self.fleet,
            defaults or FileDefaults(3, limits.CHUNK_BYTES_MIN),
            callers=Callers({"eng": ["bob"]}),
            consistency=consistency,
        )
        self.handlers: Mapping[str, Any] = self.service.handlers()
        self.seq = 0

    def op(self, client_id: int = 7) -> pb.OpId:
        self.seq += 1
        return pb.OpId(client_id=client_id, seq=self.seq)

    def call(self, identity: Identity = ANN, peer: str = "h:1") -> CallContext:
        return CallContext(identity, METHODS[f"{SERVICE}Batch"], peer=peer)

    async def ask(self, method: str, request: Any, identity: Identity = ANN) -> bytes:
        """The response, encoded."""
        path = SERVICE + method
        parsed = rpc_of(path).parse_request(request.SerializeToString())
        response = await self.handlers[path](parsed, self.call(identity))
        encoded: bytes = response.SerializeToString()
        return encoded

    async def batch(
        self, *asked: tuple[str, Any], identity: Identity = ANN, peer: str = "h:1"
    ) -> list[Any]:
        """Response or error of each item."""
        request = pb.BatchRequest(items=[item_of(method, request) for method, request in asked])
        response = await self.handlers[f"{SERVICE}Batch"](request, self.call(identity, peer))
        answers = pb.BatchResponse.FromString(response.SerializeToString()).answers
        assert len(answers) == len(asked)
        return [told(method, answer) for (method, _), answer in zip(asked, answers, strict=True)]


def item_of(method: str, request: Any) -> pb.BatchItem:
    encoded = request if isinstance(request, bytes) else request.SerializeToString()
    return pb.BatchItem(method=method, request=encoded)


def told(method: str, answer: pb.BatchAnswer) -> Any:
    if not answer.error:
        return rpc_of(SERVICE + method).parse_response(answer.response)
    assert not answer.response
    info = pb.ErrorInfo.FromString(answer.error)
    fields = {**info.fields, "leader_hint": info.leader_hint} if info.leader_hint else info.fields
    return BY_CODE[info.code](info.message, **fields)

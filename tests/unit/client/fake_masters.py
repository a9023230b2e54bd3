"""Masters for the router that answer as they are told; time passes only where told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydfsnode.client.routing import LeaderRouter
from pydfsnode.client.wire_cluster import list_masters
from pydfsnode.config import Peer
from pydfsnode.errors import NotLeader, OutcomeUnknown, PydfsError
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock

STAT = "/pydfs.v1.Namespace/Stat"
MKDIRS = "/pydfs.v1.Namespace/Mkdirs"
MASTERS = [Peer(f"m{n}", f"10.0.0.{n}:7001") for n in (1, 2, 3)]
Behaviour = Callable[[bytes, int], bytes]
_ROOT = pb.StatRequest(path="/").SerializeToString()


class FakeMasters:
    """Three masters; each answers by its behaviour, and time passes only where told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asked: list[str] = []
        self.peers: list[Peer] = []
        self.requests: list[bytes] = []
        self.slept_ms: list[int] = []
        self.behaviour: dict[str, Behaviour] = {}
        self.members: list[Peer] = []
        self.router = LeaderRouter(
            MASTERS, self._channel, clock=self.clock, random=lambda: 0.5, sleep=self._sleep
        )

    def with_lists(self) -> None:
        """From now on the router asks leaders for the list of all masters."""
        self.router = LeaderRouter(
            MASTERS, self._channel, clock=self.clock, random=lambda: 0.5, sleep=self._sleep,
            list_masters=list_masters,
        )  # fmt: skip

    def list_answer(self, _request: bytes, _timeout_ms: int) -> bytes:
        """A leader's answer to Members, and to all else: it is not looked at."""
        return pb.MembersResponse(
            members=[pb.MasterState(id=p.node_id, listen=p.listen) for p in self.members]
        ).SerializeToString()

    def _channel(self, peer: Peer) -> _FakeChannel:
        return _FakeChannel(self, peer)

    async def _sleep(self, seconds: float) -> None:
        self.slept_ms.append(round(seconds * 1000))
        self.clock.advance(max(1, round(seconds * 1000)))

    def leads(self, leader: str | None) -> None:
        """*leader* answers, the others hint at it."""
        hint = next((str(peer) for peer in MASTERS if peer.node_id == leader), "")
        for peer in MASTERS:
            self.behaviour[peer.node_id] = (
                answers if peer.node_id == leader else fails(NotLeader("no", leader_hint=hint))
            )

    async def stat(self, timeout_ms: int = 30_000) -> bytes:
        return await self.router.call(STAT, _ROOT, timeout_ms=timeout_ms)

    async def stat_any(self, timeout_ms: int = 30_000) -> bytes:
        return await self.router.read_any(STAT, _ROOT, timeout_ms=timeout_ms)

    async def mkdirs(self, timeout_ms: int = 30_000, **more: Any) -> bytes:
        request = pb.MkdirsRequest(op=pb.OpId(client_id=9, seq=4), path="/d").SerializeToString()
        return await self.router.call(MKDIRS, request, timeout_ms=timeout_ms, changes=True, **more)


class _FakeChannel:
    def __init__(self, masters: FakeMasters, peer: Peer) -> None:
        self._masters = masters
        self._peer = peer

    async def ask(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        assert path in METHODS
        self._masters.asked.append(self._peer.node_id)
        self._masters.peers.append(self._peer)
        self._masters.requests.append(request)
        behaviour = self._masters.behaviour
        # A test may tell apart the addresses of one master: "m3=10.0.0.3:7001" goes before "m3".
        behave = behaviour.get(str(self._peer)) or behaviour[self._peer.node_id]
        return behave(request, timeout_ms)


def answers(_request: bytes, _timeout_ms: int) -> bytes:
    return b"answer"


def fails(error: PydfsError) -> Behaviour:
    def fail(_request: bytes, _timeout_ms: int) -> bytes:
        raise error

    return fail


def first(*behaviours: Behaviour) -> Behaviour:
    """Each behaviour once, the last for ever."""
    left = list(behaviours)

    def behave(request: bytes, timeout_ms: int) -> bytes:
        return (left.pop(0) if len(left) > 1 else left[0])(request, timeout_ms)

    return behave


def hangs(masters: FakeMasters, reason: str = "timeout") -> Behaviour:
    """Sent, and no answer until the attempt's patience is over."""

    def hang(_request: bytes, timeout_ms: int) -> bytes:
        masters.clock.advance(timeout_ms)
        raise OutcomeUnknown("no answer", reason=reason)

    return hang

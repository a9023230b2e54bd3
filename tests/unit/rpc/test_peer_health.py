"""PeerHealth, and what channels tell it: faults by kind, breakers that open, probe and close."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any

import pytest

from pydfsnode.errors import NotFound, OutcomeUnknown, PydfsError, Unavailable
from pydfsnode.obs.faults import FIELD, Fault
from pydfsnode.obs.log import Logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc import channel as channel_module
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.peer_health import LOG_EVERY_MS, PeerHealth, server_peer_health
from pydfsnode.rpc.server_connection import ServerConnection
from pydfsnode.runtime.breaker import FAILURES_MAX, BreakerState
from pydfsnode.runtime.clock import ManualClock
from tests.unit.rpc.harness import PING, Wire


class Log(Logger):
    """Remembers level, fault and how often."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[tuple[str, str, int]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", fields["fault"], fields["times"]))

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(("debug", fields["fault"], fields["times"]))


def refused() -> PydfsError:
    return Unavailable("cannot connect", **{FIELD: Fault.REFUSED})


def test_a_fault_is_logged_as_its_kind_says_and_not_again_at_once() -> None:
    clock, log = ManualClock(), Log()
    health = PeerHealth(logger=log, clock=clock)
    for _ in range(5):
        health.note("m1", refused())
    health.note("m1", NotFound("/a"))
    clock.advance(LOG_EVERY_MS)
    health.note("m1", refused())
    assert log.lines == [("warning", "refused", 1), ("warning", "refused", 5)]
    assert health.faults.of("m1", Fault.REFUSED) == 6


def test_a_peer_that_moved_has_a_breaker_of_its_own() -> None:
    health = PeerHealth()
    before = health.breaker("m1", "h:1")
    assert health.breaker("m1", "h:1") is before
    assert health.breaker("m1", "h:2") is not before


def free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


async def test_a_peer_that_refuses_is_soon_not_asked_and_is_found_when_it_is_back(
    framed: Wire,
) -> None:
    address, clock = free_address(), ManualClock()
    health = PeerHealth(clock=clock)
    client = FramedChannel(address, framed.world.tls("alice"), "chunkserver", "cs1", health=health)
    for _ in range(FAILURES_MAX):
        with pytest.raises(Unavailable) as failure:
            await client.unary(PING, dfs_pb2.PingRequest())
        assert failure.value.fields[FIELD] == Fault.REFUSED
        assert failure.value.fields["peer"] == "cs1"
    with pytest.raises(Unavailable, match="cannot connect") as failure:
        await client.unary(PING, dfs_pb2.PingRequest())
    assert failure.value.fields[FIELD] == Fault.BREAKER_OPEN
    assert [peer.state for peer in health.peers()] == [BreakerState.OPEN]
    assert health.faults.of("cs1", Fault.REFUSED) == FAILURES_MAX

    async def echo(request: Any, context: CallContext) -> Any:
        return dfs_pb2.PingResponse(payload=request.payload)

    server = FramedServer({PING: echo}, framed.world.tls("cs1"), "chunkserver")
    await server.start(address)
    clock.advance(10_000)
    assert (await client.unary(PING, dfs_pb2.PingRequest(payload=b"x"))).payload == b"x"
    assert [peer.state for peer in health.peers()] == [BreakerState.CLOSED]
    await client.close()
    await server.stop(1000)


async def test_silence_opens_the_breaker_and_a_slow_answer_does_not(
    framed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()

    async def slow(request: Any, context: CallContext) -> Any:
        if request.payload == b"quick":
            return dfs_pb2.PingResponse()
        await answered.wait()
        return dfs_pb2.PingResponse()

    health = PeerHealth()
    address = await framed.serve({PING: slow})
    client = FramedChannel(address, framed.world.tls("alice"), "chunkserver", "cs1", health=health)
    await client.unary(PING, dfs_pb2.PingRequest(payload=b"quick"))
    # Other answers come meanwhile: it is this call that is slow.
    waiting = asyncio.ensure_future(client.unary(PING, dfs_pb2.PingRequest(), timeout_ms=50))
    while not waiting.done():
        await client.unary(PING, dfs_pb2.PingRequest(payload=b"quick"))
    with pytest.raises(OutcomeUnknown):
        await waiting
    (peer,) = health.peers()
    assert (peer.failures, peer.state) == (0, BreakerState.CLOSED)
    monkeypatch.setattr(channel_module, "SILENT_S", 0.0)
    # Else the server says itself, at the same moment, that the time is over.
    monkeypatch.setattr(
        ServerConnection, "expire", lambda _connection, call: setattr(call, "deadline", math.inf)
    )
    calls = [client.unary(PING, dfs_pb2.PingRequest(), timeout_ms=50) for _ in range(FAILURES_MAX)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, OutcomeUnknown) for outcome in outcomes)
    (peer,) = health.peers()
    assert peer.failures == FAILURES_MAX
    assert health.faults.of("cs1", Fault.TIMED_OUT) == FAILURES_MAX + 1
    answered.set()
    await client.close()


def test_a_nodes_faults_and_breakers_are_among_its_metrics() -> None:
    def sample(name: str, **labels: str) -> float | None:
        return metrics().registry.get_sample_value(f"pydfs_{name}", labels)

    health = server_peer_health()
    breaker = health.breaker("m-metrics", "h:1")
    assert sample("rpc_breaker_open_boolean", peer="m-metrics") == 0
    for _ in range(FAILURES_MAX):
        health.note("m-metrics", refused())
        breaker.failed("refused")
    assert sample("rpc_faults_total", peer="m-metrics", fault="refused") == FAILURES_MAX
    assert sample("rpc_breaker_open_boolean", peer="m-metrics") == 1

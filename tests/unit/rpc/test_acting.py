"""A gateway acts for the users that the configuration lists for it, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.errors import ConfigError, PermissionDenied
from pydfsnode.rpc.acting import ACT_FOR_KEY, Acting
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.telemetry import Denial
from pydfsnode.security.identity import Identity
from tests.unit.rpc.harness import STAT, Wire, counter

GATEWAY = Identity("testcluster", "gateway", "gw1")


class Seen:
    def __init__(self) -> None:
        self.calls: list[CallContext] = []

    async def stat(self, _request: Any, call: CallContext) -> Any:
        self.calls.append(call)
        return dfs_pb2.StatResponse()


async def ask(wire: Wire, address: str, who: str, act_for: str) -> None:
    request = dfs_pb2.StatRequest(path="/")
    if wire.transport == "grpc":
        client = wire.client(address, who)
        await client.unary(STAT, request, **{ACT_FOR_KEY: act_for})
        return
    tls = wire.world.tls(who)
    channel = FramedChannel(address, tls, "master", metadata={ACT_FOR_KEY: act_for})
    wire._clients.append(channel)
    # The first request of a connection takes another way than the others.
    await channel.unary(STAT, request, timeout_ms=5000)
    await channel.unary(STAT, request, timeout_ms=5000)


@pytest.fixture
async def served(wire: Wire) -> tuple[Wire, str, Seen]:
    seen = Seen()
    address = await wire.serve({STAT: seen.stat}, "m1")
    wire.server.dispatch.acting = Acting({"gw1": ["bob"], "gw2": ["carol"]})
    return wire, address, seen


async def test_it_is_the_user_for_the_handlers(served: tuple[Wire, str, Seen]) -> None:
    wire, address, seen = served
    await ask(wire, address, "gw1", "bob")
    bob = Identity("testcluster", "user", "bob")
    assert {call.identity for call in seen.calls} == {bob}
    assert {call.via for call in seen.calls} == {GATEWAY}
    assert len({id(call.identity) for call in seen.calls}) == 1
    seen.calls.clear()
    await ask(wire, address, "gw1", "")
    assert {(call.identity, call.via) for call in seen.calls} == {(GATEWAY, None)}


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("carol", True), ("root", True), ("../bob", False), ("bob ", False), ("*", False),
        ("x" * 500, False),
    ],
)  # fmt: skip
async def test_nobody_else_is_acted_for(
    served: tuple[Wire, str, Seen], name: str, is_told: bool
) -> None:
    """Who was named is told, for the audit trail, unless it is no name."""
    wire, address, seen = served
    told: list[Denial] = []
    wire.server.dispatch.telemetry.denials.listener = told.append
    before = counter("rpc_refused_peers_total", "may_not_act_for", wire.transport)
    with pytest.raises(PermissionDenied, match="may not act for"):
        await ask(wire, address, "gw1", name)
    assert not seen.calls
    assert counter("rpc_refused_peers_total", "may_not_act_for", wire.transport) == before + 1
    (denial,) = told
    assert (denial.cmd, denial.reason, denial.method) == ("call", "may_not_act_for", STAT)
    expected = (name, "user", "gateway/gw1") if is_told else ("gw1", "gateway", "")
    assert (denial.user, denial.role, denial.via) == expected


@pytest.mark.parametrize("who", ["alice", "root"])
async def test_others_act_as_themselves(served: tuple[Wire, str, Seen], who: str) -> None:
    wire, address, seen = served
    await ask(wire, address, who, "bob")
    assert {call.identity.name for call in seen.calls} == {who}


@pytest.mark.parametrize("listed", [{"gw1": ["*"]}, {"gw 1": ["bob"]}])
def test_a_list_of_what_are_no_names_is_refused(listed: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match="may_act_for"):
        Acting(listed)

"""A master tells who it is, to other masters only, and proves it by its certificate."""

from __future__ import annotations

import pytest

from pydfsnode.config import Peer
from pydfsnode.errors import PeerUnauthenticated, Unavailable
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master.service.raft import RaftService
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.raft_hello import PATH, Hello, HelloCaller
from pydfsnode.runtime.breaker import FAILURES_MAX
from tests.unit.rpc.harness import Wire, World

OWN = Hello("m1", 10, masters=("m1", "m2"))


async def test_a_new_master_tells_with_whom_it_would_begin(framed: Wire, world: World) -> None:
    new = Hello("m2", 11, masters=("m1", "m2"))
    service = RaftService(new, Configuration)
    address = await framed.serve(dict(service.handlers()), "m2")
    found = await HelloCaller(OWN, world.tls("m1")).ask(Peer("m2", address))
    assert found == new
    assert found.member == "m2#0000000b"


async def test_a_member_tells_of_its_members(framed: Wire, world: World) -> None:
    configuration = Configuration(voters=("m1#0000000a", "m2#0000000b"))
    service = RaftService(Hello("m2", 11, masters=("m2",)), lambda: configuration)
    address = await framed.serve(dict(service.handlers()), "m2")
    found = await HelloCaller(OWN, world.tls("m1")).ask(Peer("m2", address))
    assert found == Hello("m2", 11, True, configuration.members)


async def test_another_master_at_the_address_is_not_taken_for_it(
    framed: Wire, world: World
) -> None:
    address = await framed.serve({PATH: RaftService(OWN, Configuration).hello}, "m2")
    with pytest.raises(PeerUnauthenticated):
        await HelloCaller(OWN, world.tls("m1")).ask(Peer("m3", address))


async def test_nobody_at_the_address_is_unavailable(world: World) -> None:
    with pytest.raises(Unavailable):
        await HelloCaller(OWN, world.tls("m1")).ask(Peer("m3", "127.0.0.1:1"))


async def test_one_that_was_started_just_now_is_asked_though_calls_to_it_failed(
    framed: Wire, world: World
) -> None:
    new = Hello("m2", 11, masters=("m1", "m2"))
    address = await framed.serve(dict(RaftService(new, Configuration).handlers()), "m2")
    health = PeerHealth()
    breaker = health.breaker("m2", address)
    for _ in range(FAILURES_MAX):
        breaker.failed("nobody listens there")
    assert await HelloCaller(OWN, world.tls("m1"), health).ask(Peer("m2", address)) == new


async def test_what_failed_is_counted(world: World) -> None:
    health = PeerHealth()
    with pytest.raises(Unavailable):
        await HelloCaller(OWN, world.tls("m1"), health).ask(Peer("m3", "127.0.0.1:1"))
    assert health.faults.of_peer("m3") == {"refused": 1}

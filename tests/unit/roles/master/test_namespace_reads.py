"""The Namespace service's reads: options to modes, labels on answers, none on the hot path."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import InvalidArgument, NotFound
from pydfsnode.roles.master.service.namespace import SERVICE
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.unit.client.fakes import ANN, FakeCluster

CONTEXT = CallContext(ANN, METHODS[f"{SERVICE}Stat"])
Options = pb.ReadOptions
LEADER = "m1=10.0.0.1:7001"
"""What `FakeConsensus` says."""
REQUESTS = {
    "Stat": pb.StatRequest,
    "List": pb.ListRequest,
    "Locate": pb.LocateRequest,
    "Summary": pb.SummaryRequest,
}


class Reads:
    """A service with one file, /f, on a leader, or on a follower that is 40 ms old."""

    def __init__(self, consistency: str = "linearizable") -> None:
        self.cluster = FakeCluster(
            limits.CHUNK_BYTES_MIN, consistency=Consistency.parse(consistency)
        )
        self.consensus = self.cluster.consensus
        self.handlers: Any = self.cluster.service.handlers()

    async def begin(self, *, leads: bool) -> Reads:
        await self.cluster.connect().pipe_file("/f", b"")
        self.consensus.barriers.clear()
        self.consensus.is_leader = leads
        self.consensus.staleness = 0 if leads else 40
        return self

    async def ask(self, method: str = "Stat", **options: Any) -> Any:
        request = REQUESTS[method](path="/f")
        if options:
            request.read.CopyFrom(Options(**options))
        return await self.handlers[SERVICE + method](request, CONTEXT)


@pytest.fixture
async def leader() -> Reads:
    return await Reads().begin(leads=True)


@pytest.fixture
async def follower() -> Reads:
    return await Reads().begin(leads=False)


@pytest.mark.parametrize("method", REQUESTS)
async def test_a_plain_read_is_confirmed_and_has_no_label(leader: Reads, method: str) -> None:
    answer = await leader.ask(method)
    assert leader.consensus.barriers == ["leader"]
    assert not answer.HasField("freshness")


@pytest.mark.parametrize("method", REQUESTS)
async def test_every_read_takes_options_and_is_labelled(follower: Reads, method: str) -> None:
    answer = await follower.ask(method, mode=Options.STALE)
    assert follower.consensus.barriers == []
    label = answer.freshness
    assert (label.linearizable, label.staleness_ms, label.served_by) == (False, 40, "m1")


@pytest.mark.parametrize(
    ("options", "barriers"),
    [
        ({"mode": Options.LINEARIZABLE}, ["leader"]),
        ({"mode": Options.LEASE}, ["lease"]),
        ({"mode": Options.BOUNDED, "max_staleness_ms": 5}, []),
        ({"mode": Options.STALE}, []),
        ({"mode": Options.LINEARIZABLE, "from_follower": True}, ["any"]),
        ({"from_follower": True}, ["any"]),
        ({"max_staleness_ms": 5}, ["leader"]),
    ],
)
async def test_options_choose_the_barrier(
    leader: Reads, options: dict[str, Any], barriers: list[str]
) -> None:
    answer = await leader.ask(**options)
    assert leader.consensus.barriers == barriers
    assert answer.freshness.served_by == "m1", "who says how fresh is told how fresh"
    assert answer.freshness.linearizable is bool(barriers)


async def test_a_follower_beyond_the_bound_asks_the_leader(follower: Reads) -> None:
    answer = await follower.ask(mode=Options.BOUNDED, max_staleness_ms=39)
    assert follower.consensus.barriers == ["any"]
    assert answer.freshness.linearizable


@pytest.mark.parametrize(
    ("text", "barriers", "labelled"),
    [("lease", ["lease"], False), ("stale", [], True), ("bounded:1000", [], True),
     ("follower", ["any"], False)],
)  # fmt: skip
async def test_the_configuration_says_what_a_read_that_does_not_say_gets(
    text: str, barriers: list[str], labelled: bool
) -> None:
    leader = await Reads(text).begin(leads=True)
    answer = await leader.ask()
    assert leader.consensus.barriers == barriers
    assert answer.HasField("freshness") is labelled
    leader.consensus.barriers.clear()
    await leader.ask(mode=Options.LINEARIZABLE)
    assert leader.consensus.barriers == ["leader"], "what the request says goes first"


async def test_bounded_without_a_bound_and_an_unknown_mode_are_refused(leader: Reads) -> None:
    with pytest.raises(InvalidArgument, match="max_staleness_ms"):
        await leader.ask(mode=Options.BOUNDED)
    with pytest.raises(InvalidArgument, match="read mode 77"):
        await leader.ask(mode=77)


async def test_who_does_not_lead_says_who_does(follower: Reads) -> None:
    for mode in (Options.STALE, Options.BOUNDED):
        answer = await follower.ask(mode=mode, max_staleness_ms=1)
        assert answer.freshness.leader_hint == LEADER
    with pytest.raises(NotFound) as refused:
        await follower.handlers[f"{SERVICE}Stat"](
            pb.StatRequest(path="/missing", read=Options(mode=Options.STALE)), CONTEXT
        )
    assert refused.value.fields["leader_hint"] == LEADER


async def test_a_follower_by_configuration_says_so_too() -> None:
    follower = await Reads("follower").begin(leads=False)
    answer = await follower.ask()
    assert (answer.freshness.linearizable, answer.freshness.leader_hint) == (True, LEADER)


async def test_the_leader_hints_at_nobody(leader: Reads) -> None:
    answer = await leader.ask(mode=Options.STALE)
    assert answer.freshness.leader_hint == ""
    with pytest.raises(InvalidArgument) as refused:
        await leader.ask(mode=Options.BOUNDED)
    assert "leader_hint" not in refused.value.fields

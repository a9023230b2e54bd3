"""LeaderRouter: hints, sweeps, retries with the same request, the deadline."""

from __future__ import annotations

import pytest

from pydfsnode.client.routing import ATTEMPT_MS, LeaderRouter
from pydfsnode.errors import (
    ConfigError,
    DeadlineExceeded,
    NoChunkservers,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    PermissionDenied,
    PydfsError,
    StaleRead,
    Unavailable,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock
from tests.unit.client.fake_masters import MASTERS, FakeMasters, answers, fails, first, hangs


@pytest.fixture
def masters() -> FakeMasters:
    return FakeMasters()


async def test_a_hint_costs_one_extra_round_trip_and_no_pause(masters: FakeMasters) -> None:
    masters.leads("m3")
    assert await masters.stat() == b"answer"
    assert masters.asked == ["m1", "m3"]
    assert masters.slept_ms == []


async def test_the_leader_is_remembered(masters: FakeMasters) -> None:
    masters.leads("m3")
    await masters.stat()
    await masters.stat()
    assert masters.asked == ["m1", "m3", "m3"]
    assert masters.router.leader == MASTERS[2]


async def test_a_dead_hint_costs_one_attempt_and_is_forgotten(masters: FakeMasters) -> None:
    masters.leads("m3")
    await masters.stat()
    masters.asked.clear()
    masters.leads("m2")
    masters.behaviour["m1"] = fails(NotLeader("no", leader_hint=str(MASTERS[2])))
    masters.behaviour["m3"] = fails(Unavailable("connection refused"))
    await masters.stat()
    assert masters.asked == ["m3", "m1", "m2"]
    await masters.stat()
    assert masters.asked[3:] == ["m2"]
    assert masters.slept_ms == []


async def test_a_leader_that_cannot_be_reached_is_forgotten_at_once(masters: FakeMasters) -> None:
    masters.leads("m2")
    await masters.stat()
    for peer in MASTERS:
        masters.behaviour[peer.node_id] = fails(Unavailable("down"))
    with pytest.raises(Unavailable):
        await masters.stat(timeout_ms=100)
    assert masters.router.leader is None


async def test_masters_that_hint_at_each_other_are_asked_with_pauses(masters: FakeMasters) -> None:
    masters.behaviour["m1"] = fails(NotLeader("no", leader_hint=str(MASTERS[1])))
    masters.behaviour["m2"] = fails(NotLeader("no", leader_hint=str(MASTERS[0])))
    masters.behaviour["m3"] = first(*[fails(Unavailable("down"))] * 5, answers)
    await masters.stat()
    assert len(masters.slept_ms) == 5
    assert masters.slept_ms == sorted(masters.slept_ms), "pauses grow"


async def test_a_hint_at_a_master_that_is_not_configured_is_followed(masters: FakeMasters) -> None:
    masters.leads(None)
    masters.behaviour["m1"] = fails(NotLeader("no", leader_hint="m9=10.0.0.9:7001"))
    masters.behaviour["m9"] = answers
    await masters.stat()
    assert masters.asked == ["m1", "m9"]


async def test_other_errors_hint_as_well(masters: FakeMasters) -> None:
    masters.leads("m3")
    masters.behaviour["m1"] = fails(StaleRead("too old", leader_hint=str(MASTERS[2])))
    await masters.stat()
    assert masters.asked == ["m1", "m3"]


async def test_who_leads_is_learned_from_the_answers_of_others(masters: FakeMasters) -> None:
    masters.leads("m3")
    masters.router.hinted("")
    masters.router.hinted(str(MASTERS[2]))
    await masters.stat()
    assert masters.asked == ["m3"]
    masters.router.hinted(str(MASTERS[1]))  # of one that is behind
    await masters.stat()
    assert masters.asked == ["m3", "m3"]


async def test_a_refused_read_of_another_master_says_who_leads(masters: FakeMasters) -> None:
    masters.leads("m2")
    masters.behaviour["m3"] = fails(NotFound("no such file", leader_hint=str(MASTERS[1])))
    with pytest.raises(NotFound):
        await masters.stat_any()
    await masters.stat()
    assert masters.asked == ["m3", "m2"]


@pytest.mark.parametrize("hint", ["", "m3", "m3=", "=10.0.0.3:1", "m3=nowhere", "m3=h:99999"])
async def test_a_hint_that_is_none_leads_to_the_next_master(
    masters: FakeMasters, hint: str
) -> None:
    masters.leads("m2")
    masters.behaviour["m1"] = fails(NotLeader("no", leader_hint=hint))
    await masters.stat()
    assert masters.asked == ["m1", "m2"]


async def test_every_attempt_carries_the_same_op_id(masters: FakeMasters) -> None:
    masters.leads("m3")
    masters.behaviour["m1"] = fails(OutcomeUnknown("connection lost", reason="lost"))
    masters.behaviour["m2"] = fails(Unavailable("down"))
    await masters.mkdirs()
    assert len(masters.requests) == 3
    assert {pb.MkdirsRequest.FromString(request).op.seq for request in masters.requests} == {4}


async def test_a_lost_answer_is_asked_for_again(masters: FakeMasters) -> None:
    masters.leads("m1")
    masters.behaviour["m1"] = first(fails(OutcomeUnknown("lost", reason="lost")), answers)
    assert await masters.mkdirs() == b"answer"
    assert masters.asked[0] == "m1"
    assert masters.asked[-1] == "m1"


async def test_an_overloaded_master_is_asked_again_after_what_it_says(
    masters: FakeMasters,
) -> None:
    masters.leads("m1")
    masters.behaviour["m1"] = first(fails(Overloaded("later", retry_after_ms=700)), answers)
    await masters.stat()
    assert masters.asked == ["m1", "m1"]
    assert 700 <= masters.slept_ms[0] < 800


@pytest.mark.parametrize("error", [NotFound("no such file"), PermissionDenied("not for you")])
async def test_a_final_answer_is_raised_at_once(masters: FakeMasters, error: PydfsError) -> None:
    masters.leads("m1")
    masters.behaviour["m1"] = fails(error)
    with pytest.raises(type(error)) as raised:
        await masters.mkdirs()
    assert raised.value is error
    assert masters.asked == ["m1"]


async def test_errors_that_the_caller_calls_final_are_not_retried(masters: FakeMasters) -> None:
    masters.behaviour["m1"] = fails(NoChunkservers("none left"))
    with pytest.raises(NoChunkservers):
        await masters.mkdirs(final=(NoChunkservers,))
    assert masters.asked == ["m1"]


async def test_without_a_leader_the_deadline_is_kept(masters: FakeMasters) -> None:
    masters.leads(None)
    with pytest.raises(NotLeader, match=r"Mkdirs had no answer from a leader within 2 s"):
        await masters.mkdirs(timeout_ms=2_000)
    assert masters.clock.monotonic_ms() == 2_000
    assert 5 < len(masters.asked) < 100


async def test_an_unreachable_cluster_is_named_with_its_masters(masters: FakeMasters) -> None:
    for peer in MASTERS:
        masters.behaviour[peer.node_id] = fails(Unavailable(f"{peer.listen}: cannot connect"))
    with pytest.raises(Unavailable) as raised:
        await masters.stat(timeout_ms=1_000)
    assert "m1=10.0.0.1:7001, m2=10.0.0.2:7001, m3=10.0.0.3:7001" in raised.value.message
    assert "cannot connect" in raised.value.message


async def test_a_change_that_may_have_happened_ends_as_outcome_unknown(
    masters: FakeMasters,
) -> None:
    masters.leads(None)
    masters.behaviour["m2"] = hangs(masters)
    with pytest.raises(OutcomeUnknown):
        await masters.mkdirs(timeout_ms=5_000)
    assert masters.clock.monotonic_ms() == 5_000


async def test_a_read_that_was_never_answered_ends_as_deadline_exceeded(
    masters: FakeMasters,
) -> None:
    for peer in MASTERS:
        masters.behaviour[peer.node_id] = hangs(masters)
    with pytest.raises(DeadlineExceeded):
        await masters.stat(timeout_ms=5_000)


async def test_a_frozen_leader_is_left_after_the_attempts_patience(masters: FakeMasters) -> None:
    masters.leads("m1")
    await masters.stat()
    masters.leads("m2")
    masters.behaviour["m1"] = hangs(masters)
    assert await masters.stat() == b"answer"
    assert masters.clock.monotonic_ms() == ATTEMPT_MS
    assert masters.asked == ["m1", "m1", "m2"]


async def test_patience_doubles_with_each_attempt(masters: FakeMasters) -> None:
    given: list[int] = []

    def hang(_request: bytes, timeout_ms: int) -> bytes:
        given.append(timeout_ms)
        masters.clock.advance(timeout_ms)
        raise OutcomeUnknown("no answer", reason="timeout")

    masters.behaviour = dict.fromkeys(("m1", "m2", "m3"), hang)
    with pytest.raises(DeadlineExceeded):
        await masters.stat()
    assert given[:3] == [ATTEMPT_MS, 2 * ATTEMPT_MS, 4 * ATTEMPT_MS]
    assert sum(given) <= 30_000


async def test_a_problem_is_told_while_it_lasts(masters: FakeMasters) -> None:
    told: list[str | None] = []

    def look(_request: bytes, _timeout_ms: int) -> bytes:
        told.append(masters.router.waiting_because())
        return b"answer"

    masters.behaviour = {"m1": fails(Unavailable("m1 is down")), "m2": look, "m3": answers}
    await masters.stat()
    assert told == ["m1 is down"]
    assert masters.router.waiting_because() is None


def test_a_router_without_masters_is_refused() -> None:
    with pytest.raises(ConfigError, match="no masters"):
        LeaderRouter([], FakeMasters()._channel, clock=ManualClock(), random=lambda: 0.0)

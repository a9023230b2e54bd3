"""LeaderRouter: how often it asks again, what it says it tried, and timeouts of single calls."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.client.routing import LeaderRouter
from pydfsnode.client.timeouts import operation_timeouts
from pydfsnode.errors import (
    ConfigError,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    PeerUnauthenticated,
    Unavailable,
)
from pydfsnode.obs.faults import FIELD, Fault
from pydfsnode.runtime.retry import BUDGET_MAX, BUDGET_PER_S
from tests.unit.client.fake_masters import MASTERS, STAT, FakeMasters, answers, fails, first, hangs


@pytest.fixture
def masters() -> FakeMasters:
    return FakeMasters()


def limited(masters: FakeMasters, retries_max: int) -> None:
    masters.router = LeaderRouter(
        MASTERS, masters._channel, clock=masters.clock, random=lambda: 0.5, sleep=masters._sleep,
        retries_max=retries_max,
    )  # fmt: skip


async def test_a_failover_costs_one_round_trip_more_when_a_hint_is_there(
    masters: FakeMasters,
) -> None:
    masters.leads("m1")
    await masters.stat()
    masters.asked.clear()
    masters.leads("m2")  # m1 lives, and says who leads now
    await masters.stat()
    await masters.stat()
    assert masters.asked == ["m1", "m2", "m2"]
    assert masters.slept_ms == []


async def test_many_callers_of_a_broken_cluster_keep_within_a_budget(
    masters: FakeMasters,
) -> None:
    for peer in MASTERS:
        masters.behaviour[peer.node_id] = fails(Unavailable("down"))
    began_ms, callers = masters.clock.monotonic_ms(), 200
    calls = [masters.stat(timeout_ms=10_000) for _ in range(callers)]
    failed = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in failed)
    took_s = (masters.clock.monotonic_ms() - began_ms) / 1000
    assert len(masters.asked) <= callers + BUDGET_MAX + BUDGET_PER_S * took_s + 1


async def test_who_waits_for_the_budget_goes_on_when_anybody_is_answered(
    masters: FakeMasters,
) -> None:
    for peer in MASTERS:
        masters.behaviour[peer.node_id] = fails(Unavailable("down"))
    down = iter(range(400))

    def comes_back(request: bytes, timeout_ms: int) -> bytes:
        if next(down, None) is not None:
            raise Unavailable("down")
        return answers(request, timeout_ms)

    masters.behaviour["m2"] = comes_back
    found = await asyncio.gather(*(masters.stat(timeout_ms=600_000) for _ in range(200)))
    assert found == [b"answer"] * 200
    assert masters.router.leader == MASTERS[1]


@pytest.mark.parametrize("retries_max", [0, 2])
async def test_retries_are_limited_and_looking_for_the_leader_is_none(
    masters: FakeMasters, retries_max: int
) -> None:
    limited(masters, retries_max)
    masters.leads("m3")
    masters.behaviour["m1"] = fails(Unavailable("down"))
    assert await masters.stat() == b"answer"
    masters.behaviour["m3"] = fails(Overloaded("later", retry_after_ms=1))
    masters.asked.clear()
    with pytest.raises(Overloaded, match=f"after {retries_max} retries"):
        await masters.stat()
    assert masters.asked == ["m3"] * (1 + retries_max)


async def test_a_lost_answer_of_a_change_is_told_as_such_when_retries_are_over(
    masters: FakeMasters,
) -> None:
    limited(masters, 1)
    masters.behaviour = dict.fromkeys(("m1", "m2", "m3"), hangs(masters))
    with pytest.raises(OutcomeUnknown, match="after 1 retries"):
        await masters.mkdirs()


async def test_an_error_says_what_was_tried_against_whom(masters: FakeMasters) -> None:
    masters.behaviour = {
        "m1": fails(Unavailable("down", **{FIELD: Fault.REFUSED})),
        "m2": fails(NotLeader("no", leader_hint="")),
        "m3": fails(PeerUnauthenticated("expired")),
    }
    limited(masters, 0)
    with pytest.raises(PeerUnauthenticated):
        await masters.stat()
    masters.behaviour["m3"] = fails(Overloaded("later", retry_after_ms=1))
    with pytest.raises(Overloaded) as failure:
        await masters.stat()
    assert failure.value.fields["tried"] == "m1 refused 1x, m2 not_leader 1x, m3 overloaded 1x"
    assert "tried m1 refused 1x" in failure.value.message


async def test_one_master_with_a_bad_certificate_stops_nobody(masters: FakeMasters) -> None:
    masters.leads("m2")
    masters.behaviour["m1"] = fails(PeerUnauthenticated("expired"))
    assert await masters.stat() == b"answer"
    assert await masters.stat_any() == b"answer"


async def test_a_timeout_of_one_operation_replaces_the_general_one(masters: FakeMasters) -> None:
    masters.router = LeaderRouter(
        MASTERS, masters._channel, clock=masters.clock, random=lambda: 0.5, sleep=masters._sleep,
        timeout_ms=30_000, timeouts_ms=operation_timeouts({"stat": 700}),
    )  # fmt: skip
    given: list[int] = []

    def look(_request: bytes, timeout_ms: int) -> bytes:
        given.append(timeout_ms)
        return b"answer"

    masters.behaviour = dict.fromkeys(("m1", "m2", "m3"), look)
    await masters.router.call(STAT, b"", timeout_ms=30_000)
    await masters.router.call(STAT, b"", timeout_ms=1_500)
    await masters.router.read_any(STAT, b"", timeout_ms=30_000)
    assert given == [700, 1_500, 350]


def test_names_of_operations_are_those_of_the_methods() -> None:
    assert operation_timeouts({"set_mode": 5, "add_server": 7}) == {
        "/pydfs.v1.Namespace/SetMode": 5,
        "/pydfs.v1.Cluster/AddServer": 7,
    }
    with pytest.raises(ConfigError, match=r"timeouts_ms\.chmod: no such operation"):
        operation_timeouts({"chmod": 5})
    with pytest.raises(ConfigError, match=r"timeouts_ms\.rename = 0"):
        operation_timeouts({"rename": 0})


async def test_an_answer_ends_the_trouble(masters: FakeMasters) -> None:
    masters.leads("m1")
    masters.behaviour["m1"] = first(fails(Overloaded("later", retry_after_ms=5)), answers)
    await masters.stat()
    assert masters.router.waiting_because() is None

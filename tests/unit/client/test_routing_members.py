"""LeaderRouter where masters come, go and move; and reads that any master may answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pydfsnode.client.master_list import LEARNED_MAX, MasterList
from pydfsnode.client.routing import AVOID_MS, LIST_EVERY_MS, READ_ANY_ATTEMPT_MS
from pydfsnode.config import Peer
from pydfsnode.errors import NotFound, NotLeader, StaleRead, Unavailable
from tests.unit.client.fake_masters import MASTERS, FakeMasters, answers, fails, first, hangs

ADDED = Peer("m9", "10.0.0.9:7001")


@pytest.fixture
def masters() -> FakeMasters:
    return FakeMasters()


def hint(peer: Peer) -> NotLeader:
    return NotLeader("no", leader_hint=str(peer))


# ---- members


async def test_a_hinted_master_is_remembered_and_asked_when_all_configured_ones_fail(
    masters: FakeMasters,
) -> None:
    masters.behaviour = {"m1": fails(hint(ADDED)), "m9": answers}
    await masters.stat()
    assert masters.router.masters == [*MASTERS, ADDED]
    masters.behaviour = {
        **{peer.node_id: fails(Unavailable("gone")) for peer in MASTERS},
        "m9": first(fails(NotLeader("election", leader_hint="")), answers),
    }
    masters.asked.clear()
    assert await masters.stat() == b"answer"
    assert masters.asked[0] == "m9", "it led last"
    assert set(masters.asked) == {"m1", "m2", "m3", "m9"}


async def test_a_leader_that_moved_is_asked_at_its_new_address_at_once(
    masters: FakeMasters,
) -> None:
    masters.leads("m3")
    await masters.stat()
    moved = Peer("m3", "10.0.9.3:7001")
    masters.behaviour = {
        "m1": fails(hint(moved)),
        "m2": fails(hint(moved)),
        str(MASTERS[2]): fails(Unavailable("nobody there")),
        str(moved): answers,
    }
    masters.peers.clear()
    await masters.stat()
    assert masters.peers == [MASTERS[2], MASTERS[0], moved]
    assert masters.slept_ms == []
    assert masters.router.leader == moved
    assert masters.router.masters == [MASTERS[0], MASTERS[1], moved, MASTERS[2]]


async def test_a_newer_address_replaces_a_learned_one(masters: FakeMasters) -> None:
    again = Peer("m9", "10.0.9.9:7001")
    for there in (ADDED, again):
        masters.behaviour = {"m1": fails(hint(there)), str(there): answers}
        if masters.router.leader is not None:
            masters.behaviour[str(masters.router.leader)] = fails(Unavailable("gone"))
        await masters.stat()
    assert masters.router.masters == [*MASTERS, again]


async def test_a_master_that_moves_back_has_its_configured_address_again(
    masters: FakeMasters,
) -> None:
    moved = Peer("m2", "10.0.9.2:7001")
    masters.behaviour = {"m1": first(fails(hint(moved)), fails(hint(MASTERS[1])))}
    masters.behaviour |= {str(moved): first(answers, fails(Unavailable("gone"))), "m2": answers}
    await masters.stat()
    await masters.stat()
    assert masters.router.leader == MASTERS[1]
    assert masters.router.masters == MASTERS


async def test_an_address_that_only_the_masters_reach_does_not_lose_the_configured_one(
    masters: FakeMasters,
) -> None:
    inside = Peer("m2", "192.168.0.2:7001")
    masters.behaviour = {
        "m1": fails(hint(inside)),
        "m3": fails(hint(inside)),
        str(inside): fails(Unavailable("no route")),
        str(MASTERS[1]): answers,
    }
    assert await masters.stat() == b"answer"
    assert masters.router.leader == MASTERS[1]
    assert masters.slept_ms == []


async def test_what_is_learned_is_bounded(masters: FakeMasters) -> None:
    for number in range(LEARNED_MAX + 5):
        found = Peer(f"x{number}", f"10.1.0.{number}:7001")
        masters.behaviour = {"m1": fails(hint(found)), found.node_id: answers}
        if masters.router.leader is not None:
            masters.behaviour[masters.router.leader.node_id] = fails(Unavailable("gone"))
        await masters.stat()
    assert len(masters.router.masters) == len(MASTERS) + LEARNED_MAX


# ---- the leader's list


@pytest.fixture
async def listing(masters: FakeMasters) -> AsyncIterator[FakeMasters]:
    """m1 leads and lists itself, m2 and m9; m3 was removed."""
    masters.with_lists()
    masters.members = [MASTERS[0], MASTERS[1], ADDED]
    masters.leads("m1")
    masters.behaviour["m1"] = masters.list_answer
    yield masters
    await masters.router.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_leader_once_found_is_asked_for_all_masters_in_the_background(
    listing: FakeMasters,
) -> None:
    await listing.stat()
    assert listing.asked == ["m1"]
    assert listing.router.masters == MASTERS
    await settle()
    assert listing.asked == ["m1", "m1"]
    assert listing.router.masters == [MASTERS[0], MASTERS[1], ADDED, MASTERS[2]]
    for _ in range(5):
        await listing.stat()
        await settle()
    assert len(listing.asked) == 7, "asked for the list once"


async def test_the_cluster_is_found_when_all_configured_masters_are_gone(
    listing: FakeMasters,
) -> None:
    await listing.stat()
    await settle()
    for peer in MASTERS:
        listing.behaviour[peer.node_id] = fails(Unavailable("gone"))
    listing.behaviour["m9"] = answers
    assert await listing.stat() == b"answer"
    assert listing.router.leader == ADDED


async def test_a_removed_master_is_given_no_reads(listing: FakeMasters) -> None:
    await listing.stat()
    await settle()
    listing.behaviour = {peer.node_id: answers for peer in (*MASTERS, ADDED)}
    listing.asked.clear()
    for _ in range(9):
        await listing.stat_any()
    assert sorted(set(listing.asked)) == ["m1", "m2", "m9"]


async def test_the_list_is_asked_for_again_after_a_while_and_of_a_new_leader(
    listing: FakeMasters,
) -> None:
    await listing.stat()
    await settle()
    listing.members = [MASTERS[0]]
    listing.clock.advance(LIST_EVERY_MS + 1)
    await listing.stat()
    await settle()
    assert listing.router.masters[0] == MASTERS[0]
    assert ADDED not in listing.router.masters
    listing.leads("m2")
    listing.behaviour["m2"] = listing.list_answer
    listing.members = [MASTERS[1], ADDED]
    await listing.stat()
    await settle()
    assert listing.router.masters == [MASTERS[1], ADDED, MASTERS[0], MASTERS[2]]


async def test_a_list_that_cannot_be_had_changes_nothing(listing: FakeMasters) -> None:
    gone = fails(Unavailable("gone"))
    listing.behaviour["m1"] = first(answers, gone, answers)
    await listing.stat()
    await settle()
    assert listing.router.masters == MASTERS
    assert await listing.stat() == b"answer"


async def test_closing_ends_a_question_under_way(listing: FakeMasters) -> None:
    await listing.stat()
    await listing.router.close()
    await settle()
    assert listing.asked == ["m1"]


def test_addresses_among_the_masters_may_not_be_those_from_here() -> None:
    known = MasterList(MASTERS)
    inside = [Peer(f"m{n}", f"192.168.0.{n}:7001") for n in (1, 2, 4)]
    known.listed(MASTERS[0], inside)
    assert (known.known, known.current) == ([*MASTERS, *inside], 3)
    known.listed(MASTERS[0], [])
    assert known.current == 3


def test_a_configured_master_that_comes_back_is_current_again() -> None:
    known = MasterList(MASTERS)
    known.listed(MASTERS[0], [MASTERS[0], ADDED])
    assert known.known == [MASTERS[0], ADDED, MASTERS[1], MASTERS[2]]
    known.hinted(MASTERS[2])
    assert known.known == [MASTERS[0], MASTERS[2], ADDED, MASTERS[1]]


def test_a_list_without_end_is_not_kept_whole() -> None:
    known = MasterList(MASTERS)
    many = [Peer(f"x{n}", f"10.1.0.{n}:1") for n in range(99)]
    for asked in (MASTERS[0], ADDED):
        known.listed(asked, [*many, MASTERS[0]])
        assert len(known.known) == len(MASTERS) + LEARNED_MAX
        assert set(MASTERS) <= set(known.known)


# ---- a planned transfer


async def test_the_first_pause_without_a_leader_is_short(masters: FakeMasters) -> None:
    masters.leads("m1")
    await masters.mkdirs()
    masters.leads(None)
    masters.behaviour["m2"] = first(fails(NotLeader("no", leader_hint="")), answers)
    await masters.mkdirs()
    assert len(masters.slept_ms) == 1
    assert masters.slept_ms[0] <= 20


async def test_a_transfer_seen_in_the_middle_costs_no_failure(masters: FakeMasters) -> None:
    masters.leads("m1")
    await masters.mkdirs()
    # m1 handed over; m2 leads, and m3 still believes in m1 until the next heartbeat.
    masters.behaviour["m1"] = first(fails(NotLeader("no", leader_hint="")), fails(hint(MASTERS[1])))
    masters.behaviour["m2"] = first(fails(hint(MASTERS[0])), answers)
    masters.behaviour["m3"] = fails(hint(MASTERS[0]))
    assert await masters.mkdirs() == b"answer"
    assert sum(masters.slept_ms) <= 20
    assert masters.router.leader == MASTERS[1]


# ---- reads that any master may answer


async def test_reads_for_any_master_are_spread(masters: FakeMasters) -> None:
    masters.leads("m1")
    masters.behaviour = {peer.node_id: answers for peer in MASTERS}
    for _ in range(9):
        await masters.stat_any()
    assert {name: masters.asked.count(name) for name in ("m1", "m2", "m3")} == {
        "m1": 3, "m2": 3, "m3": 3,
    }  # fmt: skip
    assert masters.router.leader is None, "who answered such a read need not lead"


@pytest.mark.parametrize(
    "error", [StaleRead("too old"), Unavailable("down"), NotLeader("no", leader_hint="")]
)
async def test_a_follower_that_cannot_answer_is_passed_over_for_the_leader(
    masters: FakeMasters, error: StaleRead | Unavailable | NotLeader
) -> None:
    masters.leads("m1")
    await masters.mkdirs()
    masters.behaviour = {"m1": answers, "m2": fails(error), "m3": answers}
    for _ in range(6):
        assert await masters.stat_any() == b"answer"
    assert masters.asked.count("m2") == 1, "avoided after its first failure"
    masters.behaviour["m2"] = answers
    masters.clock.advance(AVOID_MS)
    for _ in range(3):
        await masters.stat_any()
    assert masters.asked.count("m2") == 2, "tried again later"
    assert masters.slept_ms == []


async def test_a_hanging_follower_costs_a_part_of_the_deadline(masters: FakeMasters) -> None:
    masters.leads("m1")
    await masters.mkdirs()
    masters.behaviour = {name: hangs(masters) for name in ("m2", "m3")} | {"m1": answers}
    started_ms = masters.clock.monotonic_ms()
    assert await masters.stat_any(timeout_ms=500) == b"answer"
    assert masters.clock.monotonic_ms() - started_ms == 250
    assert await masters.stat_any() == b"answer"
    assert masters.clock.monotonic_ms() - started_ms <= 250 + READ_ANY_ATTEMPT_MS
    assert await masters.stat_any() == b"answer"
    assert masters.clock.monotonic_ms() - started_ms <= 250 + READ_ANY_ATTEMPT_MS


async def test_a_refusal_by_any_master_is_the_answer(masters: FakeMasters) -> None:
    masters.behaviour = {peer.node_id: fails(NotFound("none")) for peer in MASTERS}
    with pytest.raises(NotFound):
        await masters.stat_any()
    assert len(masters.asked) == 1


async def test_when_nobody_may_answer_the_last_reason_is_told(masters: FakeMasters) -> None:
    masters.behaviour = {peer.node_id: fails(StaleRead("too old")) for peer in MASTERS}
    with pytest.raises(StaleRead, match=r"within 2 s .*too old"):
        await masters.stat_any(timeout_ms=2_000)


async def test_an_added_master_takes_its_share_of_reads(masters: FakeMasters) -> None:
    masters.behaviour = {"m1": fails(hint(ADDED)), "m9": answers}
    await masters.stat()
    masters.behaviour = {peer.node_id: answers for peer in (*MASTERS, ADDED)}
    masters.asked.clear()
    for _ in range(8):
        await masters.stat_any()
    assert masters.asked.count("m9") == 2

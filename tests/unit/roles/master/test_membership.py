"""Changes of the masters go to the named end in safe steps, and may be repeated at any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pydfsnode.config import Peer
from pydfsnode.errors import (
    ChangeInProgress,
    InvalidArgument,
    NotLeader,
    TransferFailed,
    Unavailable,
    UnsafeChange,
)
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.raft.types import PeerView
from pydfsnode.roles.master.membership import Membership
from pydfsnode.rpc.raft_hello import Hello
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.raft_status import RaftStatus

M1, M2, M3, M4 = "m1#0000000a", "m2#0000000b", "m3#0000000c", "m4#0000000d"
LISTEN = {M1: "h1:1", M2: "h2:1", M3: "h3:1"}
COMMIT = 100
ROUND_MS = 500


class FakeDriver:
    """A leader whose changes succeed at once; `steps` are those it was asked for."""

    def __init__(self, own: str = M1) -> None:
        self.own = own
        self.leader = own
        self.configuration = Configuration(voters=(M1, M2, M3), addresses=LISTEN)
        self.configuration_committed = True
        self.match = {M2: COMMIT, M3: COMMIT, M4: COMMIT}
        self.silent: set[str] = set()
        self.commit_index = COMMIT
        self.steps: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.transfers: list[str] = []
        self.refusals: list[Exception] = []

    def require_leader(self) -> None:
        if self.leader != self.own:
            hint = f"{member_name(self.leader)}={LISTEN[self.leader]}"
            raise NotLeader("not the leader", leader_hint=hint)

    def read_barrier(self) -> asyncio.Future[None]:
        return _done()

    def change_configuration(
        self, voters: tuple[str, ...], learners: tuple[str, ...], addresses: dict[str, str]
    ) -> asyncio.Future[None]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.steps.append((voters, learners))
        self.configuration = self.configuration.joint_with(voters, learners, addresses).final()
        return _done()

    def transfer_leadership(self, to: str) -> asyncio.Future[None]:
        self.transfers.append(to)
        if self.refusals:
            raise self.refusals.pop(0)
        self.leader = to or M2
        return _done()

    def status(self) -> RaftStatus:
        others = [m for m in self.configuration.members if m != self.own]
        peers = [
            PeerView(m, self.match[m], m not in self.silent, "replicate",
                     self.configuration.is_voter(m))
            for m in others
        ]  # fmt: skip
        return RaftStatus(
            node_id=member_name(self.own), member_id=self.own, role="leader", term=3,
            leader=member_name(self.leader), first_index=1, configuration=self.configuration,
            configuration_index=1, compactions=0, snapshots_installed=0, appends_sent=0,
            entries_sent=0,
            commit_index=self.commit_index, applied_index=COMMIT, last_index=self.commit_index,
            peers=peers, fsync="always", fsync_warning="", groups_written=0, entries_written=0,
            proposals_queued=0, overslept=0,
        )  # fmt: skip


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


class Bench:
    """A membership around a fake driver; every pause runs what the test wants to happen."""

    def __init__(self, own: str = M1) -> None:
        self.driver = FakeDriver(own)
        self.clock = ManualClock()
        self.hellos: dict[str, Hello] = {"h4:1": Hello("m4", 13)}
        self.pauses: list[Callable[[], None]] = []
        self.when_asked: Callable[[], None] = lambda: None
        self.membership = Membership(
            self.driver, own, {"m1": "h1:1"}, self._ask, self.clock, ROUND_MS, sleep=self._sleep
        )

    async def _ask(self, peer: Peer) -> Hello:
        self.when_asked()
        if peer.listen not in self.hellos:
            raise Unavailable(f"{peer.listen}: refused")
        return self.hellos[peer.listen]

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(int(seconds * 1000))
        self.pauses.pop(0)()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_master_learns_before_it_votes(bench: Bench) -> None:
    bench.driver.match[M4] = 0

    def catches_up() -> None:
        assert bench.driver.configuration.learners == (M4,)  # trap E5
        bench.driver.match[M4] = COMMIT

    bench.pauses = [catches_up]
    await bench.membership.add("m4", "h4:1")
    assert bench.driver.steps == [((M1, M2, M3), (M4,)), ((M1, M2, M3, M4), ())]
    assert bench.driver.configuration.addresses[M4] == "h4:1"


async def test_a_learner_stays_one_when_that_is_wanted(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1", learner_only=True)
    assert bench.driver.steps == [((M1, M2, M3), (M4,))]


async def test_what_is_done_is_not_done_again(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1")
    steps = list(bench.driver.steps)
    await bench.membership.add("m4", "h4:1")
    await bench.membership.add("m4", "h4:1", learner_only=True)
    await bench.membership.remove("nobody")
    assert bench.driver.steps == steps


async def test_what_another_leader_began_is_gone_on_with(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1", learner_only=True)
    bench.driver.steps.clear()
    await bench.membership.add("m4", "h4:1")
    assert bench.driver.steps == [((M1, M2, M3, M4), ())]


async def test_a_learner_that_needs_long_gets_another_round(bench: Bench) -> None:
    driver = bench.driver
    driver.match[M4] = 0

    def slowly() -> None:
        bench.clock.advance(ROUND_MS)
        driver.commit_index = 2 * COMMIT
        driver.match[M4] = COMMIT

    def soon() -> None:
        driver.match[M4] = 2 * COMMIT

    bench.pauses = [slowly, soon]
    await bench.membership.add("m4", "h4:1")
    assert driver.configuration.voters == (M1, M2, M3, M4)


async def test_a_change_made_meanwhile_is_not_undone(bench: Bench) -> None:
    driver = bench.driver
    driver.match[M4] = 0

    def m2_leaves() -> None:
        driver.configuration = driver.configuration.joint_with((M1, M3), (M4,), {}).final()
        driver.match[M4] = COMMIT

    bench.pauses = [m2_leaves]
    await bench.membership.add("m4", "h4:1")
    assert driver.configuration.voters == (M1, M3, M4)


async def test_a_change_made_while_the_new_master_was_asked_is_not_undone(bench: Bench) -> None:
    driver = bench.driver

    def m2_leaves() -> None:
        bench.when_asked = lambda: None
        driver.configuration = driver.configuration.joint_with((M1, M3), (), {}).final()

    bench.when_asked = m2_leaves
    await bench.membership.add("m4", "h4:1")
    assert driver.configuration.voters == (M1, M3, M4)


async def test_another_change_is_waited_for(bench: Bench) -> None:
    driver = bench.driver
    driver.configuration_committed = False
    driver.refusals = [ChangeInProgress("busy")]

    def committed() -> None:
        driver.configuration_committed = True

    bench.pauses = [committed, lambda: None]
    await bench.membership.remove("m3")
    assert driver.configuration.voters == (M1, M2)


async def test_an_address_is_changed_without_touching_votes(bench: Bench) -> None:
    bench.hellos["new:1"] = Hello("m2", 11, True, (M1, M2, M3))
    await bench.membership.add("m2", "new:1")
    assert bench.driver.configuration.voters == (M1, M2, M3)
    assert bench.driver.configuration.addresses[M2] == "new:1"


@pytest.mark.parametrize(
    ("name", "listen", "hello", "error", "match"),
    [
        ("m 4", "h4:1", None, InvalidArgument, "NAME=HOST:PORT"),
        ("m4", "h4", None, InvalidArgument, "NAME=HOST:PORT"),
        ("m4", "gone:1", None, InvalidArgument, "no master m4 answers at gone:1"),
        ("m4", "h2:1", Hello("m4", 13), InvalidArgument, "where m2 listens"),
        ("m3", "h9:1", Hello("m3", 99), UnsafeChange, "remove-master m3"),
        ("m4", "h4:1", Hello("m4", 13, True, ("m4#0000000d",)), UnsafeChange, "empty data_dir"),
    ],
)
async def test_who_cannot_be_a_member_is_refused_before_anything_changes(
    bench: Bench, name: str, listen: str, hello: Hello | None, error: type[Exception], match: str
) -> None:
    if hello is not None:
        bench.hellos[listen] = hello
    with pytest.raises(error, match=match):
        await bench.membership.add(name, listen)
    assert bench.driver.steps == []


async def test_a_removed_master_may_come_back_with_what_it_had(bench: Bench) -> None:
    bench.hellos["h3:1"] = Hello("m3", 12, True, (M1, M2, M3))
    await bench.membership.remove("m3")
    await bench.membership.add("m3", "h3:1")
    assert bench.driver.configuration.voters == (M1, M2, M3)


async def test_a_learner_with_another_disk_takes_the_place_of_the_one_before(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1", learner_only=True)
    bench.hellos["h4:1"] = Hello("m4", 99)
    bench.driver.match["m4#00000063"] = COMMIT
    await bench.membership.add("m4", "h4:1")
    assert bench.driver.configuration.members == (M1, M2, M3, "m4#00000063")


async def test_removing_needs_a_majority_of_who_is_left_to_answer(bench: Bench) -> None:
    bench.driver.silent = {M2}
    with pytest.raises(UnsafeChange, match="m2 cannot be heard"):
        await bench.membership.remove("m3")
    assert bench.driver.steps == []
    await bench.membership.remove("m2")  # the silent one may go
    assert bench.driver.configuration.voters == (M1, M3)


async def test_force_removes_all_the_same_but_never_the_last(bench: Bench) -> None:
    bench.driver.silent = {M2, M3}
    await bench.membership.remove("m3", force=True)
    assert bench.driver.configuration.voters == (M1, M2)
    await bench.membership.remove("m2", force=True)
    with pytest.raises(UnsafeChange, match="last"):
        await bench.membership.remove("m1", force=True)


async def test_a_learner_is_removed_whoever_answers(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1", learner_only=True)
    bench.driver.silent = {M2, M3, M4}
    await bench.membership.remove("m4")
    assert bench.driver.configuration.members == (M1, M2, M3)


async def test_a_leader_that_shall_go_hands_over_and_names_the_next(bench: Bench) -> None:
    with pytest.raises(NotLeader) as caught:
        await bench.membership.remove("m1")
    assert caught.value.leader_hint == "m2=h2:1"
    assert bench.driver.steps == []
    following = Bench(own=M2)
    following.driver.match[M1] = COMMIT
    await following.membership.remove("m1")
    assert following.driver.configuration.voters == (M2, M3)


async def test_a_leader_that_cannot_hand_over_stays_unless_forced(bench: Bench) -> None:
    bench.driver.refusals = [TransferFailed("too slow")]
    with pytest.raises(TransferFailed):
        await bench.membership.remove("m1")
    bench.driver.refusals = [TransferFailed("too slow")]
    await bench.membership.remove("m1", force=True)
    assert bench.driver.configuration.voters == (M2, M3)


async def test_leadership_goes_where_it_is_wanted_once(bench: Bench) -> None:
    assert await bench.membership.transfer("m1") == 0
    await bench.membership.transfer("m3")
    assert bench.driver.transfers == [M3]
    with pytest.raises(NotLeader):  # the client asks m3 now, which leads already
        await bench.membership.transfer("m3")


async def test_leadership_cannot_go_to_who_does_not_vote_or_answer(bench: Bench) -> None:
    await bench.membership.add("m4", "h4:1", learner_only=True)
    with pytest.raises(InvalidArgument, match="no voting master"):
        await bench.membership.transfer("m4")
    bench.driver.silent = {M3}
    with pytest.raises(UnsafeChange, match="m3 not heard"):
        await bench.membership.transfer("m3")
    bench.driver.configuration = Configuration(voters=(M1,))
    with pytest.raises(UnsafeChange, match="only voting master"):
        await bench.membership.transfer("")
    assert bench.driver.transfers == []


async def test_members_are_shown_by_what_they_are_in_a_joint_phase(bench: Bench) -> None:
    bench.driver.configuration = Configuration(
        voters=(M1, M4), outgoing=(M1, M2), learners=(M3,), addresses={M4: "h4:1"}
    )
    found = {m.member: m for m in bench.membership.members()}
    assert {m: found[m].membership for m in found} == {
        M1: "voter", M2: "outgoing", M3: "learner", M4: "incoming",
    }  # fmt: skip
    assert (found[M1].leads, found[M1].state, found[M1].lag) == (True, "", 0)
    assert (found[M1].listen, found[M4].listen) == ("h1:1", "h4:1")

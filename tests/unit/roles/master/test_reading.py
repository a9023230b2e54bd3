"""Reading: each mode on leaders and followers, what is checked after the answer, and the labels."""

from __future__ import annotations

import pytest

from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import NotFound, NotLeader, Overloaded, PydfsError, StaleRead
from pydfsnode.roles.master.reading import Freshness, Reading

LINEARIZABLE = Freshness(True, 0, "m2")


class FakeReplica:
    """A master; `ages` and `leases` are used up one a question, the last for ever."""

    node_id = "m2"

    def __init__(self, *, leads: bool = False) -> None:
        self.is_leader = leads
        self.has_state = True
        self.ages: list[int | None] = [0 if leads else 30]
        self.leases: list[bool] = [leads]
        self.barriers: list[str] = []
        self.failure: PydfsError | None = None

    async def leader_barrier(self) -> None:
        if not self.is_leader:
            raise NotLeader("m2 is not the leader", leader_hint="m1=h:1")
        self._barrier("leader")

    async def any_barrier(self) -> None:
        self._barrier("any")

    async def lease_barrier(self) -> None:
        if not self.is_leader:
            raise NotLeader("m2 is not the leader", leader_hint="m1=h:1")
        self._barrier("lease")

    def holds_lease(self) -> bool:
        return self.leases.pop(0) if len(self.leases) > 1 else self.leases[0]

    def staleness_ms(self) -> int | None:
        return self.ages.pop(0) if len(self.ages) > 1 else self.ages[0]

    def _barrier(self, name: str) -> None:
        self.barriers.append(name)
        if self.failure is not None:
            raise self.failure


class View:
    """Answers with how often it was asked; may refuse."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.asked = 0
        self._refuses = refuses

    def __call__(self) -> int:
        self.asked += 1
        if self._refuses:
            raise NotFound("/x: no such file or directory")
        return self.asked


async def ask(
    replica: FakeReplica, text: str, view: View | None = None, *, any_master: bool | None = None
) -> tuple[int, Freshness]:
    wanted = Consistency.parse(text)
    anyone = wanted.any_master if any_master is None else any_master
    return await Reading(replica).answer(wanted, anyone, view or View())


# ---- linearizable


@pytest.mark.parametrize("text", ["linearizable", "lease"])
async def test_only_the_leader_answers_unless_any_master_may(text: str) -> None:
    with pytest.raises(NotLeader) as refused:
        await ask(FakeReplica(), text)
    assert refused.value.leader_hint == "m1=h:1"
    follower = FakeReplica()
    assert await ask(follower, text, any_master=True) == (1, LINEARIZABLE)
    assert follower.barriers == ["any"]


async def test_a_follower_read_is_linearizable_and_says_who_answered() -> None:
    assert await ask(FakeReplica(), "follower") == (1, LINEARIZABLE)


async def test_the_leader_confirms_a_linearizable_read() -> None:
    leader = FakeReplica(leads=True)
    assert (await ask(leader, "linearizable"))[1].linearizable
    assert leader.barriers == ["leader"]


# ---- lease


async def test_under_a_lease_nobody_is_asked() -> None:
    leader = FakeReplica(leads=True)
    assert await ask(leader, "lease") == (1, LINEARIZABLE)
    assert leader.barriers == ["lease"]


async def test_an_answer_made_while_the_lease_ran_out_is_made_again_with_a_round() -> None:
    leader = FakeReplica(leads=True)
    leader.leases = [False]
    assert await ask(leader, "lease") == (2, LINEARIZABLE)
    assert leader.barriers == ["lease", "leader"]


async def test_a_refusal_is_not_told_either_when_the_lease_ran_out() -> None:
    leader = FakeReplica(leads=True)
    leader.leases = [False]
    view = View(refuses=True)
    with pytest.raises(NotFound) as refused:
        await ask(leader, "lease", view)
    assert view.asked == 2
    assert leader.barriers == ["lease", "leader"]
    assert "staleness_ms" not in refused.value.fields, "it is linearizable"


async def test_a_deposed_leader_answers_no_lease_read() -> None:
    leader = FakeReplica(leads=True)
    leader.leases = [False]

    class Deposing(View):
        def __call__(self) -> int:
            leader.is_leader = False
            return super().__call__()

    with pytest.raises(NotLeader):
        await ask(leader, "lease", Deposing())


# ---- bounded


async def test_a_follower_within_the_bound_answers_without_asking() -> None:
    follower = FakeReplica()
    assert await ask(follower, "bounded:30") == (1, Freshness(False, 30, "m2"))
    assert follower.barriers == []


@pytest.mark.parametrize("age", [31, None])
async def test_a_follower_beyond_the_bound_asks_the_leader(age: int | None) -> None:
    follower = FakeReplica()
    follower.ages = [age]
    assert await ask(follower, "bounded:30") == (1, LINEARIZABLE)
    assert follower.barriers == ["any"]


async def test_the_age_is_looked_at_again_after_the_answer() -> None:
    follower = FakeReplica()
    follower.ages = [10, 5_000]  # the process was stopped in between
    assert await ask(follower, "bounded:30") == (2, LINEARIZABLE)
    follower.ages = [10, 25]
    assert await ask(follower, "bounded:30") == (1, Freshness(False, 25, "m2"))


async def test_beyond_the_bound_and_without_a_leader_the_age_is_told() -> None:
    follower = FakeReplica()
    follower.ages = [900]
    follower.failure = NotLeader("m2 knows of no leader", leader_hint="")
    with pytest.raises(StaleRead, match=r"m2 is up to 900 ms old, more than 30 ms") as refused:
        await ask(follower, "bounded:30")
    assert refused.value.fields["staleness_ms"] == 900
    assert "knows of no leader" in refused.value.message


async def test_an_overloaded_follower_says_so() -> None:
    follower = FakeReplica()
    follower.ages = [900]
    follower.failure = Overloaded("later", retry_after_ms=20)
    with pytest.raises(Overloaded):
        await ask(follower, "bounded:30")


# ---- stale


async def test_a_stale_read_asks_nobody_and_is_labelled() -> None:
    follower = FakeReplica()
    follower.ages = [123_456]
    assert await ask(follower, "stale") == (1, Freshness(False, 123_456, "m2"))
    follower.ages = [None]
    assert await ask(follower, "stale") == (1, Freshness(False, -1, "m2"))
    assert follower.barriers == []


async def test_a_refusal_that_may_be_old_is_labelled_too() -> None:
    for text in ("stale", "bounded:30"):
        with pytest.raises(NotFound) as refused:
            await ask(FakeReplica(), text, View(refuses=True))
        assert refused.value.fields == {"staleness_ms": 30, "served_by": "m2"}


@pytest.mark.parametrize("text", ["stale", "bounded:30"])
async def test_a_master_that_holds_nothing_yet_says_nothing_about_files(text: str) -> None:
    added = FakeReplica()
    added.has_state = False
    added.failure = NotLeader("m2 knows of no leader", leader_hint="")
    view = View(refuses=True)
    with pytest.raises(StaleRead):
        await ask(added, text, view)
    assert view.asked == 0

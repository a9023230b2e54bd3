"""What callers of the driver get: outcomes, refusals, reads."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    MessageTooLarge,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
)
from pydfsnode.raft.effects import ReadReady
from pydfsnode.raft.messages import (
    HeartbeatAck,
)
from pydfsnode.runtime import proposals
from tests.support.driver_fakes import Bench, FakeCore

HEARTBEAT = HeartbeatAck(term=1, sender="m2", stream=1, read_round=1)


def has_failed(bench: Bench) -> BaseException | None:
    return bench.supervisor.failure


# ---- outcomes


async def test_a_proposal_is_answered_with_what_applying_it_gave(
    bench: Bench, core: FakeCore
) -> None:
    outcomes = [bench.driver.propose(b"a"), bench.driver.propose(b"b")]
    await bench.settle()
    assert not any(o.done() for o in outcomes)
    core.commit(1)
    bench.disk.run_next()
    assert outcomes[0].result() == "done a"
    assert not outcomes[1].done()
    core.commit(2)
    bench.driver.receive(HEARTBEAT)
    assert await outcomes[1] == "done b"
    assert core.applied_to == [1, 2]


async def test_an_outcome_of_another_term_at_the_index_is_unknown(
    bench: Bench, core: FakeCore
) -> None:
    """Trap I2: futures match index and term."""
    outcome = bench.driver.propose(b"mine")
    await bench.settle()
    core.log.clear()
    core.last_index = 0
    core.append([b"theirs"], term=2)
    core.commit(1)
    bench.disk.run_next()
    with pytest.raises(OutcomeUnknown, match="same op id"):
        await outcome


async def test_stepping_down_leaves_the_uncommitted_unknown_and_answers_the_committed(
    bench: Bench, core: FakeCore
) -> None:
    first = bench.driver.propose(b"committed")
    second = bench.driver.propose(b"not")
    await bench.settle()
    core.commit_index = 1  # committed, not applied yet
    core.lose_leadership()
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    with pytest.raises(OutcomeUnknown):
        await second
    assert not first.done()
    core.commit(1)
    bench.driver.receive(HEARTBEAT)
    assert await first == "done committed"


async def test_stepping_down_refuses_what_never_entered_the_log_with_a_hint(
    bench: Bench, core: FakeCore
) -> None:
    for name in (b"a", b"b"):
        bench.driver.propose(name)
        await bench.settle()
    queued = bench.driver.propose(b"queued")
    read = bench.driver.read_barrier()
    core.lose_leadership("m3")
    bench.driver.receive(HEARTBEAT)
    with pytest.raises(NotLeader) as caught:
        await queued
    assert caught.value.leader_hint == "m3=h3:7001"
    assert len(core.proposed) == 2
    core.effects.reads_failed = list(core.reads)
    bench.driver.receive(HEARTBEAT)
    with pytest.raises(NotLeader):
        await read


async def test_a_new_term_as_leader_again_leaves_older_proposals_unknown(
    bench: Bench, core: FakeCore
) -> None:
    outcome = bench.driver.propose(b"x")
    await bench.settle()
    core.term = 3
    core.effects.role_changed = True
    bench.driver.receive(HEARTBEAT)
    with pytest.raises(OutcomeUnknown):
        await outcome


async def test_not_the_leader_says_who_is(bench: Bench, core: FakeCore) -> None:
    core.lose_leadership("m2")
    with pytest.raises(NotLeader, match="ask m2=h2:7001") as caught:
        await bench.driver.propose(b"x")
    assert caught.value.leader_hint == bench.driver.leader_hint == "m2=h2:7001"
    with pytest.raises(NotLeader):
        await bench.driver.read_barrier()
    core.leader = ""
    assert bench.driver.leader_hint == ""
    with pytest.raises(NotLeader, match="election") as caught:
        await bench.driver.propose(b"x")
    assert caught.value.leader_hint == ""


async def test_a_caller_that_left_while_queued_is_not_proposed(
    bench: Bench, core: FakeCore
) -> None:
    gone, stays = bench.driver.propose(b"gone"), bench.driver.propose(b"stays")
    gone.cancel()
    await bench.settle()
    assert core.proposed == [[b"stays"]]
    core.commit(1)
    bench.disk.run_next()
    assert await stays == "done stays"


async def test_a_caller_that_left_later_does_not_disturb_the_others(
    bench: Bench, core: FakeCore
) -> None:
    gone, stays = bench.driver.propose(b"gone"), bench.driver.propose(b"stays")
    await bench.settle()
    gone.cancel()
    core.commit(2)
    bench.disk.run_next()
    assert await stays == "done stays"


async def test_queues_are_bounded(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "QUEUED_PROPOSALS_MAX", 5)
    for _ in range(5):
        bench.driver.propose(b"x")
    with pytest.raises(Overloaded) as caught:
        bench.driver.propose(b"x")
    assert caught.value.fields["retry_after_ms"] == proposals.RETRY_AFTER_MS
    monkeypatch.setattr(limits, "PENDING_READS_MAX", 4)
    bench.driver.read_barrier()
    bench.driver.read_barrier(reads=2)
    with pytest.raises(Overloaded, match="3 reads"):
        bench.driver.read_barrier(reads=2)
    bench.driver.read_barrier()
    with pytest.raises(Overloaded, match="4 reads"):
        bench.driver.read_barrier()
    monkeypatch.setattr(limits, "RAFT_QUEUE_MESSAGES_MAX", 2)
    for _ in range(5):
        bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert len(core.stepped) == 2


async def test_queued_bytes_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "QUEUED_BYTES_MAX", 100)
    bench.driver.propose(bytes(60))
    with pytest.raises(Overloaded):
        bench.driver.propose(bytes(60))
    await bench.settle()  # entered the log: the room is free again
    bench.driver.propose(bytes(60))


async def test_an_overloaded_core_refuses_the_whole_batch(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(payloads: object, kind: int = 1, **_: object) -> tuple[int, int]:
        raise Overloaded("full", retry_after_ms=50)

    monkeypatch.setattr(core, "propose", refuse)
    outcomes = [bench.driver.propose(b"a"), bench.driver.propose(b"b")]
    for outcome in outcomes:
        with pytest.raises(Overloaded) as caught:
            await outcome
        assert caught.value.fields["retry_after_ms"] == 50
    assert has_failed(bench) is None


async def test_an_operation_that_fits_no_entry_is_refused(bench: Bench) -> None:
    with pytest.raises(MessageTooLarge):
        bench.driver.propose(bytes(limits.ENTRY_BYTES_MAX))


# ---- reads


async def test_callers_of_one_turn_share_one_read(bench: Bench, core: FakeCore) -> None:
    reads = [bench.driver.read_barrier() for _ in range(20)]
    await bench.settle()
    assert core.reads == [1]
    later = bench.driver.read_barrier()
    await bench.settle()
    assert core.reads == [1, 2]
    core.effects.reads_ready = [ReadReady(1, 0)]
    bench.driver.receive(HEARTBEAT)
    await asyncio.gather(*reads)
    assert not later.done()


async def test_a_read_waits_until_its_index_is_applied(bench: Bench, core: FakeCore) -> None:
    read, further = bench.driver.read_barrier(), None
    await bench.settle()
    further = bench.driver.read_barrier()
    await bench.settle()
    core.append([b"a", b"b"])
    core.effects.reads_ready = [ReadReady(2, 2), ReadReady(1, 1)]
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert not read.done()
    core.commit(1)
    bench.driver.receive(HEARTBEAT)
    await read
    assert not further.done()
    core.commit(2)
    bench.driver.receive(HEARTBEAT)
    await further


async def test_a_cancelled_read_does_not_disturb_the_others(bench: Bench, core: FakeCore) -> None:
    gone, stays = bench.driver.read_barrier(), bench.driver.read_barrier()
    gone.cancel()
    await bench.settle()
    core.effects.reads_ready = [ReadReady(1, 0)]
    bench.driver.receive(HEARTBEAT)
    await stays


# ---- applying


async def test_a_backlog_is_applied_in_slices_between_which_others_run(
    bench: Bench, core: FakeCore
) -> None:
    now_s = [0.0]

    def slow_time() -> float:
        now_s[0] += 0.001
        return now_s[0]

    bench.driver._applier._time = slow_time
    core.append([b"x"] * 1000)
    core.commit(1000)
    bench.driver.receive(HEARTBEAT)
    seen = set()
    while bench.machine.applied_index < 1000:
        await asyncio.sleep(0)
        seen.add(bench.machine.applied_index)
    assert len(seen) > 5


async def test_nothing_is_applied_twice_after_a_restart() -> None:
    core = FakeCore()
    core.append([b"a", b"b", b"c"])
    bench = Bench(core)
    bench.machine.applied_index = 2
    bench.driver._applier.applied_index = bench.driver._applier.target = 2
    await bench.start()
    core.commit(2)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert bench.machine.applied == []
    core.commit(3)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert bench.machine.applied == [b"c"]
    await bench.stop()


# ---- between two leaders


async def test_what_is_asked_of_a_candidate_waits_for_the_votes(
    bench: Bench, core: FakeCore
) -> None:
    core.role, core.leader = "candidate", ""
    core.effects.role_changed = True
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    outcome, read = bench.driver.propose(b"a"), bench.driver.read_barrier()
    await bench.settle()
    assert (core.proposed, core.reads) == ([], [])
    core.role, core.leader = "leader", "m1"
    core.effects.role_changed = True
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert (core.proposed, core.reads) == ([[b"a"]], [1])
    outcome.cancel()
    read.cancel()


async def test_a_candidate_that_loses_sends_callers_to_the_winner(
    bench: Bench, core: FakeCore
) -> None:
    core.role, core.leader = "candidate", ""
    core.effects.role_changed = True
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    outcome, read = bench.driver.propose(b"a"), bench.driver.read_barrier()
    core.role, core.leader = "follower", "m2"
    core.effects.role_changed = True
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    for refused in (outcome, read):
        with pytest.raises(NotLeader) as caught:
            await refused
        assert caught.value.leader_hint == "m2=h2:7001"

"""The driver: what leaves when, and how groups form, with a disk that moves on command."""

from __future__ import annotations

import asyncio
import os

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    OutcomeUnknown,
    Unavailable,
)
from pydfsnode.obs import request_scope
from pydfsnode.obs.metrics import render
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    HeartbeatAck,
    PreVoteRequest,
    PreVoteResponse,
    VoteGrant,
    VoteRequest,
)
from pydfsnode.runtime.fair_queue import IN_LOG_ENTRIES_MAX
from tests.support.driver_fakes import Bench, FakeCore, real_core
from tests.support.sealed_log import entry

HEARTBEAT = HeartbeatAck(term=1, sender="m2", stream=1, read_round=1)


async def test_a_turn_is_in_the_scope_of_no_request(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    taken = core.take_effects

    def take_effects() -> object:
        seen.append(request_scope.current.get())
        return taken()

    monkeypatch.setattr(core, "take_effects", take_effects)
    with request_scope.request():
        bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert set(seen) == {None}


# ---- promises and durability


async def test_a_promise_leaves_only_when_its_group_is_durable(
    bench: Bench, core: FakeCore
) -> None:
    core.append([b"x"])
    core.effects.promise(1, "m2", AppendAck(1, "m1", stream=1, match_index=1, read_round=0))
    core.effects.send("m3", HEARTBEAT)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert bench.transport.sent == [("m3", HEARTBEAT)]  # free messages do not wait
    bench.disk.run_next()
    assert [to for to, _ in bench.transport.sent] == ["m3", "m2"]
    assert core.durable == [1]


async def test_promises_of_several_groups_leave_in_order_each_after_its_own(
    bench: Bench, core: FakeCore
) -> None:
    for peer, payload in (("m2", b"x"), ("m3", b"y")):
        core.append([payload])
        core.effects.promise(core.io_id, peer, VoteGrant(1, "m1"))
        bench.driver.receive(HEARTBEAT)
        await bench.settle()
    assert bench.transport.sent == []
    bench.disk.run_next()
    assert [to for to, _ in bench.transport.sent] == ["m2"]
    bench.disk.run_next()
    assert [to for to, _ in bench.transport.sent] == ["m2", "m3"]


async def test_a_promise_on_what_is_durable_already_leaves_at_once(
    bench: Bench, core: FakeCore
) -> None:
    core.append([b"x"])
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    bench.disk.run_next()
    core.effects.promise(1, "m2", VoteGrant(1, "m1"))
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert [to for to, _ in bench.transport.sent] == ["m2"]


async def test_a_duplicate_ack_waits_for_the_first_copys_fsync(
    bench: Bench, core: FakeCore
) -> None:
    """Trap C1: the second ack names the group in flight and has no group of its own."""
    core.append([b"x"])
    ack = AppendAck(1, "m1", stream=1, match_index=1, read_round=0)
    core.effects.promise(1, "m2", ack)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    core.effects.promise(1, "m2", ack)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert bench.transport.sent == []
    bench.disk.run_next()
    assert bench.transport.sent == [("m2", ack), ("m2", ack)]


async def test_a_candidates_request_leaves_after_its_own_vote_is_durable() -> None:
    bench = Bench(real_core(("m1", "m2", "m3")))
    await bench.start()
    for now_ms in range(0, 3000, 20):
        bench.clock.advance(20)
        bench.driver.tick()
        for message in [m for _, m in bench.transport.sent if isinstance(m, PreVoteRequest)]:
            bench.driver.receive(PreVoteResponse(0, "m2", asked_term=message.term, granted=True))
        await bench.settle()
        if bench.disk.jobs:
            break
        assert now_ms < 2900
    assert not any(isinstance(m, VoteRequest) for _, m in bench.transport.sent)
    bench.disk.run_next()
    assert bench.log.groups[0][0] is not None
    assert bench.log.groups[0][0].hard_state is not None
    assert bench.log.groups[0][0].hard_state.vote == "m1"
    assert {to for to, m in bench.transport.sent if isinstance(m, VoteRequest)} == {"m2", "m3"}
    await bench.stop()


# ---- group commit


async def test_a_lone_proposal_is_written_at_once(bench: Bench, core: FakeCore) -> None:
    bench.driver.propose(b"x")
    await asyncio.sleep(0)
    assert core.proposed == [[b"x"]]
    assert len(bench.disk.jobs) == 1


async def test_proposals_during_writes_make_one_batch(bench: Bench, core: FakeCore) -> None:
    for name in (b"first", b"second"):
        bench.driver.propose(name)
        await bench.settle()
    for i in range(100):
        bench.driver.propose(b"%d" % i)
        await bench.settle()
    assert len(bench.disk.jobs) == 2
    assert len(core.proposed) == 2  # the hundred gather in front of the core
    bench.disk.run_next()
    assert [len(batch) for batch in core.proposed] == [1, 1, 100]
    while bench.disk.jobs:
        bench.disk.run_next()
    assert bench.log.batch_sizes == [1, 1, 100]
    assert all(sync for _, _, sync in bench.log.groups)


async def test_events_of_one_loop_turn_make_one_group(bench: Bench, core: FakeCore) -> None:
    turns = core.turns
    for i in range(50):
        bench.driver.propose(b"%d" % i)
    bench.driver.receive(HEARTBEAT)
    bench.driver.read_barrier()
    await bench.settle()
    assert core.turns == turns + 1
    assert [len(batch) for batch in core.proposed] == [50]
    assert len(bench.disk.jobs) == 1


async def test_messages_are_stepped_at_once_and_their_groups_merge_behind_a_slow_disk(
    bench: Bench, core: FakeCore
) -> None:
    core.role = "follower"
    for i in range(6):
        core.append([b"%d" % i])
        bench.driver.receive(HEARTBEAT)
        await bench.settle()
        assert len(core.stepped) == i + 1
    while bench.disk.jobs:
        bench.disk.run_next()
    assert bench.log.batch_sizes == [1, 1, 4]
    assert core.durable == [1, 2, 6]


async def test_a_batch_is_bounded(bench: Bench, core: FakeCore) -> None:
    for _ in range(IN_LOG_ENTRIES_MAX + 5):
        bench.driver.propose(b"x")
    await bench.settle()
    bench.disk.run_next()
    assert [len(batch) for batch in core.proposed] == [IN_LOG_ENTRIES_MAX]
    core.commit(5)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert [len(batch) for batch in core.proposed] == [IN_LOG_ENTRIES_MAX, 5]


async def test_a_batch_is_bounded_in_bytes(bench: Bench, core: FakeCore) -> None:
    for _ in range(5):
        bench.driver.propose(os.urandom(limits.MIB))  # does not shrink
    await bench.settle()
    bench.disk.run_next()
    assert [len(batch) for batch in core.proposed] == [4, 1]


# ---- ticks, roles, status, stopping


async def test_messages_are_seen_before_the_tick(bench: Bench, core: FakeCore) -> None:
    order: list[str] = []
    core.step = lambda message: order.append("message")  # type: ignore[method-assign]
    core.tick = lambda now_ms: order.append(f"tick {now_ms}")  # type: ignore[method-assign]
    bench.clock.advance(40)
    bench.driver.receive(HEARTBEAT)
    bench.driver.tick()
    assert order == ["message", "tick 40"]


async def test_a_change_of_role_is_told_once(bench: Bench, core: FakeCore) -> None:
    heard: list[tuple[str, int]] = []
    bench.driver.on_role_change(lambda role, term: heard.append((role, term)))
    core.lose_leadership()
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    core.effects.role_changed = True  # only the leader became known
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert heard == [("follower", 2)]


async def test_the_status_says_where_it_stands(bench: Bench, core: FakeCore) -> None:
    bench.driver.propose(b"a")
    await bench.settle()
    core.commit(1)
    bench.disk.run_next()
    status = bench.driver.status()
    assert (status.node_id, status.role, status.term, status.leader) == ("m1", "leader", 1, "m1")
    assert (status.commit_index, status.applied_index, status.last_index) == (1, 1, 1)
    assert (status.groups_written, status.entries_written) == (1, 1)
    assert (status.fsync, status.fsync_warning) == ("always", "")


async def test_groups_and_elections_are_counted(bench: Bench, core: FakeCore) -> None:
    names = ("raft_entries_total", "raft_persists_total", "raft_elections_total")

    def counted() -> list[float]:
        found = {line.split()[0]: line.split()[-1] for line in render().decode().splitlines()}
        return [float(found[f"pydfs_{name}"]) for name in names]

    before = counted()
    for _ in range(3):
        bench.driver.propose(b"x")
    await bench.settle()
    bench.disk.run_next()
    core.elections = 2
    core.lose_leadership()
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert [b - a for a, b in zip(before, counted(), strict=True)] == [3, 1, 2]


async def test_stopping_answers_everybody_and_writes_what_waits(core: FakeCore) -> None:
    bench = Bench(core)
    await bench.start()
    entered = bench.driver.propose(b"a")
    await bench.settle()
    core.commit(0)
    second = bench.driver.propose(b"b")
    await bench.settle()
    queued = bench.driver.propose(b"c")
    read = bench.driver.read_barrier()
    bench.driver._commits.rows_changed()
    await bench.stop()
    for future in (entered, second):
        with pytest.raises(OutcomeUnknown):
            await future
    for refused in (queued, read):
        with pytest.raises(Unavailable):
            await refused
    assert bench.log.batch_sizes == [1, 1]
    assert bench.log.groups[-1] == (None, [(16, b"", b"0")], True)


# ---- with the real core


async def test_one_voter_acknowledges_only_after_its_own_disk() -> None:
    """Trap C7: the single node."""
    bench = Bench(real_core())
    await bench.start()
    while bench.driver.status().role != "leader":
        bench.clock.advance(20)
        bench.driver.tick()
        while bench.disk.jobs:
            bench.disk.run_next()
        await bench.settle()
    outcome = bench.driver.propose(b"x")
    read = bench.driver.read_barrier()
    await bench.settle()
    assert not outcome.done()
    bench.disk.run_next()
    assert await outcome == "done x"
    await read
    assert bench.machine.applied == [b"", b"x"]
    await bench.stop()


async def test_a_follower_acks_an_append_only_when_it_is_durable() -> None:
    bench = Bench(real_core(("m1", "m2", "m3")))
    await bench.start()
    entries = entry(1, 1) + entry(2, 1)
    append = Append(1, "m2", 1, 0, 0, 0, 0, 2, entries)
    bench.driver.receive(append)
    bench.driver.receive(append)  # a retransmission while the fsync runs
    await bench.settle()
    assert not any(isinstance(m, AppendAck) for _, m in bench.transport.sent)
    while bench.disk.jobs:
        bench.disk.run_next()
    acks = [m for to, m in bench.transport.sent if isinstance(m, AppendAck) and to == "m2"]
    assert acks
    assert acks[-1].match_index == 2
    assert bench.log.batch_sizes == [2]
    await bench.stop()

"""Failures stop the node; rows never overtake the log; unsafe modes say so."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    DurabilityFailure,
    InvariantViolation,
    OutcomeUnknown,
    Unavailable,
)
from pydfsnode.raft.messages import (
    AppendAck,
    HeartbeatAck,
)
from pydfsnode.runtime import raft_turn
from pydfsnode.runtime.raft_turn import ROWS_WAITING_ENTRIES_MAX
from pydfsnode.runtime.supervisor import exit_code
from tests.support.driver_fakes import Bench, FakeCore

HEARTBEAT = HeartbeatAck(term=1, sender="m2", stream=1, read_round=1)


def has_failed(bench: Bench) -> BaseException | None:
    return bench.supervisor.failure


# ---- failures stop the node


async def test_a_failed_write_stops_the_node_and_acknowledges_nothing(
    bench: Bench, core: FakeCore
) -> None:
    """Trap C11, INV-STOP."""
    outcome = bench.driver.propose(b"x")
    read = bench.driver.read_barrier()
    await bench.settle()
    core.effects.promise(1, "m2", AppendAck(1, "m1", stream=1, match_index=1, read_round=0))
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    bench.log.failure = DurabilityFailure("the log could not be written: EIO")
    bench.disk.run_next()
    with pytest.raises(OutcomeUnknown):
        await outcome
    with pytest.raises(Unavailable):
        await read
    assert bench.transport.sent == []
    assert core.durable == []
    assert isinstance(has_failed(bench), DurabilityFailure)
    assert exit_code(has_failed(bench)) == 70
    with pytest.raises(Unavailable):
        bench.driver.propose(b"y")
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert len(core.stepped) == 1


async def test_nothing_is_written_after_a_failed_write(bench: Bench, core: FakeCore) -> None:
    core.role = "follower"
    for i in range(3):
        core.append([b"%d" % i])
        bench.driver.receive(HEARTBEAT)
        await bench.settle()
    bench.log.failure = DurabilityFailure("EIO")
    bench.disk.run_next()
    bench.log.failure = None
    while bench.disk.jobs:
        bench.disk.run_next()
    assert bench.log.groups == []
    assert core.durable == []


async def test_a_violated_invariant_of_the_core_stops_the_node(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(message: object) -> None:
        raise InvariantViolation("a conflict below the commit index")

    monkeypatch.setattr(core, "step", broken)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert isinstance(has_failed(bench), InvariantViolation)


async def test_a_state_machine_that_raises_stops_the_node(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(first_index: int, entries: object) -> list[object]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(bench.machine, "apply", broken)
    outcome = bench.driver.propose(b"x")
    await bench.settle()
    core.commit(1)
    bench.disk.run_next()
    with pytest.raises(OutcomeUnknown):
        await outcome
    assert isinstance(has_failed(bench), ZeroDivisionError)
    assert exit_code(has_failed(bench)) == 70


async def test_a_state_machine_that_answers_too_little_stops_the_node(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.machine, "apply", lambda first_index, entries: [])
    core.append([b"x"])
    core.commit(1)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert isinstance(has_failed(bench), InvariantViolation)


async def test_rows_that_cannot_be_drained_stop_the_node(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[object]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(bench.machine, "drain_rows", broken)
    monkeypatch.setattr(raft_turn, "ROWS_EVERY_ENTRIES", 1)
    core.append([b"x"])
    core.commit(1)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    core.append([b"y"])
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    assert isinstance(has_failed(bench), ZeroDivisionError)


# ---- rows of the state machine


async def test_rows_ride_in_the_next_group_once_there_are_enough(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_turn, "ROWS_EVERY_ENTRIES", 1)
    bench.driver.propose(b"a")
    await bench.settle()
    core.commit(1)
    bench.disk.run_next()
    assert bench.disk.jobs == type(bench.disk.jobs)()  # nothing of their own
    bench.driver.propose(b"b")
    await bench.settle()
    bench.disk.run_next()
    assert [rows for _, rows, _ in bench.log.groups] == [[], [(16, b"", b"1")]]


async def test_rows_are_written_alone_and_synced_when_the_log_is_idle(
    bench: Bench, core: FakeCore
) -> None:
    bench.driver.propose(b"a")
    await bench.settle()
    core.commit(1)
    bench.disk.run_next()
    bench.driver._on_idle_tick()  # a group was written since the last look
    assert not bench.disk.jobs
    bench.driver._on_idle_tick()
    bench.disk.run_next()
    assert bench.log.groups[1] == (None, [(16, b"", b"1")], True)
    bench.driver._on_idle_tick()
    bench.driver._on_idle_tick()
    assert not bench.disk.jobs


async def test_rows_never_overtake_the_entries_that_made_them(bench: Bench, core: FakeCore) -> None:
    core.role = "follower"
    for i in range(3):  # two under way, one held
        core.append([b"%d" % i])
        bench.driver.receive(HEARTBEAT)
        await bench.settle()
    core.commit(3)
    bench.driver.receive(HEARTBEAT)
    await bench.settle()
    bench.driver._on_idle_tick()
    bench.driver._on_idle_tick()
    while bench.disk.jobs:
        bench.disk.run_next()
    persist, rows, _ = bench.log.groups[2]
    assert persist is not None
    assert persist.first_index == 3
    assert rows == [(16, b"", b"3")]
    assert [rows for _, rows, _ in bench.log.groups[:2]] == [[], []]


async def test_applying_waits_when_the_log_does_not_take_its_rows(
    bench: Bench, core: FakeCore
) -> None:
    core.role = "follower"
    for _ in range(2):
        core.append([b"x"])
        bench.driver.receive(HEARTBEAT)
        await bench.settle()
    core.append([b"y"] * (3 * ROWS_WAITING_ENTRIES_MAX))
    core.commit(core.last_index)
    bench.driver.receive(HEARTBEAT)
    for _ in range(500):
        await asyncio.sleep(0)
    assert (
        ROWS_WAITING_ENTRIES_MAX
        <= bench.machine.applied_index
        <= ROWS_WAITING_ENTRIES_MAX + limits.APPLY_BATCH_ENTRIES_MAX * 64
    )
    assert bench.machine.applied_index < core.last_index
    while bench.machine.applied_index < core.last_index:
        if bench.disk.jobs:
            bench.disk.run_next()
        await asyncio.sleep(0)


# ---- unsafe fsync modes


@pytest.mark.parametrize("mode", ["batch", "off"])
async def test_unsafe_modes_write_unsynced_and_say_so(mode: str, core: FakeCore) -> None:
    bench = Bench(core, fsync=mode)  # type: ignore[arg-type]
    await bench.start()
    outcome = bench.driver.propose(b"a")
    await bench.settle()
    core.commit(1)
    bench.disk.run_next()
    await outcome
    assert [sync for _, _, sync in bench.log.groups] == [False]
    assert "unsafe" in bench.driver.status().fsync_warning
    await bench.stop()
    assert bench.log.groups[-1][2] is True  # a clean stop syncs


async def test_the_timer_of_mode_batch_syncs_what_was_written_once(core: FakeCore) -> None:
    bench = Bench(core, fsync="batch")
    await bench.start()
    bench.driver.propose(b"a")
    await bench.settle()
    bench.disk.run_next()
    bench.driver._commits.sync()
    bench.disk.run_next()
    assert [sync for _, _, sync in bench.log.groups] == [False, True]
    bench.driver._commits.sync()
    assert not bench.disk.jobs
    await bench.stop()

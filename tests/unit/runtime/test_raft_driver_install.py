"""A snapshot in the place of log and state, step by step; and what a late look at a clock costs."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.errors import DurabilityFailure, OutcomeUnknown
from pydfsnode.raft.effects import Install, Persist
from pydfsnode.raft.messages import HeartbeatAck, SnapshotHeader
from pydfsnode.runtime.group_commit import IN_FLIGHT_MAX, GroupCommit
from pydfsnode.runtime.installation import Installations
from pydfsnode.runtime.raft_metrics import RaftMetrics
from tests.support.driver_fakes import Bench, FakeCore, FakeLog, ManualExecutor

HEARTBEAT = HeartbeatAck(term=1, sender="m2", stream=1, read_round=1)
INDEX = 10
HEADER = SnapshotHeader(1, "m2", 1, INDEX, 1, b"")


class InstallingCore(FakeCore):
    """Takes any snapshot, as a follower."""

    def __init__(self) -> None:
        super().__init__()
        self.role, self.leader = "follower", "m2"

    def install(self, header: SnapshotHeader) -> bool:
        self.io_id += 1
        install = Install(header.index, header.index_term, header.configuration)
        self.effects.persist = Persist(self.io_id, install=install)
        return True


@pytest.fixture
def core() -> FakeCore:
    return InstallingCore()


async def turn(bench: Bench) -> None:
    bench.driver.receive(HEARTBEAT)
    await bench.settle()


async def write_all(bench: Bench) -> None:
    while bench.disk.jobs:
        bench.disk.run_next()
        await bench.settle()


async def test_nothing_is_applied_until_the_new_state_is_there(
    bench: Bench, core: FakeCore
) -> None:  # trap F7
    bench.driver._load_state = lambda: INDEX
    core.append([b"%d" % number for number in range(1, 13)])
    core.commit(1)
    await turn(bench)
    await write_all(bench)
    installed = bench.driver.install_snapshot(HEADER)
    core.commit(12)
    await turn(bench)
    assert bench.machine.applied == [b"1"]
    bench.disk.run_next()  # the group that makes it durable
    await turn(bench)
    assert (bench.machine.applied, installed.done()) == ([b"1"], False)
    await write_all(bench)
    assert await installed
    assert bench.supervisor.failure is None
    assert bench.machine.applied == [b"1", b"11", b"12"]


async def test_the_new_state_is_loaded_when_it_is_durable(bench: Bench, core: FakeCore) -> None:
    def load() -> int:
        installs = [group.install for group, _, _ in bench.log.groups if group is not None]
        assert any(installs), "loaded before it was installed"
        return INDEX

    bench.driver._load_state = load
    for _ in range(IN_FLIGHT_MAX):
        core.append([b"x"])
        await turn(bench)
    installed = bench.driver.install_snapshot(HEADER)
    await bench.settle()
    await write_all(bench)
    assert bench.supervisor.failure is None
    assert await installed


async def test_rows_of_the_old_state_are_not_written_with_the_new_one(bench: Bench) -> None:
    bench.driver._load_state = lambda: INDEX
    bench.driver._commits.rows_changed()
    bench.driver.install_snapshot(HEADER)
    await bench.settle()
    await write_all(bench)
    assert [rows for group, rows, _ in bench.log.groups if group and group.install] == [[]]


async def test_who_waits_for_an_entry_that_a_snapshot_replaced_is_told(
    bench: Bench, core: FakeCore
) -> None:  # trap I2
    bench.driver._load_state = lambda: INDEX
    core.role = "leader"
    outcome = bench.driver.propose(b"x")
    await bench.settle()
    core.commit_index = 1  # and not applied here yet
    core.lose_leadership()
    await turn(bench)
    assert not outcome.done()
    bench.driver.install_snapshot(HEADER)
    await bench.settle()
    await write_all(bench)
    with pytest.raises(OutcomeUnknown):
        await outcome


async def test_one_installation_at_a_time() -> None:
    loop = asyncio.get_running_loop()
    installations = Installations()
    for _ in range(2):
        installations.add(HEADER, loop.create_future())
    header, installed = installations.next()
    installations.begun(header, 1, installed)
    assert not installations.wanted
    installations.finished()
    assert installations.wanted


async def test_the_lease_is_looked_up_by_the_clock_of_now(
    bench: Bench, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:  # trap D6
    seen_ms: list[int] = []
    monkeypatch.setattr(core, "advance", seen_ms.append)
    monkeypatch.setattr(core, "holds_lease", lambda: seen_ms[-1:] == [1_000], raising=False)
    bench.clock.advance(1_000)
    assert bench.driver.holds_lease()


# ---- groups


class Groups:
    """A `GroupCommit` with a disk that writes on command."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.disk = ManualExecutor()
        self.durable: list[int] = []
        self.failures: list[BaseException] = []
        self.commits = GroupCommit(
            self.log, self.disk, "always", lambda: ([], 0), self.durable.append,
            self.failures.append, RaftMetrics(), lambda: 0.0,
        )  # fmt: skip


async def test_an_installation_is_never_part_of_another_group() -> None:  # trap F7
    groups = Groups()
    for io_id in (1, 2, 3):
        groups.commits.submit(Persist(io_id, first_index=io_id, entries=[b"x"]))
    groups.commits.submit(Persist(4, install=Install(9, 1, b"")))
    groups.commits.submit(Persist(5, first_index=10, entries=[b"y"]))
    while groups.disk.jobs:
        groups.disk.run_next()
    written = [group for group, _, _ in groups.log.groups if group is not None]
    assert [(g.io_id, len(g.entries), g.install is not None) for g in written] == [
        (1, 1, False), (2, 1, False), (3, 1, False), (4, 0, True), (5, 1, False),
    ]  # fmt: skip
    assert groups.durable == [1, 2, 3, 4, 5]


async def test_nothing_is_given_to_the_disk_after_a_failure() -> None:  # trap C11
    groups = Groups()
    groups.log.failure = DurabilityFailure("EIO")
    groups.commits.submit(Persist(1, first_index=1, entries=[b"x"]))
    groups.disk.run_next()
    groups.commits.submit(Persist(2, first_index=1, entries=[b"x"]))
    assert not groups.disk.jobs
    assert len(groups.failures) == 1

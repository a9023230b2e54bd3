"""A real namespace goes through real sealed logs, from a leader's disk into a follower's memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pydfsnode.errors import Unavailable
from pydfsnode.meta.rows import TABLES
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import HardState, Install, Persist, SnapshotWanted
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.runtime import snapshot_send
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.snapshot_frames import RowFrame
from pydfsnode.runtime.snapshot_receive import SnapshotReceiver
from pydfsnode.runtime.snapshot_send import SendingParts, SnapshotTransfers
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.storage.raft_log import RaftLog
from tests.support.sealed_log import group, open_log
from tests.unit.meta.op_stream import BOUNDS, run
from tests.unit.runtime.snapshot_fakes import FOLLOWER, Leader, Network

T = TypeVar("T")


class Follower:
    """A driver that installs as the real one does: the log first, then the machine."""

    def __init__(self, log: RaftLog) -> None:
        self.log = log
        self.namespace = Namespace(BOUNDS)
        self.machine = NamespaceMachine(self.namespace, lambda: None)
        self.receiver = SnapshotReceiver(self, log.stage)

    def snapshot_offered(self, header: SnapshotHeader) -> bool:
        return header.index > self.machine.applied_index

    def run_on_log(self, job: Callable[[], T]) -> Awaitable[T]:
        return asyncio.ensure_future(asyncio.to_thread(job))

    async def install_snapshot(self, header: SnapshotHeader) -> bool:
        install = Install(header.index, header.index_term, header.configuration)
        persist = Persist(1, HardState(header.term, ""), install=install)
        await self.run_on_log(lambda: self.log.write(persist, [], True))
        loaded = await asyncio.to_thread(lambda: self.machine.load(self.log.load_rows(TABLES)))
        self.machine.replace(loaded)
        return True


@pytest.fixture
def source(tmp_path: Path) -> tuple[Namespace, RaftLog]:
    """A namespace and the log that holds its rows."""
    namespace = run(5, 2_000)
    log = open_log(tmp_path / "leader")
    log.write(group(1, [2] * namespace.applied_index), [], True)
    log.write(None, namespace.drain_rows(), True, namespace.applied_index)
    return namespace, log


async def test_the_follower_has_the_leaders_state_also_after_a_restart(
    source: tuple[Namespace, RaftLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_send, "FRAME_ROWS_BYTES", 500)
    namespace, log = source
    expected, index = namespace.state_hash(), namespace.applied_index
    follower = Follower(open_log(tmp_path / "follower"))
    network = Network(follower)  # type: ignore[arg-type]
    leader = Leader()
    leader.configuration = Configuration(("m1", "m2")).encode()
    parts = SendingParts(log.open_view, network.dial, ManualClock(), 1 << 40, lambda: 0.0)
    transfers = SnapshotTransfers(parts, Supervisor())
    transfers.bind(leader)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        if number % 3 == 2:
            raise Unavailable("the connection is gone")
        return frame

    network.tamper = tamper
    transfers.start(SnapshotWanted(FOLLOWER, 7))
    async with asyncio.timeout(10):
        while not network.dials:
            await asyncio.sleep(0)
    # Meanwhile the leader goes on: the view must not show it.
    namespace.advance(index + 1)
    log.write(group(index + 1, [2]), namespace.drain_rows(), True, index + 1)
    async with asyncio.timeout(30):
        await leader.ended.wait()
    assert leader.finished[-1][2]
    assert network.dials > 2
    assert follower.namespace.state_hash() == expected
    assert follower.log.bounds.last_index == index
    follower.log.close()
    log.close()
    again = open_log(tmp_path / "follower")
    machine = NamespaceMachine(Namespace(BOUNDS), lambda: None)
    machine.replace(machine.load(again.load_rows(TABLES)))
    assert machine.namespace.state_hash() == expected
    assert again.start.base == leader.configuration
    again.close()

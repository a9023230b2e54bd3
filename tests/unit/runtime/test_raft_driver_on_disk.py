"""Driver, real core, real sealed log on LevelDB and the real thread, together."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.messages import Message
from pydfsnode.raft.types import Timing
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.storage.raft_log import RaftLog
from tests.support.driver_fakes import ADDRESSES, FakeMachine
from tests.support.sealed_log import open_log


class LocalNet:
    """Delivers between drivers of one loop."""

    def __init__(self) -> None:
        self.drivers: dict[str, RaftDriver] = {}

    def send(self, to: str, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._deliver, to, message)

    def _deliver(self, to: str, message: Message) -> None:
        if to in self.drivers:
            self.drivers[to].receive(message)


class DurableMachine(FakeMachine):
    """Starts from the applied index that its row holds."""

    def __init__(self, log: RaftLog) -> None:
        super().__init__()
        for _, _, value in log.load_rows([16]):
            assert value is not None
            self.applied_index = int(value)


class Node:
    def __init__(self, node_id: str, directory: Path, net: LocalNet) -> None:
        self.log = open_log(directory / node_id)
        self.machine = DurableMachine(self.log)
        self.supervisor = Supervisor()
        clock = SystemClock()
        core = RaftCore(
            node_id,
            ("m1", "m2", "m3"),
            self.log.start,
            self.log.hard_state,
            Timing(20, 100),
            random.Random(node_id).random,
            clock.monotonic_ms(),
            self.machine.applied_index,
        )
        self.driver = RaftDriver(
            core, self.log, self.machine, net, clock, self.supervisor, ADDRESSES, tick_ms=5
        )
        net.drivers[node_id] = self.driver

    async def stop(self) -> None:
        await self.driver.stop()
        self.log.close()
        assert self.supervisor.failure is None


async def start_and_elect(nodes: list[Node]) -> Node:
    """Start all and wait for the first to be elected."""
    elected: asyncio.Future[Node] = asyncio.get_running_loop().create_future()

    def heard(node: Node, role: str) -> None:
        if role == "leader" and not elected.done():
            elected.set_result(node)

    for node in nodes:
        node.driver.on_role_change(lambda role, term, node=node: heard(node, role))
        await node.driver.start()
    return await elected


async def test_what_was_acknowledged_is_there_after_all_restart(tmp_path: Path) -> None:
    net = LocalNet()
    nodes = [Node(node_id, tmp_path, net) for node_id in ADDRESSES]
    leader = await start_and_elect(nodes)
    outcomes = await asyncio.gather(*(leader.driver.propose(b"op %d" % i) for i in range(500)))
    assert outcomes == [f"done op {i}" for i in range(500)]
    await leader.driver.read_barrier()
    status = leader.driver.status()
    assert status.entries_written >= 500
    assert status.groups_written < 50  # one batch and one fsync for many
    for node in nodes:
        await node.stop()

    net = LocalNet()
    nodes = [Node(node_id, tmp_path, net) for node_id in ADDRESSES]
    leader = await start_and_elect(nodes)
    await leader.driver.read_barrier()
    assert leader.machine.applied_index >= 501
    before = leader.log.load_rows([16])
    assert int(next(before)[2] or 0) <= leader.machine.applied_index
    assert await leader.driver.propose(b"after") == "done after"
    for node in nodes:
        await node.stop()

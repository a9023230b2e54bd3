"""An older row put back on a stopped master's disk, with its valid seal, is found by the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from pydfsnode._fast import INODES_PER_BLOCK
from pydfsnode.errors import StateDiverged
from pydfsnode.meta import ops
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.rows import KEY, TABLE_BLOCK
from pydfsnode.runtime.compaction import CompactionPolicy
from tests.support.sim.monitor import Monitor
from tests.support.sim.network import Weather
from tests.support.sim.node import SimNode
from tests.support.sim.plan import plan
from tests.support.sim.simulation import Simulation

SEEDS = (1, 2)
CLIENT = 1 << 50
SEEN_S = 10.0
"""Within this much time rows are drained, and what is small has its turn in a digest."""


class MonitorOfOthers(Monitor):
    """Does not itself look at the state of the master whose disk was changed."""

    suspect = ""

    def state(self, member: str, index: int, digest: bytes) -> None:
        """See `Monitor.state`."""
        if member != self.suspect:
            super().state(member, index, digest)

    def applied(
        self, member: str, first: int, entries: Sequence[bytes], outcomes: Sequence[object]
    ) -> None:
        """See `Monitor.applied`."""
        if member != self.suspect:
            super().applied(member, first, entries, outcomes)


def started(seed: int) -> Simulation:
    """Three masters without faults, with a load of small writes; nobody needs a snapshot."""
    faultless = dataclasses.replace(
        plan(seed), size=3, faults=(), weather=Weather(), old=(), fsync_s=(0.0005, 0.003),
        drift=0.0, wall_offset_ms=0, client_loss=0.0, think_s=0.1, clients=4, reads=("leader",),
        compaction=CompactionPolicy(log_entries_max=100_000, keep_entries=50_000),
    )  # fmt: skip
    sim = Simulation(faultless)
    sim.monitor = MonitorOfOthers()
    for node in sim.nodes:
        node.start()
    for client in sim.clients:
        sim.scheduler.after(0.5, client.act)
    return sim


def apply(sim: Simulation, seq: int, kind: Any, *fields: Any) -> None:
    """Have the leader apply an operation."""
    leader = sim.leader()
    assert leader is not None
    op = kind(CLIENT, seq, seq, leader.loop.wall_ms(), "root", *fields)
    leader.loop.call_in(leader.driver.propose, encode_op(op))
    sim.scheduler.run_until(sim.scheduler.now_s + 0.5)


def make_inodes(sim: Simulation) -> int:
    """Inodes that fill a block, which no client changes; the block's number."""
    for number in range(2 * INODES_PER_BLOCK):
        apply(sim, 1 + number, ops.Mkdirs, f"/quiet/{number}", 0o755)
    leader = sim.leader()
    assert leader is not None
    made = leader.namespace.tree.walk(f"/quiet/{INODES_PER_BLOCK}", NOBODY_ASKS)
    return made.inode_id // INODES_PER_BLOCK


@pytest.mark.parametrize("seed", SEEDS)
def test_an_older_row_of_the_state_stops_the_master_that_loads_it(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[tuple[str, BaseException]] = []

    def failed(node: SimNode, failure: BaseException) -> None:
        stopped.append((node.name, failure))
        node.refused = str(failure)  # nobody starts it again
        node.crash(False)

    monkeypatch.setattr(SimNode, "failed", failed)
    sim = started(seed)
    sim.scheduler.run_until(3.0)
    key = bytes([TABLE_BLOCK]) + KEY.pack(make_inodes(sim))
    leader = sim.leader()
    assert leader is not None
    node = next(node for node in sim.nodes if node is not leader.node)
    sim.scheduler.run_until(sim.scheduler.now_s + SEEN_S)
    older = node.disk.rows[key]
    apply(sim, 99, ops.SetMode, f"/quiet/{INODES_PER_BLOCK}", 0o700)
    sim.scheduler.run_until(sim.scheduler.now_s + SEEN_S)
    assert node.disk.rows[key] != older
    node.crash(False)
    node.disk.rows[key] = older
    node.disk.damaged = True
    sim.monitor.suspect = node.member  # type: ignore[attr-defined]
    until_s = sim.scheduler.now_s + SEEN_S
    while not stopped and sim.scheduler.now_s < until_s:
        sim.scheduler.run_until(sim.scheduler.now_s + 0.1)
    assert [(name, type(failure)) for name, failure in stopped] == [(node.name, StateDiverged)]
    answered = [client.answered for client in sim.clients]
    sim.scheduler.run_until(sim.scheduler.now_s + SEEN_S)
    assert all(c.answered > a for c, a in zip(sim.clients, answered, strict=True))
    assert len(stopped) == 1, "one of the others stopped too"

"""Hundreds of servers in racks: whatever dies and returns, no last replica goes and all heals."""

from __future__ import annotations

from collections import Counter

import pytest

from pydfsnode.fleet.health import AVOIDED, OK
from pydfsnode.fleet.repair import RepairRates

from .simulated import LENGTH, TICK_MS, Node, Simulation

RACKS = [f"/dc{dc}/r{rack}" for dc in (1, 2) for rack in range(8)]


def started(
    seed: int, chunks: int, per_rack: int = 15, rates: RepairRates | None = None
) -> Simulation:
    print(f"seed {seed}")
    sim = Simulation(seed, RACKS, per_rack, rates=rates)
    sim.run(8_000)
    sim.write(chunks)
    sim.run(4_000)
    return sim


def stop(nodes: list[Node]) -> None:
    for node in nodes:
        node.up = False


def test_a_quiet_fleet_is_left_alone() -> None:
    sim = started(1, 2000)
    sim.check_healed()
    before = {name: set(node.disk) for name, node in sim.nodes.items()}
    sim.run(60_000)
    assert {name: set(node.disk) for name, node in sim.nodes.items()} == before
    held = [len(node.disk) for node in sim.nodes.values()]
    assert max(held) < 3 * sum(held) / len(held), "spread over the servers too"


@pytest.mark.parametrize("seed", range(2))
def test_a_rack_dies_heals_elsewhere_and_its_return_leaves_no_surplus(seed: int) -> None:
    sim = started(seed, 1500)
    rack = [node for node in sim.nodes.values() if node.rack == RACKS[seed]]
    stop(rack)
    sim.run(12_000)
    assert sim.planner.status().under_replicated
    sim.heal()
    assert sim.copied >= sum(len(node.disk) for node in rack)
    for node in rack:
        node.start()
    sim.run(4_000)
    assert sim.planner.status().deletions_running
    sim.heal()


def test_a_carried_server_has_its_chunks_spread_anew() -> None:
    sim = started(5, 800)
    for node in list(sim.nodes.values())[:30]:
        node.rack = "/dc1/r0"
    copied = sim.copied
    sim.run(6_000)
    sim.heal()
    assert sim.copied > copied


def test_slow_full_and_flapping_servers_get_nothing_new_and_cost_nothing() -> None:
    sim = started(7, 500)
    slow, full, flapping = (sim.nodes[name] for name in ("c01-01", "c05-03", "c09-07"))
    slow.p99_ms = 4000.0
    full.room = len(full.disk)
    for _ in range(6):
        flapping.up = False
        sim.run(14_000)
        flapping.start()
        sim.run(6_000)
    conditions = {s.node_id: s.health.condition for s in sim.servers.all()}
    assert [name for name, found in conditions.items() if found != OK] == ["c01-01", "c09-07"]
    assert conditions["c01-01"] == conditions["c09-07"] == AVOIDED
    placed = Counter(name for targets in sim.write(1500) for name in targets)
    assert not {slow.name, full.name, flapping.name} & placed.keys()
    assert len(placed) == len(sim.nodes) - 3
    sim.heal()


def test_a_frozen_server_is_avoided_before_it_is_dead() -> None:
    sim = started(9, 100)
    sim.nodes["c03-03"].up = False
    sim.run(6_000)
    assert sim.servers.is_live("c03-03")
    assert all("c03-03" not in targets for targets in sim.write(500))
    sim.nodes["c03-03"].up = True
    sim.run(4_000)
    assert any("c03-03" in targets for targets in sim.write(500))


def test_repair_keeps_to_the_rates_of_fleet_and_servers() -> None:
    per_s = 40 * LENGTH
    sim = started(11, 1500, rates=RepairRates(per_s, 4 * LENGTH))
    stop([node for node in sim.nodes.values() if node.rack == RACKS[3]])
    sim.tick_copies.clear()
    sim.run(60_000)
    window = 10_000 // TICK_MS
    most = max(
        sum(sim.tick_copies[at : at + window]) for at in range(len(sim.tick_copies) - window)
    )
    assert 0 < most <= (10 + 2) * 40 + 1
    sim.heal()


class Trouble:
    """Random events; at most a few servers of any chunk are lost for good."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.rng = sim.rng

    def die(self) -> None:
        self.rng.choice(list(self.sim.nodes.values())).up = False

    def die_rack(self) -> None:
        rack = self.rng.choice(RACKS)
        if sum(node.up for node in self.sim.nodes.values()) > len(self.sim.nodes) * 3 // 4:
            stop([node for node in self.sim.nodes.values() if node.rack == rack])

    def come_back(self) -> None:
        down = [node for node in self.sim.nodes.values() if not node.up]
        for node in self.rng.sample(down, len(down) // 2):
            node.start()

    def slow(self) -> None:
        self.rng.choice(list(self.sim.nodes.values())).p99_ms = self.rng.choice([20.0, 3000.0])

    def fill(self) -> None:
        node = self.rng.choice(list(self.sim.nodes.values()))
        node.room = len(node.disk)

    def write(self) -> None:
        self.sim.write(20, self.rng.choice([2, 3, 3, 4]))

    def heal(self) -> None:
        """Everything runs, with room and at its usual speed."""
        for node in self.sim.nodes.values():
            if not node.up:
                node.start()
            node.room, node.p99_ms = 1000, 20.0


@pytest.mark.parametrize("seed", range(20, 23))
def test_whatever_happens_no_last_good_replica_goes_and_in_the_end_all_is_well(seed: int) -> None:
    sim = started(seed, 400, per_rack=8)
    trouble = Trouble(sim)
    events = {
        trouble.die: 6, trouble.die_rack: 1, trouble.come_back: 5, sim.lose_disk: 1,
        trouble.slow: 3, trouble.fill: 2, sim.corrupt: 4, trouble.write: 6,
    }  # fmt: skip
    for _ in range(80):
        (event,) = sim.rng.choices(list(events), weights=list(events.values()))
        event()
        sim.run(sim.rng.choice([500, 1_000, 4_000, 8_000]))
    trouble.heal()
    sim.heal()

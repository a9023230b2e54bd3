"""INV-SUM and healing: whatever happens, no last good replica goes, and in the end all is whole."""

from __future__ import annotations

import pytest

from pydfsnode.fleet import sweep

from .fleet_sim import FleetSim

QUIET_MS = 300_000
"""Long enough for the slowest of: death, expectation, time-outs of copies and deletions."""


def filled(seed: int, servers: int, chunks: int, loss: float = 0.0) -> FleetSim:
    sim = FleetSim(seed, servers, loss=loss)
    sim.run(6000)
    for _ in range(chunks):
        sim.write(sim.rng.choice([1, 2, 3, 3, 3, 4]))
    sim.run(2000)
    return sim


def test_a_quiet_cluster_orders_nothing() -> None:
    sim = filled(1, 24, 300)
    before = {server.name: dict(server.disk) for server in sim.servers}
    sim.run(60_000)
    sim.check_healed()
    assert {server.name: server.disk for server in sim.servers} == before


@pytest.mark.parametrize("seed", range(4))
def test_all_chunks_come_back_to_full_replication_after_deaths(seed: int) -> None:
    sim = FleetSim(seed, 30)
    sim.run(6000)
    for _ in range(400):
        sim.write(3)
    sim.run(2000)
    for server in sim.rng.sample(sim.servers, 2):
        server.up = False
    sim.run(90_000)
    sim.check_healed()
    for server in sim.rng.sample([s for s in sim.servers if s.up], 2):
        server.up = False
    sim.run(90_000)
    sim.check_healed()
    for server in sim.servers:
        if not server.up:
            server.restart(wiped=False)
    sim.run(QUIET_MS)
    sim.check_healed()


def walk(sim: FleetSim, events: dict[str, int], ms: int) -> None:
    """Random events, then quiet; the simulation checks every deletion."""
    until = sim.now_ms + ms
    names, weights = list(events), list(events.values())
    while sim.now_ms < until:
        (name,) = sim.rng.choices(names, weights=weights)
        getattr(sim, name)()
        sim.run(sim.rng.choice([250, 500, 1000, 3000]))
    for server in sim.servers:
        if not server.up:
            server.restart(wiped=False)
    sim.loss = 0.0
    sim.run(QUIET_MS)
    sim.check_healed()


@pytest.mark.parametrize("seed", range(8))
def test_kills_and_elections_never_cost_a_wanted_replica(seed: int) -> None:
    sim = filled(seed, 16, 80, loss=0.1)
    events = {"write": 6, "forget": 2, "kill": 3, "restart": 3, "elect": 2, "restart_master": 1}
    walk(sim, events, 200_000)
    assert sim.losses == 0


@pytest.mark.parametrize("seed", range(8))
def test_wiped_disks_and_corruption_never_end_in_the_loss_of_a_chunk(seed: int) -> None:
    sim = filled(100 + seed, 12, 60, loss=0.05)
    events = {
        "write": 4, "forget": 1, "kill": 2, "restart": 3, "elect": 2, "restart_master": 1,
        "wipe": 1, "corrupt": 3,
    }  # fmt: skip
    walk(sim, events, 200_000)
    assert sim.losses > 5


@pytest.mark.parametrize("seed", range(3))
def test_three_servers_heal_a_corrupt_replica_in_place(seed: int) -> None:
    sim = FleetSim(seed, 3)
    sim.run(6000)
    for _ in range(20):
        sim.write(3)
    sim.run(2000)
    for _ in range(5):
        sim.corrupt()
        sim.run(30_000)
    sim.run(QUIET_MS)
    sim.check_healed()
    assert sim.losses == 5


@pytest.mark.parametrize("seed", range(4))
def test_queues_that_lag_behind_deaths_change_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "CHUNKS_PER_STEP", 1)
    monkeypatch.setattr(sweep, "RECORDS_PER_STEP", 5)
    sim = filled(200 + seed, 16, 80, loss=0.1)
    events = {"write": 4, "forget": 2, "kill": 4, "restart": 4, "elect": 2, "restart_master": 1}
    walk(sim, events, 150_000)
    assert sim.losses == 0

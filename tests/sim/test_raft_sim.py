"""Seeded runs of real cores under everything that networks, disks, clocks and operators do.

`PYDFSNODE_SIM_SEEDS` and `PYDFSNODE_SIM_SEED` (one seed) choose what runs; a failure names its
seed. `tests/support/raft/swarm.py` says what a seed is.
"""

from __future__ import annotations

import os

import pytest

from tests.support.raft import swarm

SEED_COUNT = int(os.environ.get("PYDFSNODE_SIM_SEEDS", "60"))
ONE_SEED = os.environ.get("PYDFSNODE_SIM_SEED")
SEEDS = [int(ONE_SEED)] if ONE_SEED else list(range(1, SEED_COUNT + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_and_progress_resumes_after_healing(seed: int) -> None:
    swarm.run(seed)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = swarm.run(SEEDS[0]), swarm.run(SEEDS[0])
    assert first.event_count == second.event_count
    assert first.committed == second.committed
    assert first.leaders == second.leaders


def test_seeds_reach_what_they_are_made_for() -> None:
    """Else a change of the plan could make the simulation easy without anybody noticing."""
    reached = dict.fromkeys(swarm.REACHED, 0)
    for seed in SEEDS[:40]:
        for name, count in swarm.reached(swarm.run(seed)).items():
            reached[name] += count
    never = [name for name, count in reached.items() if not count]
    assert ONE_SEED or not never, f"no seed had: {', '.join(never)}"

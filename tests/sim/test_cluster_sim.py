"""Whole clusters of real masters in virtual time: driver, core, log, namespace (tests/support/sim).

`make sim N=1000` runs that many seeds, `make sim SEED=17` one with its traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.run import Totals, run_all, wanted_seeds
from tests.support.sim.simulation import run

ROOT = Path(__file__).parents[2]
DETERMINISM_SEEDS = (7, 26)
SEEDS = wanted_seeds()
BATCH = 50
"""Seeds in one test: each stays well below the time after which a test counts as hanging."""
ALL = Totals()


@pytest.mark.parametrize("first", range(0, len(SEEDS), BATCH))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    totals = run_all(SEEDS[first : first + BATCH])
    ALL.add(totals)
    assert not totals.failures, "\n".join(totals.lines())


def test_the_figures_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + "\n".join(ALL.lines()))
    assert len(ALL.reports) + len(ALL.failures) == len(SEEDS)


@pytest.mark.parametrize("seed", DETERMINISM_SEEDS)
def test_a_seed_gives_the_same_trace_bit_for_bit_under_another_hash_seed(seed: int) -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim.run", "--trace", str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "4242")
    ]
    assert traces == [run(seed).trace] * 2

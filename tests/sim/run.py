"""Runs seeds of the cluster simulation in two processes and prints what they did.

`python -m tests.sim.run [FIRST LAST]`, or by the environment as `make sim` sets it:
PYDFSNODE_SIM_SEEDS (how many) and PYDFSNODE_SIM_SEED (that one, with its traceback).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydfsnode.obs import log
from pydfsnode.runtime.clock import stopwatch_s
from tests.support.sim.simulation import Report, run

SEEDS_DEFAULT = 300
WORKERS = 2
KEPT = Path(__file__).with_name("seeds.txt")
_SHOWN = (
    "messages", "committed", "answered", "unknown", "elections", "crashes", "refused_disks",
    "promises", "changes", "transfers", "wipes", "snapshots", "installed", "compactions",
    "undecided",
)  # fmt: skip
"""What of the reports is added up."""


@dataclass
class Totals:
    """What all seeds did together; `failures` are (seed, what)."""

    reports: list[Report] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, other: Totals) -> None:
        """Add what *other* seeds did."""
        self.reports += other.reports
        self.failures += other.failures
        self.took_s += other.took_s

    def lines(self) -> Iterator[str]:
        """The figures, and a line to reproduce each failure."""
        reports = self.reports
        quiet_s = sum(r.simulated_s for r in reports if r.quiet)
        busy_s = sum(r.simulated_s for r in reports if not r.quiet)
        events = sum(r.events for r in reports)
        yield (
            f"simulation: {len(reports)} seeds, {(quiet_s + busy_s) / 3600:.1f} simulated hours "
            f"({busy_s / 3600:.1f} h of frequent faults and load, {quiet_s / 3600:.1f} h of long "
            f"runs with sparse ones), {events:,} events in {self.took_s:.0f} s "
            f"({events / max(self.took_s, 0.001):,.0f}/s)"
        )
        totals = {name: sum(getattr(r, name) for r in reports) for name in _SHOWN}
        yield "simulation: " + ", ".join(f"{n:,} {k}" for k, n in totals.items())
        undecided = [r.seed for r in reports if r.undecided]
        if undecided:
            yield f"simulation: histories too hard to check in seeds {undecided}"
        for seed, what in self.failures:
            yield f"simulation: seed {seed} FAILED, `make sim SEED={seed}` repeats it: {what}"


def kept_seeds() -> list[int]:
    """Seeds that failed once: they are always run."""
    lines = (line.partition("#")[0].strip() for line in KEPT.read_text().splitlines())
    return [int(line) for line in lines if line]


def wanted_seeds() -> list[int]:
    """What the environment asks for."""
    one = os.environ.get("PYDFSNODE_SIM_SEED")
    if one:
        return [int(one)]
    count = int(os.environ.get("PYDFSNODE_SIM_SEEDS") or SEEDS_DEFAULT)
    return sorted({*kept_seeds(), *range(1, count + 1)})


class _Silence:
    level = 100


def _begin() -> None:
    """In a worker: masters that fail are the point here, not worth a line each."""
    log._sink = _Silence()  # type: ignore[assignment]
    sys.unraisablehook = lambda _: None  # tasks of dead masters, collected after the end


def _one(seed: int) -> Report | tuple[int, str]:
    try:
        return run(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's result
        if os.environ.get("PYDFSNODE_SIM_SEED"):
            traceback.print_exc()
        return seed, f"{type(error).__name__}: {error}"


def run_all(seeds: Sequence[int], workers: int = WORKERS) -> Totals:
    """Run *seeds*; their reports are in order."""
    totals = Totals()
    began_s = stopwatch_s()
    results: Iterable[Report | tuple[int, str]]
    if len(seeds) == 1:
        _begin()
        results = [_one(seeds[0])]
    else:
        # Spawned, not forked: the workers must not inherit what a test left behind.
        with multiprocessing.get_context("spawn").Pool(workers, _begin) as pool:
            results = pool.map(_one, seeds, chunksize=1)
    for result in results:
        if isinstance(result, Report):
            totals.reports.append(result)
        else:
            totals.failures.append(result)
    totals.took_s = stopwatch_s() - began_s
    return totals


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 when a seed failed."""
    if arguments[:1] == ["--trace"]:
        _begin()
        print(run(int(arguments[1])).trace)
        return 0
    seeds = list(range(int(arguments[0]), int(arguments[1]) + 1)) if arguments else wanted_seeds()
    totals = run_all(seeds)
    for line in totals.lines():
        print(line)
    return 1 if totals.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Ratios of a run of the micro benchmarks to the stored baseline, or a new baseline of it.

    python bench/compare.py RUN.json [--baseline bench/baseline.json] [--store]

RUN.json is what `pytest bench/micro --benchmark-json` writes. Each figure is divided by the time
that the same plain work took around it (bench/micro/conftest.py): so a slower machine or a busy
moment does not look like slower code. The exit code says nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).parent / "baseline.json"
NOTABLE = 1.3
"""Ratios above this, or below its inverse, are marked: less is noise."""
Rows = dict[str, tuple[float, float]]
"""Name to (least time in nanoseconds, time of the plain work around it in nanoseconds)."""


def rows_of(run: dict[str, Any]) -> Rows:
    """The rows of what pytest-benchmark wrote."""
    return {
        row["fullname"].removeprefix("bench/micro/"): (
            round(row["stats"]["min"] * 1e9, 1),
            row["extra_info"]["calibration_ns"],
        )
        for row in run["benchmarks"]
    }


def ratio(row: tuple[float, float], base: tuple[float, float]) -> float:
    """How many times longer *row* takes than *base* did, on a machine of the same speed."""
    return (row[0] / row[1]) / (base[0] / base[1])


def table(rows: Rows, baseline: Rows) -> list[str]:
    """A line for each row, and for what only one of the two has."""
    lines = [f"{'':<66}{'baseline':>12}{'now':>12}{'ratio':>8}"]
    for name in sorted(rows.keys() | baseline.keys()):
        if name not in rows or name not in baseline:
            lines.append(f"{name:<66}{'not in the ' + ('run' if name in baseline else 'baseline')}")
            continue
        found = ratio(rows[name], baseline[name])
        mark = "  slower" if found > NOTABLE else "  faster" if found < 1 / NOTABLE else ""
        before, now = (_duration(one[name][0]) for one in (baseline, rows))
        lines.append(f"{name:<66}{before:>12}{now:>12}{found:>8.2f}{mark}")
    return lines


def _duration(ns: float) -> str:
    for limit, unit in ((1e3, "ns"), (1e6, "µs"), (1e9, "ms")):
        if ns < limit:
            return f"{ns * 1e3 / limit:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def machine_line(rows: Rows, baseline: Rows) -> str:
    """How fast the machine was, by the rows that both have."""
    both = sorted(rows[name][1] / baseline[name][1] for name in rows.keys() & baseline.keys())
    if not both:
        return "the run and the baseline have no row in common"
    median = both[len(both) // 2]
    return (
        f"The machine took {median:.2f} times as long for the same plain work as the baseline's "
        f"({both[0]:.2f} to {both[-1]:.2f} while this ran): the ratios are without that."
    )


def main(argv: list[str]) -> int:
    """Print the comparison, or store the run; 2 when there is no baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="written by --benchmark-json")
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--store", action="store_true", help="make this run the baseline")
    given = parser.parse_args(argv)
    rows = rows_of(json.loads(given.run.read_text(encoding="utf-8")))
    if given.store:
        lines = (f"  {json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows))
        given.baseline.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return 0
    if not given.baseline.exists():
        print(f"{given.baseline} is not there: 'make bench-baseline' writes it", file=sys.stderr)
        return 2
    baseline: Rows = json.loads(given.baseline.read_text(encoding="utf-8"))
    print("\n".join(table(rows, baseline)))
    print(machine_line(rows, baseline))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

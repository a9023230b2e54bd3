"""Figures of a fresh local cluster of real processes, by `pydfsnode bench meta|io|small`, then of
masters that die, hand over and come back, by `bench.macro.raft`.

    python bench/macro/run.py [--quick] [--executable dist/pydfsnode] [--dir DIR]

Prints the machine and each command with its figures, as the README quotes them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FULL = (
    ("meta", "--inflight", "64", "--seconds", "5"),
    ("meta", "--inflight", "256", "--seconds", "5"),
    ("io", "--size", "1GiB", "--replication", "3"),
    ("small", "--files", "2000", "--bytes", "1KiB", "--clients", "16"),
)
QUICK = (
    ("meta", "--inflight", "64", "--seconds", "1"),
    ("io", "--size", "128MiB", "--replication", "3"),
    ("small", "--files", "200", "--bytes", "1KiB", "--clients", "16"),
)


def machine() -> str:
    """One line on what the figures were taken with."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {model}, {system}"


def run(command: Sequence[str], environment: dict[str, str]) -> str:
    """The command's output; its errors go to ours.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def measure(executable: Sequence[str], directory: Path, plan: Sequence[Sequence[str]]) -> None:
    """Start a cluster below *directory*, print the figures of *plan*, stop it."""
    environment = dict(os.environ)
    place = ("--dir", str(directory))
    run([*executable, "dev", "up", *place], environment)
    try:
        status = json.loads(run([*executable, "dev", "status", *place, "--json"], environment))
        environment["PYDFSNODE_CONFIG"] = status["client_config"]
        print(machine(), flush=True)
        for arguments in plan:
            figures = json.loads(run([*executable, "bench", *arguments, "--json"], environment))
            print(f"\npydfsnode bench {' '.join(arguments)}")
            for name, value in figures.items():
                print(f"    {name:<28}{value:>16,}", flush=True)
    finally:
        run([*executable, "dev", "down", *place], environment)


def disturb(directory: Path, quick: bool) -> None:
    """Print what clients notice of masters that come and go, with clusters below *directory*."""
    command = [sys.executable, "-m", "bench.macro.raft", "--dir", str(directory)]
    subprocess.run([*command, *(["--quick"] if quick else [])], cwd=ROOT, check=True)


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards; 1 when a command failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds only")
    parser.add_argument("--executable", type=Path, help="a pydfsnode file instead of this package")
    parser.add_argument("--dir", type=Path, help="where the cluster's disks are")
    given = parser.parse_args(argv)
    executable = [str(given.executable.resolve())] if given.executable else [sys.executable]
    executable += [] if given.executable else ["-m", "pydfsnode"]
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-bench-", dir=given.dir))
    try:
        measure(executable, work / "cluster", QUICK if given.quick else FULL)
        if given.executable is None:
            disturb(work, given.quick)
    except subprocess.CalledProcessError as failure:
        print(f"{' '.join(failure.cmd)}: exit {failure.returncode}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

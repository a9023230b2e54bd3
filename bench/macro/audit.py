"""What the audit trail costs, in throughput and in processor time: real processes, in pairs.

    python -m bench.macro.audit [mkdir|create|small ...] [--pairs 15] [--seconds 2] [--dir DIR]

Run it from the root of the repository. Two clusters run at once: one as it comes, one whose nodes
record no calls (`bench.macro.unaudited`). Each pair puts the same load on one and then on the
other, in turns which of them is first; the ratio is taken within each pair, and the median of all
pairs is what counts. `small` writes and reads files of 64 KiB with every chunk call recorded
(`chunks = "all"`), which is not the default. Exits with 1 when a cost is 5 % of throughput or more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

from pydfsnode.cli.bench_load import Operation, closed_loop
from pydfsnode.client.event_loop import run
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.raft_processes import RaftCluster

ROOT = Path(__file__).parents[2]
MASTERS = CHUNKSERVERS = 3
PER_DIRECTORY = 1000
SMALL = bytes(range(256)) * 256
ALLOWED_COST = 0.05
WARM_UP_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Speed(NamedTuple):
    """Operations a second, and processor time of all nodes for each."""

    per_s: float
    cpu_us: float


def mkdirs(fs: AsyncFileSystem, root: str) -> Operation:
    """Make directory after directory."""
    return lambda number: fs.mkdir(f"{root}/{number // PER_DIRECTORY}/{number}")


def creates(fs: AsyncFileSystem, root: str) -> Operation:
    """Create empty file after empty file."""
    return lambda number: fs.pipe_file(f"{root}/{number // PER_DIRECTORY}/{number}", b"")


def small_files(fs: AsyncFileSystem, root: str) -> Operation:
    """Write a file of one chunk and read it."""

    async def both(number: int) -> None:
        path = f"{root}/{number // PER_DIRECTORY}/{number}"
        await fs.pipe_file(path, SMALL)
        await fs.cat_file(path)

    return both


LOADS: dict[str, tuple[Callable[[AsyncFileSystem, str], Operation], int]] = {
    "mkdir": (mkdirs, 64),
    "create": (creates, 64),
    "small": (small_files, 8),
}
"""Name to what is done, and how many of it at once."""


class Side:
    """One of the two clusters."""

    def __init__(self, cluster: RaftCluster, kind: str) -> None:
        self._cluster = cluster
        self._kind = kind
        self._rounds = 0
        nodes = [f"m{number + 1}" for number in range(MASTERS)]
        nodes += [f"c{number + 1}" for number in range(CHUNKSERVERS)]
        self._pids = [cluster.process(node).pid for node in nodes]

    async def measure(self, seconds: float) -> Speed:
        """Put load on it."""
        make, inflight = LOADS[self._kind]
        self._rounds += 1
        async with await AsyncFileSystem.connect(self._cluster.config) as fs:
            operation = make(fs, f"/{self._kind}-{self._rounds}")
            before = self._cpu_s()
            load = await closed_loop(operation, inflight=inflight, seconds=seconds)
            cpu_s = self._cpu_s() - before
        return Speed(load.per_s, cpu_s * 1e6 / load.count)

    def _cpu_s(self) -> float:
        return sum(_cpu_ticks(pid) for pid in self._pids) / _TICKS_PER_S


def _cpu_ticks(pid: int) -> int:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def clusters(place: Path, kind: str) -> Iterator[tuple[Side, Side]]:
    """One that records calls, and one that does not."""
    audited, unaudited = (
        RaftCluster(place / name, masters=MASTERS, chunkservers=CHUNKSERVERS)
        for name in ("with", "without")
    )
    for config in place.glob("with/nodes/c*/node.toml"):
        config.write_text(config.read_text() + '\n[audit]\nchunks = "all"\n')
    # Nodes of the second one are started otherwise, from any directory.
    command = [sys.executable, "-m", "bench.macro.unaudited"]
    with (
        audited,
        patch.dict("os.environ", PYTHONPATH=str(ROOT)),
        patch("pydfsnode.cli.dev_cluster.self_command", lambda: command),
        unaudited,
    ):
        yield Side(audited, kind), Side(unaudited, kind)


def compare(place: Path, kind: str, pairs: int, seconds: float) -> float:
    """Print each pair and the medians; the share of throughput that the trail costs."""
    found: list[tuple[Speed, Speed]] = []
    with clusters(place, kind) as (audited, unaudited):
        for side in (audited, unaudited):
            run(side.measure(WARM_UP_S))
        for number in range(pairs):
            order = (audited, unaudited) if number % 2 else (unaudited, audited)
            speeds = {side: run(side.measure(seconds)) for side in order}
            found.append((speeds[audited], speeds[unaudited]))
            print(f"    {told(found[-1][0])}    without: {told(found[-1][1])}", flush=True)
    cost = 1 - median(with_.per_s / without.per_s for with_, without in found)
    cpu = median(with_.cpu_us / without.cpu_us for with_, without in found) - 1
    print(f"{kind}: {cost:+.1%} of throughput, {cpu:+.1%} of processor time an operation")
    return cost


def told(speed: Speed) -> str:
    """On a line."""
    return f"{speed.per_s:9,.0f}/s {speed.cpu_us:8,.0f} us"


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards; 1: too dear."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=", ".join(LOADS))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each half of a pair")
    parser.add_argument("--dir", type=Path, help="where the clusters' disks are")
    given = parser.parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-bench-", dir=given.dir))
    costs = []
    try:
        for kind in given.loads or list(LOADS):
            costs.append(compare(work / kind, kind, given.pairs, given.seconds))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if max(costs) >= ALLOWED_COST else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

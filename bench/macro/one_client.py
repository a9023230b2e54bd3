"""How many small calls one client makes, one after the other: blocking, and asynchronous.

    python -m bench.macro.one_client [--rounds 5] [--seconds 0.5] [--dir DIR]

Run it from the root of the repository. Both ways ask the same masters (three real processes) in
turn, so that what else the machine does falls on both; the figures are medians of the rounds. The
processor time is the client process's, a call. `lease` is a stat that asks for the leader's lease.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pydfsnode
from pydfsnode.client.event_loop import new_event_loop
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.raft_processes import RaftCluster

SMALL = b"x" * 100


KINDS: dict[str, Callable[[Any, str, int], Any]] = {
    "stat": lambda fs, root, _: fs.info(f"{root}/f"),
    "lease": lambda fs, root, _: fs.info(f"{root}/f", consistency="lease"),
    "read": lambda fs, root, _: fs.cat_file(f"{root}/f"),
    "write": lambda fs, root, number: fs.pipe_file(f"{root}/{number}", SMALL),
}
"""Of either file system: the blocking one does it, the other gives what is awaited."""


class Speed(NamedTuple):
    """Of one slice."""

    per_s: float
    cpu_us: float


class Watch:
    """Counts calls until the time is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began, self._cpu_ns = time.perf_counter(), time.process_time_ns()
        self.count = 0

    def goes_on(self) -> bool:
        """Whether another call is to be made; it is counted."""
        if time.perf_counter() - self._began >= self._seconds:
            return False
        self.count += 1
        return True

    def speed(self) -> Speed:
        """Of the calls counted."""
        elapsed = time.perf_counter() - self._began
        cpu_ns = time.process_time_ns() - self._cpu_ns
        return Speed(self.count / elapsed, cpu_ns / self.count / 1000)


class Blocking:
    """The synchronous file system."""

    def __init__(self, config: Path) -> None:
        self._fs = pydfsnode.connect(config)

    def slices(self, seconds: float, root: str) -> dict[str, Speed]:
        """Calls of each kind for *seconds*."""
        self._fs.pipe_file(f"{root}/f", SMALL)
        found = {}
        for name, call in KINDS.items():
            watch = Watch(seconds)
            while watch.goes_on():
                call(self._fs, root, watch.count)
            found[name] = watch.speed()
        return found

    def close(self) -> None:
        """Let go."""
        self._fs.close()


class Awaiting:
    """The asynchronous one, in a loop that runs only meanwhile."""

    def __init__(self, config: Path) -> None:
        self._loop = new_event_loop()
        self._fs = self._loop.run_until_complete(AsyncFileSystem.connect(config))

    def slices(self, seconds: float, root: str) -> dict[str, Speed]:
        """Calls of each kind for *seconds*."""
        return self._loop.run_until_complete(self._slices(seconds, root))

    async def _slices(self, seconds: float, root: str) -> dict[str, Speed]:
        await self._fs.pipe_file(f"{root}/f", SMALL)
        found = {}
        for name, call in KINDS.items():
            watch = Watch(seconds)
            while watch.goes_on():
                await call(self._fs, root, watch.count)
            found[name] = watch.speed()
        return found

    def close(self) -> None:
        """Let go."""
        self._loop.run_until_complete(self._fs.close())
        self._loop.close()


def report(place: Path, rounds: int, seconds: float) -> None:
    """Print the figures, on a cluster in *place*."""
    with RaftCluster(place) as cluster:
        ways: dict[str, Blocking | Awaiting] = {
            "blocking": Blocking(cluster.config),
            "awaiting": Awaiting(cluster.config),
        }
        found: dict[str, list[dict[str, Speed]]] = {name: [] for name in ways}
        for number in range(-1, rounds):  # the first is to warm up
            for name, way in ways.items():
                speeds = way.slices(seconds, f"/{name}{number}")
                if number >= 0:
                    found[name].append(speeds)
        for way in ways.values():
            way.close()
    for kind in KINDS:
        told = []
        for name, slices in found.items():
            per_s = statistics.median(each[kind].per_s for each in slices)
            cpu_us = statistics.median(each[kind].cpu_us for each in slices)
            told.append(f"{name} {per_s:,.0f}/s {cpu_us:,.0f} us")
        pairs = zip(found["blocking"], found["awaiting"], strict=True)
        ratio = statistics.median(one[kind].per_s / two[kind].per_s for one, two in pairs)
        print(f"{kind:<6} {'   '.join(told)}   blocking/awaiting {ratio:.2f}", flush=True)


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of both ways in turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each kind in a round")
    parser.add_argument("--dir", type=Path, help="where the masters' disks are")
    given = parser.parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-bench-", dir=given.dir))
    try:
        report(work / "cluster", given.rounds, given.seconds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What one client notices of another one that floods the masters: real processes.

    python -m bench.macro.flood [--seconds 4] [--inflight 1000] [--dir DIR]

Run it from the root of the repository. A client that does one thing at a time, and not many a
second, is measured alone, and beside a process that keeps `--inflight` operations of one kind
going. The flooding process itself takes a processor, which it would not share with the masters if
it ran elsewhere: so each flood is measured as it is, and niced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydfsnode.cli.bench_load import Load, Operation
from pydfsnode.client.event_loop import run
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.raft_processes import RaftCluster

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.004
"""Before each operation of the client that is measured."""
LISTED = 1000
"""Entries of the directory that is listed."""
PER_DIRECTORY = 1000
NICE = 19
Figures = dict[str, float]


def writes(fs: AsyncFileSystem, root: str) -> Operation:
    """Create file after file."""
    return lambda number: fs.pipe_file(f"{root}/{number // PER_DIRECTORY}/{number}", b"")


def stats(fs: AsyncFileSystem, _root: str) -> Operation:
    """Ask for the status of one file after the other."""
    return lambda number: fs.info(f"/listed/{number % LISTED:04d}")


def lists(fs: AsyncFileSystem, _root: str) -> Operation:
    """List a whole directory, again and again."""
    return lambda _number: fs.ls_page("/listed", limit=LISTED)


FLOODS: dict[str, Callable[[AsyncFileSystem, str], Operation]] = {
    "writes": writes,
    "stats": stats,
    "lists": lists,
}


# ---- the process that floods


async def flood(config: Path, kind: str, inflight: int) -> None:
    """Flood until standard input ends; says when it goes on, and in the end how fast it went."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with await AsyncFileSystem.connect(config) as fs:
        operation = FLOODS[kind](fs, f"/flood-{os.getpid()}")
        began, done, started = time.perf_counter(), 0, 0

        async def worker() -> None:
            nonlocal done, started
            while not ended.done():
                started += 1
                await operation(started)
                done += 1
                if done == inflight:
                    print("going", flush=True)

        await asyncio.gather(*(worker() for _ in range(inflight)))
        print(json.dumps({"per_s": round(done / (time.perf_counter() - began), 1)}), flush=True)


@contextmanager
def flooding(config: Path, kind: str, inflight: int, nice: int) -> Iterator[Figures]:
    """Another process floods meanwhile; its speed is in what this gave, afterwards."""
    flooder = [sys.executable, "-m", "bench.macro.flood", "--flood", kind, "--config", str(config)]
    command = ["nice", "-n", str(nice), *flooder, "--inflight", str(inflight)]
    figures: Figures = {}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            if process.stdout.readline() != "going\n":
                raise RuntimeError(f"the flood of {kind} did not begin")
            yield figures
        figures.update(json.loads(process.stdout.readline()))


# ---- the client that is measured


class Quiet:
    """Creates a file, asks for it, and so on, one at a time."""

    def __init__(self, fs: AsyncFileSystem) -> None:
        self._fs = fs
        self._made = 0

    async def measure(self, seconds: float) -> tuple[Load, Load]:
        """Latencies of creates and of stats."""
        creates, asked = array("q"), array("q")
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            path = f"/quiet/{self._made // PER_DIRECTORY}/{self._made}"
            self._made += 1
            creates.append(await _took_ns(self._fs.pipe_file(path, b"")))
            asked.append(await _took_ns(self._fs.info(path)))
        elapsed_ns = int(seconds * 1e9)
        return Load(array("q", sorted(creates)), elapsed_ns), Load(
            array("q", sorted(asked)), elapsed_ns
        )


async def _took_ns(operation: Awaitable[object]) -> int:
    await asyncio.sleep(PAUSE_S)
    began = time.perf_counter_ns()
    await operation
    return time.perf_counter_ns() - began


# ---- the comparison


def figures_of(loads: tuple[Load, Load], name: str) -> Figures:
    """p50 and p99 of both."""
    return {
        f"{verb}_{name}_p{percent}_ms": load.quantile_ms(percent / 100)
        for verb, load in zip(("write", "read"), loads, strict=True)
        for percent in (50, 99)
    }


async def measure(config: Path, kind: str, inflight: int, seconds: float, nice: int) -> Figures:
    """The quiet client alone, then beside the flood, in one run."""
    async with await AsyncFileSystem.connect(config) as fs:
        quiet = Quiet(fs)
        await quiet.measure(seconds / 4)
        alone = await quiet.measure(seconds)
        with flooding(config, kind, inflight, nice) as flooded:
            beside = await quiet.measure(seconds)
    found = figures_of(alone, "alone") | figures_of(beside, "beside")
    for verb in ("write", "read"):
        ratio = found[f"{verb}_beside_p99_ms"] / found[f"{verb}_alone_p99_ms"]
        found[f"{verb}_p99_ratio"] = round(ratio, 2)
    return found | {"flood_per_s": flooded["per_s"]}


async def prepare(config: Path) -> None:
    """The directory that is listed."""
    async with await AsyncFileSystem.connect(config) as fs:
        await asyncio.gather(*(fs.pipe_file(f"/listed/{n:04d}", b"") for n in range(LISTED)))


def report(place: Path, kinds: list[str], inflight: int, seconds: float) -> None:
    """Print the figures of each kind of flood, on a cluster in *place*."""
    with RaftCluster(place) as cluster:
        run(prepare(cluster.config))
        for kind in kinds:
            for nice in (0, NICE):
                figures = run(measure(cluster.config, kind, inflight, seconds, nice))
                print(f"\n{inflight} {kind} in flight, the flooding process at nice {nice}")
                for name, value in figures.items():
                    print(f"    {name:<24}{value:>14,}", flush=True)


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--inflight", type=int, default=1000, help="operations of the flood")
    parser.add_argument("--only", choices=FLOODS, nargs="*", help="these floods")
    parser.add_argument("--dir", type=Path, help="where the masters' disks are")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.flood:
        run(flood(given.config, given.flood, given.inflight))
        return 0
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-bench-", dir=given.dir))
    try:
        report(work / "cluster", given.only or list(FLOODS), given.inflight, given.seconds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

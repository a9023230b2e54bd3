"""How much a backup of the namespace delays the operations of a client: real processes.

    python -m bench.macro.backup [--files 20000] [--rounds 3] [--from leader] [--dir DIR]

Run it from the root of the repository. A client that does one thing at a time, a create and then a
stat, is measured for as long as a backup takes, and for as long without one, in turns. The process
that receives the backup is niced: it would not share the masters' processors if it ran elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from pydfsnode.cli.bench_load import Load
from pydfsnode.client.event_loop import run
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.config import load_node_config
from pydfsnode.roles.master.store import open_store
from pydfsnode.runtime.snapshot_frames import FrameCutter
from pydfsnode.security.tls import TlsStore
from tests.support.raft_processes import RaftCluster

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.002
"""Before each operation of the client that is measured."""
PER_DIRECTORY = 1000
AT_ONCE = 256
GOAL_MS = 20.0


class Client:
    """Creates a file, asks for it, and so on, one at a time."""

    def __init__(self, fs: AsyncFileSystem) -> None:
        self._fs = fs
        self._made = 0

    async def measure(self, goes_on: Callable[[], bool]) -> Load:
        """Latencies of both, while *goes_on*."""
        took_ns, began_ns = array("q"), time.perf_counter_ns()
        while goes_on():
            path = f"/measured/{self._made // PER_DIRECTORY}/{self._made}"
            self._made += 1
            for operation in (self._fs.pipe_file(path, b""), self._fs.info(path)):
                await asyncio.sleep(PAUSE_S)
                at_ns = time.perf_counter_ns()
                await operation
                took_ns.append(time.perf_counter_ns() - at_ns)
        return Load(array("q", sorted(took_ns)), time.perf_counter_ns() - began_ns)


async def populate(config: Path, files: int) -> None:
    """That many files of one kind and another: empty ones and some with contents."""
    async with await AsyncFileSystem.connect(config) as fs:
        for first in range(0, files, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, files))
            made = (
                fs.pipe_file(f"/files/{n // PER_DIRECTORY}/{n:07d}", b"x" * (n % 8 * 32))
                for n in numbers
            )
            await asyncio.gather(*made)


def line(name: str, load: Load, seconds: float) -> str:
    """One row of the table."""
    figures = "".join(f"{load.quantile_ms(q):>9.2f}" for q in (0.5, 0.99, 0.999, 1.0))
    return f"{name:<12}{seconds:>7.1f}{load.count:>9,}{figures}"


async def turn(client: Client, goes_on: Callable[[], bool]) -> tuple[Load, float]:
    """One measurement and its seconds."""
    began = time.perf_counter()
    load = await client.measure(goes_on)
    return load, time.perf_counter() - began


async def rounds(config: Path, begin: Callable[[], subprocess.Popen[bytes]], count: int) -> None:
    """Print each round, and what the slowest operations say."""
    slowest: dict[str, list[float]] = {"backup": [], "without": []}
    print(f"{'':<12}{'s':>7}{'ops':>9}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}   (ms)")
    async with await AsyncFileSystem.connect(config) as fs:
        client = Client(fs)
        await turn(client, before(time.perf_counter() + 1.0))
        for _ in range(count):
            with begin() as process:
                beside, took = await turn(client, lambda: process.poll() is None)
            if process.returncode:
                raise RuntimeError("the backup failed")
            alone, _ = await turn(client, before(time.perf_counter() + took))
            for name, load in (("backup", beside), ("without", alone)):
                print(line(name, load, took), flush=True)
                slowest[name].append(load.quantile_ms(1.0))
    worst, usual = max(slowest["backup"]), max(slowest["without"])
    print(f"slowest operation: {worst:.2f} ms beside a backup, {usual:.2f} ms without")
    print(f"max delay by these: {max(0.0, worst - usual):.2f} ms (goal {GOAL_MS:g} ms)")


def before(end: float) -> Callable[[], bool]:
    """Whether it is not *end* yet."""
    return lambda: time.perf_counter() < end


def slices(config: Path) -> None:
    """Print how much of a processor each slice of the work takes, in a stopped master's store.

    A slice holds the interpreter: this is what the backup itself can delay another operation by on
    the master that writes it, whatever else the machine does meanwhile.
    """
    settings = load_node_config(config)
    store = open_store(settings, TlsStore.load(settings.tls).identity)
    view = store.log.open_view()
    try:
        cutter, took_ns, is_last = FrameCutter(view.rows(), 0), array("q"), False
        while not is_last:
            began_ns = time.thread_time_ns()
            frame = cutter.work()
            took_ns.append(time.thread_time_ns() - began_ns)
            is_last = frame is not None and frame.last
    finally:
        view.close()
        store.close()
    load = Load(array("q", sorted(took_ns)), sum(took_ns))
    print(
        f"{load.count:,} slices of work, processor time p50 {load.quantile_ms(0.5):.2f} ms, "
        f"p99 {load.quantile_ms(0.99):.2f} ms, max {load.quantile_ms(1.0):.2f} ms"
    )


def report(place: Path, given: argparse.Namespace) -> None:
    """Measure on a cluster in *place*."""
    with RaftCluster(place) as cluster:
        began = time.perf_counter()
        run(populate(cluster.config, given.files))
        print(f"{given.files:,} files made in {time.perf_counter() - began:.0f} s", flush=True)
        leader = cluster.leading()
        followers = [name for name in cluster.masters() if name != leader]
        writer = leader if given.writer == "leader" else followers[0]
        file = place / "names.bak"
        words = ["cluster", "backup", "--config", cluster.config, "--from", writer, file]
        command = ["nice", "-n", "19", sys.executable, "-m", "pydfsnode", *map(str, words)]
        print(f"written by {writer}, {leader} leads")
        run(
            rounds(
                cluster.config,
                lambda: subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL),
                given.rounds,
            )
        )
        print(f"backup file {file.stat().st_size / 1e6:,.1f} MB")
        cluster.stop(writer)
        slices(cluster.node_config(writer))


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000, help="in the namespace")
    parser.add_argument("--rounds", type=int, default=3, help="of each")
    parser.add_argument("--from", dest="writer", choices=("follower", "leader"), default="follower",
                        help="who writes the backup")  # fmt: skip
    parser.add_argument("--dir", type=Path, help="where the masters' disks are")
    given = parser.parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-bench-", dir=given.dir))
    try:
        report(work / "cluster", given)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

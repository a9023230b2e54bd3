"""A million files on a running cluster: memory, speed as it grows, a huge directory, a restart.

    python -m bench.macro.million [--files 1000000] [--wide 200000] [--dir DIR]

Run it from the root of the repository. Real processes, mutual TLS, sealed log, real fsync. Files
hold 100 bytes, so that each has its one (inline) chunk; most lie in directories of 1,000, `--wide`
of them in one directory. Everything goes through the library that the command line uses.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pydfsnode.cli.bench_load import Load, closed_loop
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.process_memory import resident_bytes
from tests.support.raft_processes import RaftCluster

INFLIGHT = 256
PER_DIRECTORY = 1000
CONTENT = bytes(100)
PROBE_SECONDS = 1.5
PROBE_ROUNDS = 3
RENAMED = 10_000
Figures = dict[str, float]


def path_of(number: int) -> str:
    """Where file *number* lies."""
    return f"/many/{number // PER_DIRECTORY:06d}/file-{number:010d}"


class Filling:
    """Makes files up to a count, remembering how many there are."""

    def __init__(self, fs: AsyncFileSystem) -> None:
        self._fs = fs
        self.count = 0

    async def fill(self, upto: int) -> Load:
        """Create files until there are *upto*."""
        first = self.count

        async def create(number: int) -> None:
            await self._fs.pipe_file(path_of(first + number), CONTENT)

        load = await closed_loop(create, inflight=INFLIGHT, count_max=upto - first)
        self.count = upto
        return load


async def probe(fs: AsyncFileSystem, count: int, label: str) -> Figures:
    """Operations a second at 64 in flight with *count* files there: the medians of some rounds."""
    rounds = [await _probe_round(fs, count, f"/probe/{label}-{n}") for n in range(PROBE_ROUNDS)]
    return {
        f"{name}_at_{label}_per_s": statistics.median(found[name] for found in rounds)
        for name in rounds[0]
    }


async def _probe_round(fs: AsyncFileSystem, count: int, fresh: str) -> Figures:
    order = random.Random(count)

    async def create(number: int) -> None:
        await fs.pipe_file(f"{fresh}/{number // PER_DIRECTORY}/{number}", CONTENT)

    async def stat(_number: int) -> None:
        await fs.info(path_of(order.randrange(count)))

    async def listing(_number: int) -> None:
        directory = path_of(order.randrange(count)).rpartition("/")[0]
        await fs.ls_page(directory, limit=100)

    creates = await closed_loop(create, inflight=64, seconds=PROBE_SECONDS)

    async def rename(number: int) -> None:
        source = f"{fresh}/{number // PER_DIRECTORY}/{number}"
        await fs.rename(source, source + "r")

    renames = await closed_loop(rename, inflight=64, count_max=creates.count)
    stats = await closed_loop(stat, inflight=64, seconds=PROBE_SECONDS)
    lists = await closed_loop(listing, inflight=64, seconds=PROBE_SECONDS)
    return {
        "create": creates.per_s,
        "rename": renames.per_s,
        "stat": stats.per_s,
        "list_100": lists.per_s,
    }


async def wide_directory(fs: AsyncFileSystem, entries: int) -> Figures:
    """Fill one directory, and list it page by page while files are made elsewhere."""

    async def create(number: int) -> None:
        await fs.pipe_file(f"/wide/entry-{number:08d}", CONTENT)

    filled = await closed_loop(create, inflight=INFLIGHT, count_max=entries)

    async def write(number: int) -> None:
        await fs.pipe_file(f"/beside/{number // PER_DIRECTORY}/{number}", CONTENT)

    async def write_again(number: int) -> None:
        await fs.pipe_file(f"/beside/again/{number // PER_DIRECTORY}/{number}", CONTENT)

    quiet = await closed_loop(write, inflight=1, seconds=PROBE_SECONDS)
    began = time.perf_counter()
    seen = 0

    async def list_all() -> None:
        nonlocal seen
        async for _ in fs.scandir("/wide"):
            seen += 1

    listing = asyncio.ensure_future(list_all())
    busy = await closed_loop(write_again, inflight=1, seconds=PROBE_SECONDS)
    await listing
    took_s = time.perf_counter() - began
    assert seen == entries, f"{seen} of {entries} entries were listed"
    return {
        "wide_creates_per_s": filled.per_s,
        "wide_listed_entries": seen,
        "wide_listed_s": round(took_s, 2),
        "write_p99_ms_quiet": quiet.quantile_ms(0.99),
        "write_p99_ms_while_listing": busy.quantile_ms(0.99),
    }


async def bulk_rename(fs: AsyncFileSystem) -> Figures:
    """Rename files one by one, and a directory of a thousand at once."""

    async def rename(number: int) -> None:
        await fs.rename(path_of(number), path_of(number) + ".renamed")

    load = await closed_loop(rename, inflight=INFLIGHT, count_max=RENAMED)
    began = time.perf_counter()
    await fs.rename("/many", "/moved")
    moved_ms = (time.perf_counter() - began) * 1000
    await fs.rename("/moved", "/many")
    return {**load.figures("bulk_rename"), "rename_of_everything_ms": round(moved_ms, 2)}


async def snapshot_of_everything(fs: AsyncFileSystem) -> Figures:
    """A snapshot of the root while a client writes: how long it and the slowest write took."""
    latencies_ms: list[float] = []

    async def write_until(done: asyncio.Event, place: str) -> None:
        number = 0
        while not done.is_set():
            began = time.perf_counter()
            await fs.pipe_file(f"/beside/{place}/{number // PER_DIRECTORY}/{number}", CONTENT)
            latencies_ms.append((time.perf_counter() - began) * 1000)
            number += 1

    async def beside(place: str) -> float:
        latencies_ms.clear()
        done = asyncio.Event()
        writer = asyncio.ensure_future(write_until(done, place))
        await asyncio.sleep(PROBE_SECONDS)
        began = time.perf_counter()
        if place == "snapshot":
            await fs.create_snapshot("/", "all")
        took_ms = (time.perf_counter() - began) * 1000
        await asyncio.sleep(PROBE_SECONDS)
        done.set()
        await writer
        return took_ms

    await beside("quiet")
    quiet_ms = max(latencies_ms)
    took_ms = await beside("snapshot")
    return {
        "snapshot_of_everything_ms": round(took_ms, 2),
        "slowest_write_ms_quiet": round(quiet_ms, 2),
        "slowest_write_ms_with_snapshot": round(max(latencies_ms), 2),
    }


def masters_bytes(cluster: RaftCluster) -> dict[str, int]:
    """Resident set of each master."""
    return {name: resident_bytes(cluster.process(name).pid) for name in ("m1", "m2", "m3")}


async def before_restart(cluster: RaftCluster, files: int, wide: int) -> Figures:
    """Everything but the restart."""
    figures: Figures = {}
    steps = [step for step in (10_000, 100_000, 1_000_000) if step < files] + [files]
    resident: dict[int, dict[str, int]] = {}
    held: dict[int, int] = {}  # files, those of the probes too
    async with await AsyncFileSystem.connect(str(cluster.config)) as fs:
        filling = Filling(fs)
        for step in steps:
            filled = await filling.fill(step)
            figures[f"fill_to_{step}_per_s"] = filled.per_s
            figures[f"fill_to_{step}_p99_ms"] = filled.quantile_ms(0.99)
            await asyncio.sleep(1)  # followers apply what is committed
            resident[step] = masters_bytes(cluster)
            held[step] = (await fs.du("/")).files
            figures.update(await probe(fs, step, str(step)))
        if len(steps) > 1:
            low, high = steps[-2], steps[-1]
            growth = [resident[high][name] - resident[low][name] for name in resident[high]]
            figures["resident_bytes_per_file"] = round(max(growth) / (held[high] - held[low]), 1)
        figures["resident_mib"] = round(max(resident[steps[-1]].values()) / 2**20, 1)
        figures.update(await bulk_rename(fs))
        if wide:
            figures.update(await wide_directory(fs, wide))
        figures.update(await snapshot_of_everything(fs))
    return figures


async def count(cluster: RaftCluster) -> tuple[int, float]:
    """Files that the cluster has, and when that was answered."""
    async with await AsyncFileSystem.connect(str(cluster.config)) as fs:
        summary = await fs.du("/")
        return summary.files, time.perf_counter()


def restart(cluster: RaftCluster) -> Figures:
    """kill -9 of all masters, start them, and count the files again."""
    before, _ = asyncio.run(count(cluster))
    cluster.kill("m1", "m2", "m3")
    began = time.perf_counter()
    cluster.start("m1", "m2", "m3")
    after, answered = asyncio.run(count(cluster))
    assert after == before, f"{before} files before the restart, {after} after it"
    return {"files": after, "restart_to_first_answer_s": round(answered - began, 2)}


def main() -> None:
    """Run it and print one figure a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--wide", type=int, default=200_000)
    parser.add_argument("--dir", type=Path, default=None)
    given = parser.parse_args()
    place = given.dir or Path(tempfile.mkdtemp(prefix="pydfs-million-"))
    try:
        with RaftCluster(place) as cluster:
            figures = asyncio.run(before_restart(cluster, given.files, given.wide))
            figures.update(restart(cluster))
    finally:
        if given.dir is None:
            shutil.rmtree(place, ignore_errors=True)
    for name, value in figures.items():
        sys.stdout.write(f"{name:<36}{value:>16,}\n")


if __name__ == "__main__":
    main()

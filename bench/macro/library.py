"""The library's ways to read and write a large file, each beside what `pydfsnode bench io` does.

    python -m bench.macro.library [--mib 256] [--rounds 5] [--only read|write] [--dir DIR]

Run it from the root of the repository. Three masters and three chunkservers, real processes with
mutual TLS, three replicas. Each round goes through all ways in turn, so that what else the machine
does falls on all; a figure is the median of the rounds, a percentage the median of what each round
made of `bench io` in it. What is read is compared in a first round, which is not told.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import fsspec

import pydfsnode
from pydfsnode._fast import crc32c
from pydfsnode.cli.bench_io import Pieces, megabytes_per_s
from pydfsnode.cli.dev_cluster import DevCluster
from pydfsnode.client.event_loop import new_event_loop
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.limits import MIB

ASKED_BYTES = MIB
"""What a program asks for at once."""
BENCH = "bench io"


class Ways:
    """Every way to read and to write one file; a path in, MB/s out."""

    def __init__(self, config: Path, pieces: Pieces) -> None:
        self._pieces = pieces
        self.is_thorough = True
        """Whether every byte that is read is looked at."""
        self._loop = new_event_loop()
        self._async_fs = self._loop.run_until_complete(AsyncFileSystem.connect(config))
        self._fs = pydfsnode.connect(config)
        self._fsspec = fsspec.filesystem("pydfs", config=str(config))
        self.writing: dict[str, Callable[[str], float]] = {
            BENCH: self._awaited(self._write_async),
            "blocking open, write": lambda path: self._write(lambda: self._fs.open(path, "wb")),
            "fsspec open, write": lambda path: self._write(lambda: self._fsspec.open(path, "wb")),
        }
        self.reading: dict[str, Callable[[str], float]] = {
            BENCH: self._awaited(self._packets),
            "await read": self._awaited(self._read_async),
            "blocking read": lambda path: self._read(lambda: self._fs.open(path, "rb")),
            "blocking readinto": self._readinto,
            "fsspec read": lambda path: self._read(lambda: self._fsspec.open(path, "rb")),
        }

    def close(self) -> None:
        """Let go."""
        self._fs.close()
        self._loop.run_until_complete(self._async_fs.close())
        self._loop.close()

    def _awaited(self, work: Callable[[str], Coroutine[Any, Any, float]]) -> Callable[[str], float]:
        return lambda path: self._loop.run_until_complete(work(path))

    async def _write_async(self, path: str) -> float:
        began = time.perf_counter_ns()
        async with await self._async_fs.open_writer(path) as writer:
            for piece in self._pieces:
                await writer.write(piece)
        return megabytes_per_s(self._pieces.size, time.perf_counter_ns() - began)

    def _write(self, opened: Callable[[], Any]) -> float:
        began = time.perf_counter_ns()
        with opened() as file:
            for piece in self._pieces:
                file.write(piece)
        return megabytes_per_s(self._pieces.size, time.perf_counter_ns() - began)

    async def _packets(self, path: str) -> float:
        check = _Check(self._pieces, is_thorough=self.is_thorough)
        async with await self._async_fs.open_reader(path) as reader:
            async for packet in reader.packets():
                check.take(packet)
        return check.megabytes_per_s()

    async def _read_async(self, path: str) -> float:
        check = _Check(self._pieces, is_thorough=self.is_thorough)
        async with await self._async_fs.open_reader(path) as reader:
            while found := await reader.read(ASKED_BYTES):
                check.take(found)
        return check.megabytes_per_s()

    def _read(self, opened: Callable[[], Any]) -> float:
        check = _Check(self._pieces, is_thorough=self.is_thorough)
        with opened() as file:
            while found := file.read(ASKED_BYTES):
                check.take(found)
        return check.megabytes_per_s()

    def _readinto(self, path: str) -> float:
        buffer = memoryview(bytearray(ASKED_BYTES))
        check = _Check(self._pieces, is_thorough=self.is_thorough)
        with self._fs.open(path, "rb") as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                check.take(buffer[:count])
        return check.megabytes_per_s()


class _Check:
    """What came back; its content is looked at in the first round only, which is not told."""

    def __init__(self, pieces: Pieces, *, is_thorough: bool) -> None:
        self._pieces = pieces
        self._is_thorough = is_thorough
        self._size = self._value = 0
        self._began_ns = time.perf_counter_ns()

    def take(self, found: bytes | memoryview) -> None:
        """The next bytes."""
        self._size += len(found)
        if self._is_thorough:
            self._value = crc32c(found, self._value)

    def megabytes_per_s(self) -> float:
        """Of the whole; everything must be there."""
        elapsed_ns = time.perf_counter_ns() - self._began_ns
        assert self._size == self._pieces.size, "fewer bytes were read than written"
        assert not self._is_thorough or self._value == self._pieces.checksum(), "other bytes"
        return megabytes_per_s(self._size, elapsed_ns)


def report(ways: Ways, rounds: int, only: str | None) -> None:
    """Print the figures."""
    last = ""
    for kind, known in (("write", ways.writing), ("read", ways.reading)):
        if kind == "read":
            last = "/library/read"
            ways.writing[BENCH](last)
        if only not in (None, kind):
            continue
        found: dict[str, list[float]] = {name: [] for name in known}
        for number in range(-1, rounds):  # the first is to warm up and to look at the bytes
            ways.is_thorough = number < 0
            for place, (name, way) in enumerate(known.items()):
                speed = way(last or f"/library/{number}-{place}")
                if number >= 0:
                    found[name].append(speed)
        for name, speeds in found.items():
            shares = [100 * one / two for one, two in zip(speeds, found[BENCH], strict=True)]
            print(
                f"{kind:<6} {name:<21} {statistics.median(speeds):7.1f} MB/s "
                f"{statistics.median(shares):6.1f} % of bench io",
                flush=True,
            )


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=256, help="of the file")
    parser.add_argument("--rounds", type=int, default=5, help="of all ways in turn")
    parser.add_argument("--only", choices=["read", "write"], help="one kind")
    parser.add_argument("--dir", type=Path, help="where the disks are")
    given = parser.parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-library-", dir=given.dir))
    cluster = DevCluster(work / "dev")
    try:
        spec = cluster.prepare(3, 3)
        started = cluster.start(spec)
        cluster.wait_until_serving(spec, 60.0, started)
        ways = Ways(cluster.layout.client_config, Pieces(given.mib * MIB))
        report(ways, given.rounds, given.only)
        ways.close()
    finally:
        cluster.stop(5.0)
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

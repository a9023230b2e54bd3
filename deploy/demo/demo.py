"""The main job, as an operator would do it: store real files while nodes are killed, get them back.

    python deploy/demo/demo.py [--dir DIR] [--keep] [--scale 0.1] [--executable dist/pydfsnode]

Exits 0 when every byte came back twice, 1 with a sentence otherwise.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from executable import DemoFailed, Executable, Feeder, finish, wait_until
from workload import LARGE_NAME, Manifest, generate

KILL_LEADER_AT, KILL_CHUNKSERVER_AT = 0.10, 0.35
"""Shares of all replicas that are stored when each one is killed."""
LARGE_BEFORE_KILLS = 0.4
"""Share of the large file that is sent before them, the rest afterwards."""
HEAL_SECONDS_MAX = 900


class Report:
    """Times each step and prints the table at the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, float, str]] = []

    def step(self, name: str, action: Callable[[], str], size: int = 0) -> None:
        """Do *action*, which returns what was seen; *size* bytes moved give a rate."""
        print(f"{name} ...", flush=True)
        began = time.monotonic()
        seen = action()
        elapsed = time.monotonic() - began
        rate = f"{size / 1e6 / elapsed:.0f} MB/s" if size else ""
        self._rows.append((name, seen, elapsed, rate))
        print(f"    {seen} ({elapsed:.1f} s) {rate}", flush=True)

    def table(self) -> str:
        """The rows, aligned."""
        widths = (max(len(row[0]) for row in self._rows), max(len(row[1]) for row in self._rows))
        lines = [f"{'step':<{widths[0]}}  {'seen':<{widths[1]}}  {'time':>8}  {'rate':>9}"]
        for name, seen, elapsed, rate in self._rows:
            lines.append(f"{name:<{widths[0]}}  {seen:<{widths[1]}}  {elapsed:>6.1f} s  {rate:>9}")
        return "\n".join(lines)


class Demo:
    """The steps; each leaves the cluster as the next one expects it."""

    def __init__(self, work: Path, executable: Executable, scale: float) -> None:
        self._work = work
        self._cluster = executable
        self._scale = scale
        self._report = Report()
        self._sources: dict[str, Path] = {}
        self._stored: dict[str, Manifest] = {}
        self._chunkserver = ""

    @property
    def _size(self) -> int:
        return sum(manifest.size for manifest in self._stored.values())

    @property
    def _files(self) -> int:
        return sum(len(manifest.digests) for manifest in self._stored.values())

    def run(self) -> None:
        """All steps, then the table.

        Raises:
            DemoFailed: at the first that does not hold.
        """
        step = self._report.step
        step("start 3 masters, 3 chunkservers", self._start)
        step("generate files", self._generate)
        step("put, killing as it goes", self._put, self._size)
        step("replace what was killed", self._replace)
        step("heal", self._heal)
        step("get and compare SHA-256", lambda: self._get("first"), self._size)
        step("kill -9 all masters, start", self._restart_masters)
        step("get again and compare", lambda: self._get("second"), self._size)
        print(f"\n{self._report.table()}")

    def _start(self) -> str:
        self._cluster.up()
        nodes = self._cluster.nodes()
        dead = [node_id for node_id, node in nodes.items() if not node["alive"]]
        if dead or len(nodes) != 6:
            raise DemoFailed(f"dev up returned with {len(nodes)} nodes, not alive: {dead}")
        return f"{', '.join(nodes)} run"

    def _generate(self) -> str:
        source = self._work / "source"
        source.mkdir()
        self._sources = generate(source, self._scale, random.Random(2))
        self._stored = {name: Manifest.of(path) for name, path in self._sources.items()}
        return f"{self._files} files, {self._size / 1e6:.0f} MB"

    def _put(self) -> str:
        put = [
            self._cluster.start("fs", "put", "-r", str(source), f"/{name}")
            for name, source in self._sources.items()
            if name != "large"
        ]
        # By a pipe that ends after the kills: they come into the middle of this file for certain.
        large = self._sources["large"] / LARGE_NAME
        feeder = Feeder(large, int(large.stat().st_size * LARGE_BEFORE_KILLS))
        self._cluster.run("fs", "mkdir", "-p", "/large")
        target = f"/large/{LARGE_NAME}"
        put.append(self._cluster.start("fs", "put", "-", target, stdin=feeder.stdin))
        feeder.begin()
        try:
            leader = self._kill_at(KILL_LEADER_AT, self._leader)
            self._chunkserver = self._kill_at(KILL_CHUNKSERVER_AT, self._fullest_chunkserver)
            feeder.end()
            for process in put:
                finish(process)
        finally:
            for process in put:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return f"killed -9 {leader} (leader) and {self._chunkserver}; every put succeeded"

    def _kill_at(self, share: float, choose: Callable[[], str]) -> str:
        """Kill whom *choose* names once *share* of the expected replicas is stored; its id."""
        wanted = share * 3 * sum(manifest.chunks for manifest in self._stored.values())
        wait_until(f"{share:.0%} is stored", 600, lambda: self._replicas() >= wanted, 0)
        chosen = choose()
        self._cluster.kill(chosen)
        print(f"    kill -9 {chosen}", flush=True)
        return chosen

    def _replicas(self) -> int:
        status = self._cluster.status()
        return sum(server["chunks"] for server in status["chunkservers"]) if status else 0

    def _leader(self) -> str:
        status: dict[str, str] | None = None

        def found() -> bool:
            nonlocal status
            status = self._cluster.status()
            return bool(status and status["leader"])

        wait_until("there is a leader", 60, found)
        assert status is not None
        return status["leader"]

    def _fullest_chunkserver(self) -> str:
        status = None
        while status is None:
            status = self._cluster.status()
        fullest = max(status["chunkservers"], key=lambda server: server["used_bytes"])
        return str(fullest["id"])

    def _replace(self) -> str:
        self._cluster.wipe(self._chunkserver)
        self._cluster.up()
        return f"{self._chunkserver} is back with an empty disk, the master with its own"

    def _heal(self) -> str:
        most = 0

        def whole() -> bool:
            nonlocal most
            status = self._cluster.status()
            if status is None:
                return False
            most = max(most, int(status["under_replicated"]))
            return (
                int(status["under_replicated"]) == 0
                and int(status["missing"]) == 0
                and str(status["health"]) == "OK"
            )

        wait_until("every chunk has 3 replicas", HEAL_SECONDS_MAX, whole, 0.5)
        return f"{most} chunks lacked replicas, now none; health OK"

    def _get(self, directory: str) -> str:
        returned = self._work / directory
        returned.mkdir()
        differences: list[str] = []
        for name, stored in self._stored.items():
            self._cluster.run("fs", "get", "-r", f"/{name}", str(returned / name))
            differences += stored.differences(Manifest.of(returned / name))
        if differences:
            shown = "\n  ".join(differences[:20])
            raise DemoFailed(f"{len(differences)} files differ:\n  {shown}")
        shutil.rmtree(returned)
        return f"{self._files} files equal"

    def _restart_masters(self) -> str:
        nodes = self._cluster.nodes()
        masters = [node_id for node_id, node in nodes.items() if node["role"] == "master"]
        self._cluster.kill_all(masters)
        self._cluster.up()
        return f"{', '.join(masters)} killed at once; {self._leader()} leads"


def main(argv: list[str]) -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, help="where to work (default: a temporary directory)")
    parser.add_argument(
        "--keep", action="store_true", help="leave the cluster running and its files"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of files and bytes, 0..1")
    parser.add_argument("--executable", type=Path, help="a pydfsnode file instead of this package")
    given = parser.parse_args(argv)
    if not 0 < given.scale <= 1:
        parser.error(f"--scale {given.scale} is not in 0..1")
    if given.dir is not None:
        given.dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="pydfsnode-demo-", dir=given.dir))
    command = [str(given.executable.resolve())] if given.executable else []
    cluster = Executable(work / "cluster", command)
    status = 1
    try:
        Demo(work, cluster, given.scale).run()
        status = 0
    except DemoFailed as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
    finally:
        if given.keep:
            print(f"kept: {work}")
        else:
            _clean(cluster, work)
    return status


def _clean(cluster: Executable, work: Path) -> None:
    try:
        cluster.down()
    except DemoFailed as failure:
        print(f"dev down: {failure}; its files stay in {work}", file=sys.stderr)
    else:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

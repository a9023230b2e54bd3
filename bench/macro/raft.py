"""How long clients notice that masters die, hand over, come back or are exchanged: real processes.

    python -m bench.macro.raft [--quick] [--only NAME ...] [--dir DIR]

Run it from the root of the repository. All masters write to one disk, and a disk that stalls stops
them all: so the longest gap without any event, in the same load, is printed beside the others.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.client.sync import FileSystem
from tests.support.cluster import wait_until
from tests.support.load import MS_NS, NamespaceLoad, check_exactly_once, paths_below
from tests.support.raft_processes import RaftCluster

MASTERS = ("m1", "m2", "m3")
SETTLE_WRITES = 300
"""Writes between two events, and before the first one."""
FILL_SECONDS_MAX = 1800
AWAY_NICE = 19
LOOK_S = 0.5
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often, and how much."""

    kills: int = 10
    transfers: int = 20
    rounds: int = 20
    entries: int = 200_000
    quiet_writes: int = 3_000


QUICK = Sizes(kills=3, transfers=5, rounds=2, entries=5_000, quiet_writes=600)


def kills(place: Path, sizes: Sizes) -> Figures:
    """kill -9 of the leader: milliseconds until a write that began afterwards is acknowledged."""
    took_ms: list[float] = []
    with RaftCluster(place) as cluster:
        with NamespaceLoad(cluster.config, "/kills") as load:
            for _ in range(sizes.kills):
                load.wait_for(SETTLE_WRITES)
                leader = cluster.leading()
                at_ns = time.perf_counter_ns()
                cluster.kill(leader)
                load.wait_for(SETTLE_WRITES)
                took_ms.append(load.next_after_ms(at_ns))
                cluster.up()
        check_exactly_once(load, cluster.config)
    return {
        "kills": sizes.kills,
        "next_write_p50_ms": statistics.median(took_ms),
        "next_write_max_ms": max(took_ms),
        "writes": len(load.writes),
        "failed_calls": len(load.failures),
    }


def transfers(place: Path, sizes: Sizes) -> Figures:
    """Planned handovers: the longest gap between acknowledgements around each."""
    gaps_ms: list[float] = []
    with RaftCluster(place) as cluster:
        with (
            FileSystem.connect(cluster.config) as fs,
            NamespaceLoad(cluster.config, "/transfers") as load,
        ):
            load.wait_for(SETTLE_WRITES)
            quiet_ns = time.perf_counter_ns()
            load.wait_for(sizes.quiet_writes)
            quiet_ms = load.longest_gap_ms(quiet_ns)
            for _ in range(sizes.transfers):
                from_ns = time.perf_counter_ns()
                fs.transfer_leader()
                until_ns = time.perf_counter_ns()
                load.wait_for(SETTLE_WRITES)
                gaps_ms.append(load.longest_gap_ms(from_ns, until_ns + 100 * MS_NS))
        check_exactly_once(load, cluster.config)
    return {
        "transfers": sizes.transfers,
        "gap_p50_ms": statistics.median(gaps_ms),
        "gap_max_ms": max(gaps_ms),
        "gap_without_transfer_max_ms": quiet_ms,
        "writes": len(load.writes),
        "failed_calls": len(load.failures),
    }


def blackouts(place: Path, sizes: Sizes) -> Figures:
    """kill -9 of all masters: is every acknowledged write there each time they are back?"""
    lost, took_ms = 0, []
    with RaftCluster(place) as cluster:
        with NamespaceLoad(cluster.config, "/blackouts", timeout_ms=120_000) as load:
            for _ in range(sizes.rounds):
                load.wait_for(SETTLE_WRITES)
                cluster.kill(*MASTERS)
                acknowledged = list(load.writes)
                at_ns = time.perf_counter_ns()
                cluster.start(*MASTERS)
                load.wait_for(20)
                took_ms.append(load.next_after_ms(at_ns))
                found = set(paths_below(cluster.config, load.root))
                lost += len(load.lost(acknowledged, found))
        check_exactly_once(load, cluster.config)
    return {
        "rounds": sizes.rounds,
        "acknowledged_and_lost": lost,
        "start_to_next_write_p50_ms": statistics.median(took_ms),
        "writes": len(load.writes),
        "failed_calls": len(load.failures),
    }


def exchange(place: Path, sizes: Sizes) -> Figures:
    """3 masters to 5, then to 3 others, the first leader among those that go."""
    with RaftCluster(place) as cluster:
        with NamespaceLoad(cluster.config, "/exchange", timeout_ms=60_000) as load:
            load.wait_for(SETTLE_WRITES)
            quiet_ns = time.perf_counter_ns()
            load.wait_for(sizes.quiet_writes)
            quiet_ms = load.longest_gap_ms(quiet_ns)
            from_ns = time.perf_counter_ns()
            for name in ("m4", "m5"):
                cluster.run("cluster", "add-master", cluster.new_master(name))
                load.wait_for(SETTLE_WRITES)
            grown_ns = time.perf_counter_ns()
            first = cluster.leading()
            second = next(name for name in MASTERS if name != first)
            for name in (first, second):
                cluster.run("cluster", "remove-master", name)
                cluster.stop(name)
                load.wait_for(SETTLE_WRITES)
        check_exactly_once(load, cluster.config)
    return {
        "gap_growing_max_ms": load.longest_gap_ms(from_ns, grown_ns),
        "gap_shrinking_max_ms": load.longest_gap_ms(grown_ns),
        "gap_without_change_max_ms": quiet_ms,
        "writes": len(load.writes),
        "failed_calls": len(load.failures),
    }


def catching_up(place: Path, sizes: Sizes) -> Figures:
    """A master that was away comes back by snapshot: latency of writes before and meanwhile."""
    short = {"log_entries_max": sizes.entries // 4, "keep_entries": sizes.entries // 20}
    # So many entries are far beyond the default policy's log; few are not.
    settings = {} if sizes.entries >= Sizes().entries else {"snapshot": short}
    with RaftCluster(place, settings=settings) as cluster:
        away = next(name for name in MASTERS if name != cluster.leading())
        cluster.kill(away)
        with NamespaceLoad(cluster.config, "/fill", workers=64, per_s=None) as fill:
            leader = cluster.leading()
            wait_until(
                f"{sizes.entries:,} entries are written",
                lambda: cluster.applied(leader) >= sizes.entries,
                seconds=FILL_SECONDS_MAX,
            )
        with NamespaceLoad(cluster.config, "/meanwhile") as load:
            load.wait_for(SETTLE_WRITES)
            before_ns = time.perf_counter_ns()
            load.wait_for(sizes.quiet_writes)
            written = cluster.applied(leader)
            start_ns = time.perf_counter_ns()
            cluster.start(away)
            # Its own start and loading take a core: of another machine, where masters do not share.
            os.setpriority(os.PRIO_PROCESS, cluster.process(away).pid, AWAY_NICE)
            while cluster.applied(away) < written:
                time.sleep(LOOK_S)  # a look is a TLS handshake: rare, and never with the leader
            end_ns = time.perf_counter_ns()
            load.wait_for(sizes.quiet_writes)
        check_exactly_once(load, cluster.config)
        check_exactly_once(fill, cluster.config)
        installed = _counter(cluster.page(away, "/metrics"), "pydfs_raft_snapshots_installed_total")
        states = cluster.stored_states(*MASTERS)
    return {
        "entries_away": sizes.entries,
        "start_to_caught_up_ms": (end_ns - start_ns) / MS_NS,
        "write_p50_before_ms": load.quantile_ms(0.50, before_ns, start_ns),
        "write_p50_meanwhile_ms": load.quantile_ms(0.50, start_ns, end_ns),
        "write_p99_before_ms": load.quantile_ms(0.99, before_ns, start_ns),
        "write_p99_meanwhile_ms": load.quantile_ms(0.99, start_ns, end_ns),
        "write_p99_afterwards_ms": load.quantile_ms(0.99, end_ns),
        "snapshots_installed": installed,
        "different_states": len(set(states.values())) - 1,
        "failed_calls": len(load.failures) + len(fill.failures),
    }


def _counter(page: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)", page, re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


SCENARIOS: dict[str, Callable[[Path, Sizes], Figures]] = {
    "kills": kills,
    "transfers": transfers,
    "blackouts": blackouts,
    "exchange": exchange,
    "catching-up": catching_up,
}


def main(argv: list[str]) -> int:
    """Measure in a directory that is removed afterwards; an assertion that fails ends the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--dir", type=Path, help="where the cluster's disks are")
    given = parser.parse_args(argv)
    for name in given.only:
        work = Path(tempfile.mkdtemp(prefix="pydfsnode-raft-", dir=given.dir))
        try:
            figures = SCENARIOS[name](work / "cluster", QUICK if given.quick else Sizes())
        finally:
            shutil.rmtree(work, ignore_errors=True)
        print(f"\n{name}: {(SCENARIOS[name].__doc__ or '').splitlines()[0]}")
        for figure, value in figures.items():
            print(f"    {figure:<32}{round(value, 1):>14,}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

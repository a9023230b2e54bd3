"""What one seed decides: how large the cluster is, which faults it meets, and how long it lives.

Swarm testing: each seed has a random subset of the faults, since faults hide each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from pydfsnode.raft.types import Timing
from pydfsnode.runtime.compaction import CompactionPolicy
from tests.support.sim.network import Weather

FAULTS = (
    "loss", "duplicate", "reorder", "partition", "one_way", "bridge", "isolate_leader", "clog",
    "kill", "power", "boundary", "pause", "stall", "slow_disk", "eio_write", "eio_read", "enospc",
    "rot", "misdirect", "lost_tail", "drift", "wall_jump", "old_versions", "client_loss",
    "membership", "wipe", "transfer", "compaction", "large", "small_appends", "storm",
)  # fmt: skip
"""Every fault that a seed may have."""
_USUAL = ("membership", "transfer", "compaction", "small_appends", "storm")
"""What half of all seeds have each."""
READS = ("leader", "any", "lease", "stale")
"""How a seed's clients read: from the leader, linearizably from anybody, by lease, or stale."""
SPARES = 2
"""Masters that are no members at first, where members change."""


@dataclass
class Plan:
    """See the module. Seconds are the world's."""

    seed: int
    size: int
    faults: tuple[str, ...]
    duration_s: float
    fault_every_s: float
    think_s: float
    clients: int
    directories: int
    tick_ms: int
    timing: Timing
    weather: Weather
    fsync_s: tuple[float, float]
    reads: tuple[str, ...]
    compaction: CompactionPolicy
    snapshot_bytes_per_s: int
    append_entries_max: int
    drift: float = 0.0
    wall_offset_ms: int = 0
    client_loss: float = 0.0
    attempt_s: float = 2.0
    deadline_s: float = 8.0
    quiet: bool = False
    old: tuple[str, ...] = field(default=())

    def has(self, fault: str) -> bool:
        """Whether this seed meets *fault*."""
        return fault in self.faults

    @property
    def line(self) -> str:
        """The plan in one line."""
        kind = "quiet" if self.quiet else "busy"
        return f"{self.size} masters, {kind}, {self.duration_s:.0f} s: {' '.join(self.faults)}"


def plan(seed: int) -> Plan:
    """The plan of *seed*."""
    rng = random.Random(f"{seed}/plan")
    size = rng.choices((1, 3, 5, 7), (10, 50, 30, 10))[0]
    share = rng.choice((0.15, 0.3, 0.5))
    faults = tuple(fault for fault in FAULTS if rng.random() < (0.5 if fault in _USUAL else share))
    quiet = rng.random() < 0.3
    slow = quiet or rng.random() < 0.3
    spares = SPARES if "membership" in faults else 0
    timing = Timing(heartbeat_ms=200 if slow else 60, election_timeout_ms=1000 if slow else 500)
    names = [f"m{i + 1}" for i in range(size + spares)]
    log_entries_max = rng.choice((1, 5, 30, 200)) if "compaction" in faults else 100_000
    return Plan(
        seed=seed,
        size=size,
        faults=faults,
        duration_s=rng.uniform(400, 1200) if quiet else rng.uniform(20, 100),
        fault_every_s=rng.uniform(20, 60) if quiet else rng.choice((0.3, 1.0, 3.0, 6.0)),
        think_s=rng.uniform(3, 10) if quiet else rng.choice((0.02, 0.1, 0.3)),
        clients=rng.choice((1, 2, 4, 8)),
        directories=rng.choice((1, 2, 4)),
        tick_ms=50 if slow else 20,
        timing=timing,
        weather=Weather(
            loss=rng.choice((0.01, 0.05, 0.3)) if "loss" in faults else 0.0,
            duplicate=rng.choice((0.1, 0.5)) if "duplicate" in faults else 0.0,
            spread_s=rng.choice((0.002, 0.02, 0.1)) if "reorder" in faults else 0.0,
        ),
        fsync_s=(0.001, 0.3) if "slow_disk" in faults else (0.0005, 0.003),
        reads=tuple(mode for mode in READS if rng.random() < 0.5) or READS[:1],
        compaction=CompactionPolicy(
            log_entries_max=log_entries_max, keep_entries=rng.choice((0, 1, log_entries_max // 2))
        ),
        snapshot_bytes_per_s=rng.choice((2_000, 50_000, 1 << 30)),
        append_entries_max=rng.choice((1, 2, 5)) if "small_appends" in faults else 4096,
        drift=0.01 if "drift" in faults else 0.0,
        wall_offset_ms=10_000 if "wall_jump" in faults else 0,
        client_loss=0.1 if "client_loss" in faults else 0.0,
        quiet=quiet,
        old=tuple(n for n in names if rng.random() < 0.5) if "old_versions" in faults else (),
    )

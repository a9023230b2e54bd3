"""The chunkservers as a fleet: plain records of what is ordered of them and what is found.

Field names are those of the JSON that `cluster report|balance|fsck|safemode --json` print. Times
are milliseconds since 1970 by the cluster's clock; a share of used space is in parts per million.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

IN_SERVICE, DECOMMISSIONING = "in service", "decommissioning"
DECOMMISSIONED, MAINTENANCE = "decommissioned", "maintenance"


@dataclass(frozen=True, slots=True)
class Scrub:
    """How far the background verification of a chunkserver is, and what it found since its start.

    Times by the chunkserver's clock; `last_ended_ms` 0: no round has ended.
    """

    began_ms: int
    due_ms: int
    done_bytes: int
    left_bytes: int
    rounds: int
    last_ended_ms: int
    corrupt_found: int


@dataclass(frozen=True, slots=True)
class Duty:
    """A chunkserver that is out of service, and what still depends on it.

    `counted`: everything that it holds was looked at since; before, the counts say nothing.
    `chunks_left` must be copied away before it may go, of which `chunks_stuck` cannot be now.
    """

    id: str
    state: str
    until_ms: int
    since_ms: int
    user: str
    counted: bool
    chunks_held: int
    chunks_left: int
    chunks_stuck: int
    stuck_because: str
    moves_running: int

    @property
    def is_done(self) -> bool:
        """Whether the server may be stopped."""
        if self.state == DECOMMISSIONING:
            return False
        return self.state == DECOMMISSIONED or (self.counted and not self.chunks_left)


@dataclass(frozen=True, slots=True)
class Balance:
    """The evening out of used space; counts since it began or the leader changed."""

    on: bool
    threshold_ppm: int
    bytes_per_s: int
    since_ms: int
    user: str
    moved_chunks: int
    moved_bytes: int
    moves_running: int
    bytes_left: int
    mean_ppm: int
    spread_ppm: int
    ended_because: str


@dataclass(frozen=True, slots=True)
class SafeMode:
    """Whether the leader orders nothing; by an operator, also whether it takes no changes."""

    on: bool
    by_operator: bool
    reason: str
    user: str
    since_ms: int
    chunks_wanted: int
    chunks_reported: int


@dataclass(frozen=True, slots=True)
class FleetState:
    """What is ordered of the chunkservers, and the work in progress."""

    duties: list[Duty]
    balance: Balance
    safe_mode: SafeMode
    copies_running: int
    deletions_running: int
    under_replicated: int
    missing: int

    def duty(self, node_id: str) -> Duty | None:
        """What *node_id* is ordered, None when it is in service."""
        return next((duty for duty in self.duties if duty.id == node_id), None)


@dataclass(slots=True)
class FsckCounts:
    """What a check counted. `misplaced`: whole, with replicas closer together than need be."""

    files: int = 0
    directories: int = 0
    bytes: int = 0
    open_files: int = 0
    inline_files: int = 0
    chunks: int = 0
    replicas: int = 0
    replicas_wanted: int = 0
    missing: int = 0
    corrupt: int = 0
    under_replicated: int = 0
    over_replicated: int = 0
    misplaced: int = 0
    corrupt_replicas: int = 0
    in_maintenance: int = 0

    def add(self, other: FsckCounts) -> None:
        """Count *other* too."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class FsckFinding:
    """A file with `chunks` of `bytes` in all that have this `problem`; "open": it is written."""

    path: str
    problem: str
    chunks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class FsckStep:
    """What one step of a check found; `after` is where to go on, None at the end."""

    counts: FsckCounts
    findings: list[FsckFinding]
    safe_mode: bool
    after: tuple[str, int] | None


@dataclass(slots=True)
class FsckReport:
    """A whole check; `safe_mode`: the leader did not know all replicas yet at some point."""

    path: str
    counts: FsckCounts = field(default_factory=FsckCounts)
    findings: list[FsckFinding] = field(default_factory=list)
    findings_left_out: int = 0
    safe_mode: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether every chunk can be read."""
        return not self.counts.missing and not self.counts.corrupt

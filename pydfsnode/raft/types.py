"""Values that the core is built from and shows to the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

KIND_NOOP, KIND_OPERATION, KIND_CONFIGURATION, KIND_COMPRESSED = 0, 1, 2, 3
"""Of log entries; a compressed one holds an operation."""


@dataclass(frozen=True, slots=True)
class Timing:
    """In milliseconds of the caller's monotonic clock; equal on all masters."""

    heartbeat_ms: int = 60
    election_timeout_ms: int = 500  # the smallest; each is drawn from [1x, 2x)
    clock_drift: float = 0.05  # how much faster one master's clock may run than another's
    disk_stall_ms: int = 2_000  # a leader whose log write takes longer hands over


ReadEntries = Callable[[int, int, int], list[bytes]]
"""(first, last, bytes_max) -> encoded entries from first on, at least one, contiguous, bounded by
bytes_max.
"""


@dataclass(slots=True)
class LogStart:
    """What the log held at start.

    Entries first_index..last_index are readable by `read`; an empty log has last_index =
    first_index - 1. `term_runs` are (first index of a run, term), ascending; `prev_term` is the
    term of first_index - 1. `base` is the configuration as of first_index - 1, encoded, None in a
    node that belongs to no cluster yet; `configurations` are (index, encoded) of those in the log.
    """

    first_index: int = 1
    last_index: int = 0
    term_runs: list[tuple[int, int]] = field(default_factory=list)
    prev_term: int = 0
    read: ReadEntries = lambda first, last, bytes_max: []
    base: bytes | None = None
    configurations: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PeerView:
    """One other member as the leader sees it."""

    node_id: str  # its member id
    match_index: int
    active: bool  # heard from within an election timeout
    state: str = "replicate"  # probe, replicate or snapshot
    voter: bool = True

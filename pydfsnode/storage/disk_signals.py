"""How the disks of a node do, in a few numbers for the masters and for pages."""

from __future__ import annotations

from typing import NamedTuple

from pydfsnode.storage.chunk_disk_set import DiskSet


class DiskSignals(NamedTuple):
    """How the disks of a node do: percentiles of the last 10 to 20 s, of the slowest disk."""

    read_p50_us: int
    read_p99_us: int
    write_p50_us: int
    write_p99_us: int
    failed_disks: int
    read_errors: int
    """Reads that a disk refused, since the start."""


def signals_of(disks: DiskSet, now: float) -> DiskSignals:
    """Those of *disks*, by the clock of their latencies, in seconds."""
    reads = [disk.latency.reads.view(now) for disk in disks.live]
    writes = [disk.latency.writes.view(now) for disk in disks.live]
    return DiskSignals(
        max((view.p50_us for view in reads), default=0),
        max((view.p99_us for view in reads), default=0),
        max((view.p50_us for view in writes), default=0),
        max((view.p99_us for view in writes), default=0),
        len(disks.failed),
        sum(disk.read_errors for disk in disks.all),
    )

"""How long a disk takes: reads and writes of the last seconds as percentiles. Thread-safe.

Two windows rotate, so that a percentile is of the last one to two windows and costs no memory of
single times. Times come in: this reads no clock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import NamedTuple

from pydfsnode.obs.metrics import metrics

WINDOW_S = 10.0
BOUNDS_US = tuple(int(100 * 2 ** (step / 2)) for step in range(36))
"""Upper bounds of the buckets: 100 µs to 18 s, each 1.4 times the one before."""


class LatencyView(NamedTuple):
    """Of the last one to two windows; 0 when nothing was done."""

    total: int
    p50_us: int
    p99_us: int


class LatencyWindow:
    """Times of one kind of work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_s = 0.0
        self._now = [0] * (len(BOUNDS_US) + 1)
        self._before = self._now

    def note(self, now_s: float, took_s: float) -> None:
        """Something that ended at *now_s* took *took_s*."""
        bucket = bisect_left(BOUNDS_US, took_s * 1_000_000)
        with self._lock:
            self._rotate(now_s)
            self._now[bucket] += 1

    def view(self, now_s: float) -> LatencyView:
        """What was noted lately, as the upper bounds of the buckets."""
        with self._lock:
            self._rotate(now_s)
            counts = [a + b for a, b in zip(self._now, self._before, strict=True)]
        total = sum(counts)
        return LatencyView(total, _quantile(counts, total, 50), _quantile(counts, total, 99))

    def _rotate(self, now_s: float) -> None:
        age_s = now_s - self._began_s
        if age_s < WINDOW_S:
            return
        empty = [0] * (len(BOUNDS_US) + 1)
        self._before = self._now if age_s < 2 * WINDOW_S else empty
        self._now = empty[:]
        self._began_s = now_s


class DiskLatency:
    """Of one disk: its reads, and its writes and syncs."""

    def __init__(self, number: int) -> None:
        """*number* is the disk's in the configuration, from 0."""
        self.reads = LatencyWindow()
        self.writes = LatencyWindow()
        self._shown = {
            work: metrics().histogram("chunk_disk_seconds", str(number), work)
            for work in ("read", "write")
        }

    def note_read(self, now_s: float, took_s: float) -> None:
        """A read ended at *now_s* after *took_s*."""
        self.reads.note(now_s, took_s)
        self._shown["read"].observe(took_s)

    def note_write(self, now_s: float, took_s: float) -> None:
        """A write or a sync ended at *now_s* after *took_s*."""
        self.writes.note(now_s, took_s)
        self._shown["write"].observe(took_s)


def _quantile(counts: list[int], total: int, percent: int) -> int:
    if not total:
        return 0
    rank = -(-total * percent // 100)
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return BOUNDS_US[min(bucket, len(BOUNDS_US) - 1)]
    return BOUNDS_US[-1]

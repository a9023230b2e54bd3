"""What a Raft node counts as it goes; gauges are read from its status when scraped."""

from __future__ import annotations

from pydfsnode.obs.metrics import metrics


class RaftMetrics:
    """Bound once, so that a group costs a few additions."""

    def __init__(self) -> None:
        table = metrics()
        self._entries = table.counter("raft_entries_total")
        self._persists = table.counter("raft_persists_total")
        self._batch = table.histogram("raft_persist_batch_count")
        self._write = table.histogram("raft_fsync_seconds")
        self._elections = table.counter("raft_elections_total")
        self._elections_seen = 0

    def group_written(self, entries: int, took_s: float) -> None:
        """One batch with *entries* is durable after *took_s* seconds on the storage thread."""
        self._persists.inc()
        self._write.observe(took_s)
        if entries:
            self._entries.inc(entries)
            self._batch.observe(entries)

    def elections_started(self, total: int) -> None:
        """The core has started *total* elections so far."""
        self._elections.inc(total - self._elections_seen)
        self._elections_seen = total

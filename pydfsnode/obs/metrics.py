"""Every metric of a node: one table, and the prometheus_client objects made from it on first use.

A row's name ends in its unit (`_total` for counters); on `/metrics` it carries the prefix `pydfs_`.
Importing this module costs nothing: prometheus_client is imported when a server first calls
`metrics()`, so a client that shares code with servers never pays for it.

Hot paths bind once and keep the child:
`requests = metrics().counter("rpc_requests_total", path, "ok", "framed")`, then `requests.inc()`.
Hotter ones count in an integer of their own, which a counter follows when it is scraped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from pydfsnode.errors import invariant

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.metrics import MetricWrapperBase

PREFIX = "pydfs_"
OTHER = "other"
"""What a label value outside its closed set is counted as."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNITS = frozenset(
    {"total", "seconds", "bytes", "index", "term", "boolean", "count", "files", "directories"}
    | {"chunks", "connections", "chunkservers", "streams"}
)

LABELS: dict[str, tuple[str, ...] | int] = {
    # The values themselves, or how many distinct ones may appear where another table bounds them.
    "transport": ("framed", "grpc", "https"),
    "direction": ("in", "out"),
    "outcome": ("applied", "rejected"),
    "lane": ("urgent", "bulk"),
    "kind": ("frame", "message", "method", "stream", "metadata", "checksum"),
    # Those of security/refusals.py, and what the listeners say.
    "reason": (
        "no_certificate",
        "handshake",
        "identity",
        "cluster",
        "role",
        "too_many",
        "expired",
        "not_yet_valid",
        "self_signed",
        "unknown_ca",
        "untrusted",
        "revoked",
        "purpose",
        "tls_version",
        "may_not_act_for",
    ),
    # Of security/capability.py; key: one that is not here.
    "refusal": (
        "missing",
        "malformed",
        "old",
        "forged",
        "user",
        "chunk",
        "operation",
        "version",
        "expired",
        "key",
    ),
    "command": ("replicate", "delete"),
    "work": ("read", "write"),
    "disk": 64,  # limits.DISKS_MAX
    "result": ("ok", "failed", "refused"),
    "mode": ("linearizable", "lease", "bounded", "stale", "follower"),
    "method": 128,  # rows of rpc/methods.py
    "code": 96,  # error classes of errors.py, and "ok"
    "op": 32,  # operations of meta/ops
    "page": 16,  # pages of the HTTPS listener
    "peer": 256,  # nodes of the cluster
    "fault": 16,  # obs/faults.py
    "certificate": ("leaf", "issuing", "root"),  # security/lifetimes.py
}


@dataclass(frozen=True, slots=True)
class Row:
    """One metric; `buckets` (in the unit) only for histograms."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


def _counter(name: str, help: str, *labels: str) -> Row:
    return Row(name, "counter", labels, help)


def _gauge(name: str, help: str, *labels: str) -> Row:
    return Row(name, "gauge", labels, help)


LATENCY_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)

TABLE: tuple[Row, ...] = (
    # rpc
    _counter("rpc_requests_total", "Calls answered.", "method", "code", "transport"),
    Row("rpc_request_seconds", "histogram", ("method", "transport"),
        "Time from a call's arrival to its answer.", LATENCY_S),
    _gauge("rpc_open_connections", "Connections open.", "transport"),
    _gauge("rpc_open_streams", "Streaming calls open.", "transport"),
    _counter("rpc_refused_peers_total", "Peers refused.", "reason", "transport"),
    _counter("rpc_protocol_errors_total", "Connections or calls ended for broken input.", "kind"),
    _counter("rpc_stream_bytes_total", "Data bytes of streaming calls.", "direction"),
    _counter("rpc_faults_total", "What calls to other nodes met with.", "peer", "fault"),
    _gauge("rpc_breaker_open_boolean", "1 while a peer is not asked, or probed only.", "peer"),
    # certificates of this node; of several roots the one that ends first
    _gauge("certificate_expires_seconds", "Until it ends; below 0: it has.", "certificate"),
    _gauge("certificate_lifetime_seconds", "From its beginning to its end.", "certificate"),
    # audit
    _counter("audit_records_total", "Records of the audit trail."),
    _counter("audit_dropped_total", "Records that found no room: a gap in the trail tells so."),
    _counter("audit_failures_total", "Writes of the audit trail that failed and were repeated."),
    _gauge("audit_queued_count", "Records that wait to be written."),
    _gauge("audit_failing_boolean", "1 while the audit trail cannot be written."),
    # http
    _counter("http_requests_total", "Pages served.", "page", "code"),
    # raft
    _gauge("raft_term", "Current term."),
    _gauge("raft_commit_index", "Highest committed log index."),
    _gauge("raft_applied_index", "Highest applied log index."),
    _gauge("raft_last_index", "Highest log index."),
    _gauge("raft_is_leader_boolean", "1 when this master leads."),
    _counter("raft_entries_total", "Log entries written to disk."),
    _counter("raft_persists_total", "Durable batches written (each one group commit)."),
    Row("raft_persist_batch_count", "histogram", (), "Entries in one durable batch.", BATCH),
    Row("raft_fsync_seconds", "histogram", (), "Time of one durable batch write.", LATENCY_S),
    _counter("raft_elections_total", "Elections this master started."),
    _counter("raft_messages_total", "Messages to and from other masters.", "direction"),
    _counter("raft_messages_dropped_total", "Messages dropped from a full queue.", "lane"),
    _counter("raft_appends_total", "Messages sent that append to another master's log."),
    _counter("raft_append_entries_total", "Log entries sent in them, heartbeats none."),
    _gauge("raft_first_index", "Lowest log index still there."),
    _counter("raft_compactions_total", "Times that the head of the log was dropped."),
    _counter("raft_snapshots_sent_total", "Snapshots sent to other masters.", "result"),
    _counter("backups_total", "Backups of the namespace written by this master.", "result"),
    _counter("raft_snapshots_installed_total", "Snapshots of others that replaced the state here."),
    _gauge("raft_voters_count", "Masters that vote, by this one's log."),
    _gauge("raft_learners_count", "Masters that hold the log and do not vote."),
    _gauge("raft_lease_held_boolean", "1 when this leader may answer reads by its clock."),
    _gauge("raft_staleness_seconds", "How old the state here is at most; NaN: nobody can tell."),
    _counter("raft_transfers_total", "Handovers of leadership that operators asked for.", "result"),
    # namespace
    _gauge("namespace_files", "Files."),
    _gauge("namespace_directories", "Directories."),
    _gauge("namespace_chunks", "Chunks of all files."),
    _gauge("namespace_file_keys_count", "Files with a key of their own."),
    _gauge("namespace_file_keys_waiting_count", "Keys of deleted files not yet to be forgotten."),
    _counter("namespace_reads_total", "Reads, by the consistency asked for.", "mode"),
    _counter("namespace_operations_total", "Log entries applied, retries too.", "op", "outcome"),
    # chunks of a chunkserver
    _gauge("chunk_store_chunks", "Chunks stored here."),
    _gauge("chunk_store_used_bytes", "Bytes of chunks stored here."),
    _gauge("chunk_store_free_bytes", "Bytes that may still be stored here."),
    _counter("chunk_read_bytes_total", "Chunk bytes read."),
    _counter("chunk_write_bytes_total", "Chunk bytes written."),
    _counter("chunk_corrupt_total", "Replicas found corrupt."),
    _counter("chunk_commands_total", "Commands of masters carried out.", "command", "result"),
    _counter("chunk_refused_capabilities_total", "Calls without a good capability.", "refusal"),
    _gauge("chunk_failed_disks_count", "Disks of this chunkserver that failed."),
    Row("chunk_disk_seconds", "histogram", ("disk", "work"),
        "Time that a disk takes for a write, a sync or a read.", LATENCY_S),
    _counter("chunk_scrub_bytes_total", "Bytes read and verified in the background."),
    _counter("chunk_scrub_corrupt_total", "Replicas that the scrubber found corrupt."),
    _gauge("chunk_scrub_done_bytes", "Verified in the running round of the scrubber."),
    _gauge("chunk_scrub_left_bytes", "Left to verify in the running round."),
    _gauge("chunk_scrub_left_seconds", "Until the running round is due; below 0: late."),
    _gauge("chunk_segments_count", "Segment files of small chunks."),
    _gauge("chunk_segment_dead_bytes", "Bytes of deleted chunks in segment files."),
    _counter("chunk_compacted_bytes_total", "Bytes of small chunks moved to free room."),
    _counter("chunk_packed_total", "Small chunks packed into segments."),
    _counter("chunk_packed_syncs_total", "Syncs that made them durable."),
    Row("chunk_fsync_seconds", "histogram", (), "Time to make one chunk durable.", LATENCY_S),
    # fleet, on the leading master
    _gauge("fleet_live_chunkservers", "Chunkservers heard of lately."),
    _gauge("fleet_dead_chunkservers", "Chunkservers silent for too long."),
    _gauge("fleet_under_replicated_chunks", "Chunks with too few live replicas."),
    _gauge("fleet_missing_chunks", "Chunks without any live replica."),
    _gauge("fleet_safe_mode_boolean", "1 while nothing is repaired: after a start, or ordered."),
    _gauge("fleet_out_of_service_chunkservers", "Decommissioned, to be, or in maintenance."),
    _gauge("fleet_moving_chunks", "Replicas on their way for a drain or a balance."),
    _counter("fleet_commands_total", "Commands given to chunkservers.", "command"),
)  # fmt: skip

ROWS: dict[str, Row] = {row.name: row for row in TABLE}

M = TypeVar("M", "Counter", "Gauge", "Histogram")


class Metrics:
    """The table's metrics in one registry; children are made once and kept."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
            disable_created_metrics,
        )

        # They would be a second series for each counter, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry if registry is not None else CollectorRegistry()
        self._lock = threading.Lock()
        self._lock_of_followed = threading.Lock()
        self._metrics: dict[str, MetricWrapperBase] = {}
        self._children: dict[tuple[str, ...], MetricWrapperBase] = {}
        self._seen: dict[str, set[str]] = {name: set() for name in LABELS}
        self._followed: dict[Counter, tuple[Callable[[], int], int]] = {}
        for row in TABLE:
            name = PREFIX + row.name
            if row.kind == "histogram":
                self._metrics[row.name] = Histogram(
                    name, row.help, row.labels, registry=self.registry, buckets=row.buckets
                )
            else:
                kind = Counter if row.kind == "counter" else Gauge
                self._metrics[row.name] = kind(name, row.help, row.labels, registry=self.registry)

    def get(self, name: str) -> MetricWrapperBase:
        """The unbound metric of a row; prefer the bound children below.

        Raises:
            InvariantViolation: the table has no such row.
        """
        invariant(name in self._metrics, f"metric '{name}' has no row in obs/metrics.py")
        return self._metrics[name]

    def counter(self, name: str, *values: str) -> Counter:
        """The counter of *name* for these label values (in the row's order); `.inc(amount)`."""
        return cast("Counter", self._child(name, "counter", values))

    def gauge(self, name: str, *values: str) -> Gauge:
        """The gauge of *name* for these label values; `.set`, `.inc`, `.dec`, `.set_function`."""
        return cast("Gauge", self._child(name, "gauge", values))

    def histogram(self, name: str, *values: str) -> Histogram:
        """The histogram of *name* for these label values; `.observe(amount)` in the row's unit."""
        return cast("Histogram", self._child(name, "histogram", values))

    def follow(self, name: str, total: Callable[[], int], *values: str) -> None:
        """Let the counter of *name* follow *total*, asked when rendered; the last *total* counts.

        For what is counted elsewhere, on a path too hot for a metric of its own.
        """
        with self._lock_of_followed:
            self._followed[self.counter(name, *values)] = (total, 0)

    def _catch_up(self) -> None:
        with self._lock_of_followed:
            for counter, (total, counted) in self._followed.items():
                now = total()
                counter.inc(now - counted)
                self._followed[counter] = (total, now)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format (`CONTENT_TYPE`)."""
        from prometheus_client import generate_latest

        self._catch_up()
        return generate_latest(self.registry)

    def _child(self, name: str, kind: str, values: tuple[str, ...]) -> MetricWrapperBase:
        key = (name, *values)
        child = self._children.get(key)
        if child is None:
            child = self._bind(key, kind)
        elif ROWS[name].kind != kind:
            invariant(False, f"metric '{name}' is a {ROWS[name].kind}, not a {kind}")
        return child

    def _bind(self, key: tuple[str, ...], kind: str) -> MetricWrapperBase:
        name, values = key[0], key[1:]
        metric = self.get(name)
        row = ROWS[name]
        invariant(row.kind == kind, f"metric '{name}' is a {row.kind}, not a {kind}")
        invariant(
            len(values) == len(row.labels),
            f"metric '{name}' has labels {row.labels}, values {values} were given",
        )
        with self._lock:
            shown = [self._bounded(label, v) for label, v in zip(row.labels, values, strict=True)]
            child = metric.labels(*shown) if shown else metric
            if list(values) == shown:  # else the cache itself could be filled from outside
                self._children[key] = child
        return child

    def _bounded(self, label: str, value: str) -> str:
        """*value*, or "other" when it is not of the label's closed set (INV-BOUND)."""
        allowed = LABELS[label]
        if isinstance(allowed, tuple):
            return value if value in allowed else OTHER
        seen = self._seen[label]
        if value not in seen and len(seen) >= allowed:
            return OTHER
        seen.add(value)
        return value


_metrics: Metrics | None = None
_metrics_lock = threading.Lock()


def metrics() -> Metrics:
    """This process's metrics; the first call imports prometheus_client and makes them."""
    global _metrics
    if _metrics is None:
        with _metrics_lock:
            if _metrics is None:
                _metrics = Metrics()
    return _metrics


def render() -> bytes:
    """This process's metrics in Prometheus' text format."""
    return metrics().render()

"""What of a master is read when metrics are scraped, so that no hot path pays for it."""

from __future__ import annotations

import math
from collections.abc import Callable

from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.runtime.raft_driver import RaftDriver


def export_gauges(driver: RaftDriver, fleet: Fleet, namespace: Namespace) -> None:
    """Bind every gauge of this master, and its counters of totals, to where the value is."""
    status = driver.status

    def staleness_s() -> float:
        staleness_ms = driver.staleness_ms()
        return math.nan if staleness_ms is None else staleness_ms / 1000

    sources: dict[str, Callable[[], float]] = {
        "raft_term": lambda: driver.term,
        "raft_commit_index": lambda: status().commit_index,
        "raft_applied_index": lambda: namespace.applied_index,
        "raft_last_index": lambda: status().last_index,
        "raft_first_index": lambda: status().first_index,
        "raft_is_leader_boolean": lambda: driver.is_leader,
        "raft_lease_held_boolean": driver.holds_lease,
        "raft_staleness_seconds": staleness_s,
        "raft_voters_count": lambda: len(driver.configuration.voters),
        "raft_learners_count": lambda: len(driver.configuration.learners),
        "namespace_files": lambda: namespace.file_count,
        "namespace_directories": lambda: namespace.directory_count,
        "namespace_chunks": lambda: namespace.chunk_count,
        "namespace_file_keys_count": lambda: len(namespace.tree.file_keys.keys.rows),
        "namespace_file_keys_waiting_count": lambda: namespace.tree.file_keys.forgetting.waiting,
        "fleet_live_chunkservers": lambda: fleet.live_count,
        "fleet_dead_chunkservers": lambda: fleet.dead_count,
        "fleet_under_replicated_chunks": lambda: fleet.under_replicated,
        "fleet_missing_chunks": lambda: fleet.missing,
        "fleet_safe_mode_boolean": lambda: not fleet.operations.may_order,
        "fleet_out_of_service_chunkservers": lambda: len(namespace.tree.administration.duties),
        "fleet_moving_chunks": lambda: fleet.operations.moves_running,
    }
    for name, source in sources.items():
        metrics().gauge(name).set_function(source)
    totals: dict[str, Callable[[], int]] = {
        "raft_appends_total": lambda: status().appends_sent,
        "raft_append_entries_total": lambda: status().entries_sent,
        "raft_compactions_total": lambda: status().compactions,
        "raft_snapshots_installed_total": lambda: status().snapshots_installed,
    }
    for name, total in totals.items():
        metrics().follow(name, total)

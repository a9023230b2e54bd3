"""What a master exports as gauges: read when scraped, so that no hot path pays for them."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.runtime.raft_driver import RaftDriver


def export_gauges(driver: RaftDriver, fleet: Fleet, namespace: Namespace) -> None:
    """Bind every gauge of this master to where its value is."""
    status = driver.status
    sources: dict[str, Callable[[], float]] = {
        "raft_term": lambda: driver.term,
        "raft_commit_index": lambda: status().commit_index,
        "raft_applied_index": lambda: namespace.applied_index,
        "raft_last_index": lambda: status().last_index,
        "raft_is_leader_boolean": lambda: driver.is_leader,
        "namespace_files": lambda: namespace.file_count,
        "namespace_directories": lambda: namespace.directory_count,
        "namespace_chunks": lambda: namespace.chunk_count,
        "fleet_live_chunkservers": lambda: fleet.live_count,
        "fleet_dead_chunkservers": lambda: fleet.dead_count,
        "fleet_under_replicated_chunks": lambda: fleet.under_replicated,
        "fleet_missing_chunks": lambda: fleet.missing,
    }
    for name, source in sources.items():
        metrics().gauge(name).set_function(source)

"""The leader's care for chunks: copies where there are too few, deletions where there are too many.

`plan` is called about once a second. It orders the most endangered chunks first, then moves those
whose replicas fail together, all within limits for each server and for the fleet, and remembers
what it ordered until the reports show it, or too much time has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydfsnode.fleet.bounds import WARM_UP_MS
from pydfsnode.fleet.copies import CopyOrders, RepairRates
from pydfsnode.fleet.deletions import DeleteOrders
from pydfsnode.fleet.misplaced import Misplaced
from pydfsnode.fleet.orders import Copy, Delete
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import ServerTable

__all__ = ["Copy", "Delete", "RepairPlanner", "RepairRates", "RepairStatus"]


@dataclass(frozen=True, slots=True)
class RepairStatus:
    """Counts for people: `warming_up` while servers still get time to report after a start."""

    under_replicated: int
    missing: int
    copies_running: int
    deletions_running: int
    warming_up: bool
    misplaced: int = 0
    """Chunks found so far whose replicas could be spread better."""


class RepairPlanner:
    """Made once when a master starts; `plan` is for the leader only."""

    def __init__(
        self,
        servers: ServerTable,
        replicas: ReplicaMap,
        reports: ReplicaReports,
        started_ms: int,
        warm_up_ms: int = WARM_UP_MS,
        rates: RepairRates | None = None,
    ) -> None:
        self._servers = servers
        self._replicas = replicas
        self._reports = reports
        self._warm_at_ms = started_ms + warm_up_ms
        self._warm = False
        self._copies = CopyOrders(servers, replicas, rates)
        self._misplaced = Misplaced(servers, replicas, self._copies)
        self._deletes = self.deletes = DeleteOrders(servers, replicas, reports)

    def new_epoch(self, epoch: int | None = None) -> None:
        """This master leads in *epoch*: what was ordered before is void, trust starts anew."""
        self._reports.new_epoch(epoch)
        self._copies.clear()
        self._misplaced.clear()
        self._deletes.clear()

    def plan(
        self, now_ms: int, is_garbage: Callable[[int], bool], pick: Callable[[], float]
    ) -> list[Copy | Delete]:
        """What to order now.

        Args:
            now_ms: on the monotonic clock.
            is_garbage: whether the namespace, at least as new as this epoch, can never want a chunk
                id. A chunk under construction is not garbage.
            pick: random numbers in [0, 1).
        """
        self._replicas.tick(now_ms)
        self._copies.review(now_ms)
        self._deletes.review(now_ms)
        if not self._is_warm(now_ms):
            return []
        copies = self._copies.plan(now_ms, pick)
        self._misplaced.search()
        if not copies:  # nothing worse waits, or nobody has time
            copies = self._misplaced.plan(now_ms, pick)
        return [
            *copies,
            *self._deletes.plan_surplus(now_ms),
            *self._deletes.plan_orphans(now_ms, is_garbage),
        ]

    def copy_done(self, chunk_id: int, node_id: str, ok: bool) -> None:
        """*node_id* says that its copy of *chunk_id* ended; a success shows in its report."""
        self._copies.done(chunk_id, node_id, ok, self._replicas.now_ms)

    def lost(self, order: Copy | Delete) -> None:
        """The server was never told of *order*: decide on it again."""
        if isinstance(order, Copy):
            self._copies.lost(order.chunk_id, order.node_id)
        else:
            self.deletes.lost(order.chunk_id, order.node_id)

    def restarted(self, node_id: str) -> None:
        """*node_id* was started anew, maybe before its silence was noticed: order it all again."""
        self._copies.restarted(node_id)
        self.deletes.restarted(node_id)

    def status(self) -> RepairStatus:
        """How it stands."""
        return RepairStatus(
            self._replicas.under_replicated_count,
            self._replicas.missing_count,
            self._copies.running,
            self._deletes.running,
            not self._warm,
            self._misplaced.count,
        )

    def _is_warm(self, now_ms: int) -> bool:
        """A cold master knows few replicas: nothing is short before all servers could report."""
        self._warm = self._warm or now_ms >= self._warm_at_ms
        return self._warm

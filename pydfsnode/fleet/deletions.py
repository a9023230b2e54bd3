"""Which replicas to delete. What makes data less durable needs certainty (INV-SUM).

A good replica is deleted only while as many others as wanted lie on confirmed servers. From the
order on it is condemned: it counts for nothing until its server reports it gone, so that the next
plan cannot take it for granted and delete another.
"""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.fleet.bounds import (
    DELETE_TIMEOUT_MS,
    DELETES_PER_CHUNKSERVER_MAX,
    ORPHAN_MS,
    SCAN_CHUNKS_MAX,
)
from pydfsnode.fleet.duty import leaves
from pydfsnode.fleet.orders import Delete
from pydfsnode.fleet.replicas import CONDEMNED, ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import ServerTable
from pydfsnode.fleet.topology import concentration


class DeleteOrders:
    """Deletions by (chunk, server), until reported or timed out."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap, reports: ReplicaReports) -> None:
        self._servers = servers
        self._replicas = replicas
        self._reports = reports
        self._running: dict[tuple[int, str], int] = {}  # until when
        self._of_server: dict[str, int] = {}

    @property
    def running(self) -> int:
        """Deletions ordered and not yet reported."""
        return len(self._running)

    def clear(self) -> None:
        """Forget every order."""
        self._running.clear()
        self._of_server.clear()

    def review(self, now_ms: int) -> None:
        """End what is reported gone or too old; the latter is decided on again, not repeated."""
        for (chunk_id, node_id), until_ms in list(self._running.items()):
            if self._replicas.replica(node_id, chunk_id) is None or now_ms >= until_ms:
                self._end(chunk_id, node_id)

    def lost(self, chunk_id: int, node_id: str) -> None:
        """*node_id* was never told; what was condemned stays so until it is decided on again."""
        if (chunk_id, node_id) in self._running:
            self._end(chunk_id, node_id)

    def restarted(self, node_id: str) -> None:
        """The process of *node_id* is another one: it knows nothing of what was ordered of it.

        What was condemned stays so: the old process may have deleted it with its last breath.
        """
        for chunk_id, server in [key for key in self._running if key[1] == node_id]:
            self._end(chunk_id, server)

    def _end(self, chunk_id: int, node_id: str) -> None:
        del self._running[chunk_id, node_id]
        self._of_server[node_id] -= 1

    def plan_surplus(self, now_ms: int) -> list[Delete]:
        """Bad replicas of chunks with enough good ones, and good ones beyond what is wanted."""
        orders: list[Delete] = []
        for chunk_id in self._replicas.surplus(SCAN_CHUNKS_MAX):
            wanted = self._replicas.wanted(chunk_id)
            if wanted is None:
                continue
            ordered = self._useless(chunk_id, wanted[2], now_ms)
            ordered += self._beyond(chunk_id, wanted[2], now_ms)
            orders += ordered
            if not ordered:
                self._replicas.defer(chunk_id)
        return orders

    def plan_orphans(self, now_ms: int, is_garbage: Callable[[int], bool]) -> list[Delete]:
        """Replicas of chunks that the namespace dropped, or, after ORPHAN_MS, never knew."""
        orders: list[Delete] = []
        for chunk_id, since_ms in self._replicas.orphans(SCAN_CHUNKS_MAX):
            ordered: list[Delete] = []
            if now_ms - since_ms >= ORPHAN_MS and is_garbage(chunk_id):
                for node_id in self._replicas.holders(chunk_id):
                    if self._servers.is_live(node_id):
                        ordered += self._order(chunk_id, node_id, now_ms)
            orders += ordered
            if not ordered:
                self._replicas.defer(chunk_id)
        return orders

    def _useless(self, chunk_id: int, replication: int, now_ms: int) -> list[Delete]:
        """Bad ones, and condemned ones whose deletion was not reported in time.

        A bad replica also goes when it occupies a server that a copy needs: with as many live
        servers as replicas wanted there is no other place for a good one.
        """
        sure = self._sure(chunk_id)
        bad = self._replicas.bad(chunk_id)
        overdue = [
            node for node in self._replicas.suspects(chunk_id)
            if self._replicas.is_condemned(chunk_id, node)
        ]  # fmt: skip
        orders: list[Delete] = []
        if len(sure) >= replication:
            for node_id in (*bad, *overdue):
                orders += self._order(chunk_id, node_id, now_ms)
        elif sure and bad and self._no_other_place(chunk_id):
            orders += self._order(chunk_id, bad[0], now_ms)
        return orders

    def order_moved(self, chunk_id: int, node_id: str, now_ms: int) -> list[Delete]:
        """The replica on *node_id*, in whose place another was made; when enough are sure."""
        wanted = self._replicas.wanted(chunk_id)
        others = [node for node in self._sure(chunk_id) if node != node_id]
        if wanted is None or len(others) < wanted[2]:
            return []
        ordered = self._order(chunk_id, node_id, now_ms)
        if ordered:
            self._replicas.suspect(chunk_id, node_id, CONDEMNED)
        return ordered

    def _beyond(self, chunk_id: int, replication: int, now_ms: int) -> list[Delete]:
        """Good ones beyond *replication*; what stays is spread over racks as well as can be."""
        sure = self._sure(chunk_id)
        stay, able = self._replicas.good(chunk_id), list(sure)
        orders: list[Delete] = []
        while able and len(sure) - len(orders) > replication:
            node_id = min(able, key=lambda node: self._worth(node, stay))
            able.remove(node_id)
            ordered = self._order(chunk_id, node_id, now_ms)
            if ordered:
                self._replicas.suspect(chunk_id, node_id, CONDEMNED)
                stay.remove(node_id)
                orders += ordered
        return orders

    def _worth(self, node_id: str, stay: list[str]) -> tuple[bool, tuple[int, ...], bool, int, str]:
        """The least goes first: where the server leaves, where those that stay are spread best
        without it, where the server does badly, where there is the least room."""
        server = self._servers.get(node_id)
        racks = [self._servers.place_of(node) for node in stay if node != node_id]
        return (
            not leaves(self._servers, node_id),
            concentration(racks),
            not self._servers.does_badly(node_id),
            0 if server is None else server.free_bytes,
            node_id,
        )

    def _order(self, chunk_id: int, node_id: str, now_ms: int) -> list[Delete]:
        replica = self._replicas.replica(node_id, chunk_id)
        if (
            replica is None
            or (chunk_id, node_id) in self._running
            or self._of_server.get(node_id, 0) >= DELETES_PER_CHUNKSERVER_MAX
        ):
            return []
        self._running[chunk_id, node_id] = now_ms + DELETE_TIMEOUT_MS
        self._of_server[node_id] = self._of_server.get(node_id, 0) + 1
        return [Delete(node_id, chunk_id, replica[0])]

    def _sure(self, chunk_id: int) -> list[str]:
        return [node for node in self._replicas.good(chunk_id) if self._reports.is_confirmed(node)]

    def _no_other_place(self, chunk_id: int) -> bool:
        occupied = {*self._replicas.holders(chunk_id), *self._replicas.expected(chunk_id)}
        return all(server.node_id in occupied for server in self._servers.live())

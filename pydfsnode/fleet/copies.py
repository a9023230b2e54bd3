"""Which copies to order, and which are on their way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.bounds import (
    COPY_ORDER_BYTES_MAX,
    COPY_ORDERS_MAX,
    COPY_TIMEOUT_MS,
    FAILED_COPY_MS,
    SCAN_CHUNKS_MAX,
)
from pydfsnode.fleet.orders import Copy
from pydfsnode.fleet.placement import choose_targets
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import Server, ServerTable


@dataclass(frozen=True, slots=True)
class _Running:
    source: str
    until_ms: int
    length: int


@dataclass(slots=True)
class _Load:
    """What a server has to take or to give: a few copies always, more while they are small."""

    copies: int = 0
    size: int = 0

    @property
    def has_room(self) -> bool:
        if self.copies < limits.COPIES_PER_CHUNKSERVER_MAX:
            return True
        return self.copies < COPY_ORDERS_MAX and self.size < COPY_ORDER_BYTES_MAX

    def add(self, copies: int, size: int) -> None:
        self.copies += copies
        self.size += size


class CopyOrders:
    """Copies by (chunk, target); each server gives and takes its `_Load` at most."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap) -> None:
        self._servers = servers
        self._replicas = replicas
        self._running: dict[tuple[int, str], _Running] = {}
        self._failed: dict[tuple[int, str], int] = {}  # until when not to ask again
        self._taking: defaultdict[str, _Load] = defaultdict(_Load)
        self._giving: defaultdict[str, _Load] = defaultdict(_Load)
        self._of_chunk: dict[int, list[str]] = {}

    @property
    def running(self) -> int:
        """Copies ordered and not yet seen."""
        return len(self._running)

    def clear(self) -> None:
        """Forget every order."""
        for orders in (self._running, self._failed, self._taking, self._giving, self._of_chunk):
            orders.clear()

    def done(self, chunk_id: int, node_id: str, ok: bool, now_ms: int) -> None:
        """*node_id* ended its copy; after a failure others are asked first."""
        if (chunk_id, node_id) in self._running:
            self._end(chunk_id, node_id)
            if not ok:
                self._failed[chunk_id, node_id] = now_ms + FAILED_COPY_MS

    def review(self, now_ms: int) -> None:
        """End what is reported, not needed, hopeless or too old."""
        for (chunk_id, target), running in list(self._running.items()):
            if (
                target in self._replicas.good(chunk_id)
                or self._replicas.wanted(chunk_id) is None
                or not self._servers.is_live(target)
                or now_ms >= running.until_ms
            ):
                self._end(chunk_id, target)
        for key in [key for key, until_ms in self._failed.items() if now_ms >= until_ms]:
            del self._failed[key]

    def plan(self, now_ms: int, pick: Callable[[], float]) -> list[Copy]:
        """Copies of the most endangered chunks, as many as the servers can take."""
        live = self._servers.live()
        orders: list[Copy] = []
        for level in range(1, limits.REPLICATION_MAX):
            for chunk_id in self._replicas.short_at(level, SCAN_CHUNKS_MAX):
                if not self._has_room(live):
                    return orders
                ordered = self._order(chunk_id, level, live, now_ms, pick)
                orders.extend(ordered)
                if not ordered:
                    self._replicas.defer(chunk_id)
        return orders

    def _order(
        self, chunk_id: int, level: int, live: list[Server], now_ms: int,
        pick: Callable[[], float],
    ) -> list[Copy]:  # fmt: skip
        wanted = self._replicas.wanted(chunk_id)
        under_way = self._of_chunk.get(chunk_id, [])
        if wanted is None or level + len(under_way) >= wanted[2]:
            return []
        version, length, replication = wanted
        sources = self._sources(chunk_id)
        if not sources:
            return []
        exclude = {
            *self._replicas.holders(chunk_id), *self._replicas.expected(chunk_id), *under_way,
            *(server.node_id for server in live if self._is_refused(chunk_id, server.node_id)),
        }  # fmt: skip
        try:
            targets = choose_targets(
                live, replication - level - len(under_way), exclude, length, pick
            )
        except NoChunkservers:
            return []
        orders = []
        for target in targets:
            sources = self._sources(chunk_id)
            if not sources:
                break
            self._start(chunk_id, target, _Running(sources[0], now_ms + COPY_TIMEOUT_MS, length))
            orders.append(Copy(target, chunk_id, version, length, tuple(sources)))
        return orders

    def _sources(self, chunk_id: int) -> list[str]:
        """Who can give the chunk now, the least busy first."""
        holders = self._replicas.good(chunk_id) or [
            node for node in self._replicas.suspects(chunk_id)
            if self._replicas.is_condemned(chunk_id, node)
        ]  # fmt: skip
        free = [node for node in holders if self._giving[node].has_room]
        return sorted(free, key=lambda node: (self._giving[node].copies, node))

    def _is_refused(self, chunk_id: int, node_id: str) -> bool:
        return not self._taking[node_id].has_room or (chunk_id, node_id) in self._failed

    def _has_room(self, live: Collection[Server]) -> bool:
        return any(self._taking[s.node_id].has_room for s in live)

    def _start(self, chunk_id: int, target: str, running: _Running) -> None:
        self._running[chunk_id, target] = running
        self._taking[target].add(1, running.length)
        self._giving[running.source].add(1, running.length)
        self._of_chunk.setdefault(chunk_id, []).append(target)

    def _end(self, chunk_id: int, target: str) -> None:
        running = self._running.pop((chunk_id, target))
        self._taking[target].add(-1, -running.length)
        self._giving[running.source].add(-1, -running.length)
        self._of_chunk[chunk_id].remove(target)
        if not self._of_chunk[chunk_id]:
            del self._of_chunk[chunk_id]

"""Which copies to order, and which are on their way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode.fleet.bounds import (
    COPY_ORDER_BYTES_MAX,
    COPY_ORDERS_MAX,
    COPY_TIMEOUT_MS,
    FAILED_COPY_MS,
    SCAN_CHUNKS_MAX,
    THOROUGH_LOOKS_MAX,
)
from pydfsnode.fleet.orders import Copy
from pydfsnode.fleet.pacing import Pace
from pydfsnode.fleet.placement import Wish, candidates
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import Server, ServerTable
from pydfsnode.fleet.topology import DEFAULT, Rack, concentration, distance, is_better


@dataclass(frozen=True, slots=True)
class RepairRates:
    """In bytes/s, 0: no limit. Of all copies together, and of what one server takes or gives."""

    fleet_bytes_per_s: int = 0
    server_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class _Running:
    source: str
    until_ms: int
    length: int


@dataclass(slots=True)
class _Load:
    """What a server has to take or to give: a few copies always, more while they are small."""

    pace: Pace
    copies: int = 0
    size: int = 0

    def has_room(self, now_ms: int) -> bool:
        if not self.pace.may_begin(now_ms):
            return False
        if self.copies < limits.COPIES_PER_CHUNKSERVER_MAX:
            return True
        return self.copies < COPY_ORDERS_MAX and self.size < COPY_ORDER_BYTES_MAX

    def begin(self, size: int, now_ms: int) -> None:
        self.copies += 1
        self.size += size
        self.pace.begin(size, now_ms)

    def end(self, size: int) -> None:
        self.copies -= 1
        self.size -= size


class CopyOrders:
    """Copies by (chunk, target); each server gives and takes its `_Load` at most."""

    def __init__(
        self, servers: ServerTable, replicas: ReplicaMap, rates: RepairRates | None = None
    ) -> None:
        rates = rates or RepairRates()
        self._servers = servers
        self._replicas = replicas
        self._pace = Pace(rates.fleet_bytes_per_s)
        self._running: dict[tuple[int, str], _Running] = {}
        self._failed: dict[tuple[int, str], int] = {}  # until when not to ask again
        self._taking = defaultdict[str, _Load](lambda: _Load(Pace(rates.server_bytes_per_s)))
        self._giving = defaultdict[str, _Load](lambda: _Load(Pace(rates.server_bytes_per_s)))
        self._of_chunk: dict[int, list[str]] = {}
        self._looks_left = THOROUGH_LOOKS_MAX
        self._with_room = ""  # the server that last had room for a copy

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

    def lost(self, chunk_id: int, node_id: str) -> None:
        """*node_id* was never told of its copy."""
        if (chunk_id, node_id) in self._running:
            self._end(chunk_id, node_id)

    def restarted(self, node_id: str) -> None:
        """The process of *node_id* is another one: it knows nothing of what was ordered of it."""
        for chunk_id, target in [key for key in self._running if key[1] == node_id]:
            self._end(chunk_id, target)

    def review(self, now_ms: int) -> None:
        """End what is reported, not needed, hopeless or too old."""
        self._looks_left = THOROUGH_LOOKS_MAX
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
                if not self._has_room(live, now_ms):
                    return orders
                ordered = self._order(chunk_id, level, now_ms, pick)
                orders.extend(ordered)
                if not ordered:
                    self._replicas.defer(chunk_id)
        return orders

    def move(self, chunk_id: int, now_ms: int, pick: Callable[[], float]) -> Copy | None:
        """One more replica of a chunk that has enough, where it spreads them better.

        The most crowded of the others is surplus then, and is deleted as such. None: there is no
        better place, or nobody has time for it now.
        """
        wanted = self._replicas.wanted(chunk_id)
        good = self._replicas.good(chunk_id)
        busy = self._of_chunk.get(chunk_id) or self._replicas.expected(chunk_id)
        if wanted is None or busy or len(good) != wanted[2] or not self._pace.may_begin(now_ms):
            return None
        racks = [self._servers.place_of(node) for node in good]
        stays = min(
            (concentration(left), left)
            for left in (racks[:at] + racks[at + 1 :] for at in range(len(racks)))
        )[1]
        wish = self._wish(chunk_id, 1, wanted[1], tuple(stays), now_ms)
        for target in self._targets(wish, pick):
            if is_better(concentration([*stays, target.place]), concentration(racks)):
                return self._begin(chunk_id, wanted, target, now_ms)
        return None

    def has_room(self, now_ms: int) -> bool:
        """Whether anything may be ordered now."""
        return self._has_room(self._servers.live(), now_ms)

    def _order(
        self, chunk_id: int, level: int, now_ms: int, pick: Callable[[], float]
    ) -> list[Copy]:
        wanted = self._replicas.wanted(chunk_id)
        under_way = self._of_chunk.get(chunk_id, [])
        if wanted is None or level + len(under_way) >= wanted[2]:
            return []
        if not self._sources(chunk_id, now_ms):
            return []
        there = [*self._replicas.good(chunk_id), *self._replicas.expected(chunk_id), *under_way]
        taken = tuple(self._servers.place_of(node) for node in there)
        count = wanted[2] - level - len(under_way)
        wish = self._wish(chunk_id, count, wanted[1], taken, now_ms)
        orders = []
        for target in self._targets(wish, pick):
            order = self._begin(chunk_id, wanted, target, now_ms)
            if order is None:
                break
            orders.append(order)
        return orders

    def _wish(
        self, chunk_id: int, count: int, length: int, taken: tuple[Rack, ...], now_ms: int
    ) -> Wish:
        exclude = {
            *self._replicas.holders(chunk_id), *self._replicas.expected(chunk_id),
            *self._of_chunk.get(chunk_id, ()),
        }  # fmt: skip

        def is_refused(node_id: str) -> bool:
            return (chunk_id, node_id) in self._failed or not self._taking[node_id].has_room(now_ms)

        return Wish(
            count, exclude, length, taken, is_refused=is_refused,
            is_thorough=self._looks_left > 0, last_resort=False,
        )  # fmt: skip

    def _targets(self, wish: Wish, pick: Callable[[], float]) -> list[Server]:
        found = candidates(self._servers, wish, pick)
        self._looks_left -= len(found) < wish.count
        return found

    def _begin(
        self, chunk_id: int, wanted: tuple[int, int, int], target: Server, now_ms: int
    ) -> Copy | None:
        version, length, _ = wanted
        sources = self._sources(chunk_id, now_ms, target.place)
        if not sources:
            return None
        running = _Running(sources[0], now_ms + COPY_TIMEOUT_MS, length)
        self._running[chunk_id, target.node_id] = running
        self._taking[target.node_id].begin(length, now_ms)
        self._giving[running.source].begin(length, now_ms)
        self._pace.begin(length, now_ms)
        self._of_chunk.setdefault(chunk_id, []).append(target.node_id)
        target.assign(length)
        return Copy(target.node_id, chunk_id, version, length, tuple(sources))

    def _sources(self, chunk_id: int, now_ms: int, near: Rack = DEFAULT) -> list[str]:
        """Who can give the chunk now: who does well, the least busy, the closest to *near*."""
        holders = self._replicas.good(chunk_id) or [
            node for node in self._replicas.suspects(chunk_id)
            if self._replicas.is_condemned(chunk_id, node)
        ]  # fmt: skip
        free = [node for node in holders if self._giving[node].has_room(now_ms)]
        return sorted(
            free,
            key=lambda node: (
                self._servers.does_badly(node), self._giving[node].copies,
                distance(self._servers.place_of(node), near), node,
            ),
        )  # fmt: skip

    def _has_room(self, live: list[Server], now_ms: int) -> bool:
        if not self._pace.may_begin(now_ms):
            return False
        known = self._with_room
        if self._servers.is_live(known) and self._taking[known].has_room(now_ms):
            return True
        free = (s.node_id for s in live if self._taking[s.node_id].has_room(now_ms))
        self._with_room = next(free, "")
        return bool(self._with_room)

    def _end(self, chunk_id: int, target: str) -> None:
        running = self._running.pop((chunk_id, target))
        self._taking[target].end(running.length)
        self._giving[running.source].end(running.length)
        self._of_chunk[chunk_id].remove(target)
        if not self._of_chunk[chunk_id]:
            del self._of_chunk[chunk_id]

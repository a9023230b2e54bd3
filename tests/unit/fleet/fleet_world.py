"""A fleet whose servers do what they are ordered, in virtual time."""

from __future__ import annotations

import random

from pydfsnode.fleet.balance import Balancing
from pydfsnode.fleet.draining import Draining
from pydfsnode.fleet.orders import Copy, Delete
from pydfsnode.fleet.relocation import Relocation, Relocations
from pydfsnode.fleet.repair import RepairPlanner
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import MAINTENANCE, ServerTable

CAPACITY = 10_000
DEAD_AFTER_MS = 10_000
TICK_MS = 500


class World:
    """Servers by name with what they hold; `run` lets time pass and checks what must never be."""

    def __init__(self, racks: dict[str, str], seed: int = 1) -> None:
        self.now_ms = 0
        self.rng = random.Random(seed)
        self.racks = dict(racks)
        self.held: dict[str, dict[int, int]] = {name: {} for name in racks}
        self.away: set[str] = set()
        self.wanted: dict[int, tuple[int, int]] = {}
        self.servers = ServerTable(DEAD_AFTER_MS)
        self.replicas = ReplicaMap()
        self.reports = ReplicaReports(self.replicas)
        self.planner = RepairPlanner(self.servers, self.replicas, self.reports, 0, warm_up_ms=0)
        self.moved: list[Relocation] = []
        self.relocations = Relocations(
            self.servers, self.replicas, self.planner.deletes, self._moved
        )
        self.draining = Draining(self.servers, self.replicas, self.relocations)
        self.balancing = Balancing(self.servers, self.replicas, self.relocations)
        self.ordered: list[Copy | Delete] = []
        self.fails: set[str] = set()  # servers whose copies fail
        for name in racks:
            self.join(name)

    def _moved(self, done: Relocation) -> None:
        self.moved.append(done)
        self.draining.moved(done.source)
        self.balancing.moved(done)

    def join(self, name: str, rack: str = "") -> None:
        self.racks.setdefault(name, rack)
        self.held.setdefault(name, {})
        self._beat(name)
        page = [(chunk_id, 1, length) for chunk_id, length in self.held[name].items()]
        self.reports.full_report_page(name, 1, 0, page, first=True, last=True)
        self._beat(name)

    def _beat(self, name: str, added: tuple[int, ...] = (), removed: tuple[int, ...] = ()) -> None:
        used = sum(self.held[name].values())
        free = max(0, CAPACITY - used)
        count = len(self.held[name])
        if self.servers.heartbeat(
            name, self.now_ms, f"{name}:1", self.racks[name], used, free, count, 0, 1
        ):
            self.replicas.server_live(name)
        held = [(chunk_id, 1, self.held[name][chunk_id]) for chunk_id in added]
        self.reports.heartbeat(name, 1, 0, held, removed)

    def put(self, chunk_id: int, *holders: str, length: int = 10, replication: int = 0) -> None:
        replication = replication or len(holders)
        self.wanted[chunk_id] = length, replication
        self.replicas.want(chunk_id, 1, length, replication)
        for name in holders:
            self.held[name][chunk_id] = length
            self._beat(name, added=(chunk_id,))

    def set_states(self, **states: str) -> None:
        for name in self.racks:
            self.servers.set_admin_state(name, states.get(name, "in service"))
        self.replicas.set_maintained(n for n, state in states.items() if state == MAINTENANCE)
        self.draining.set_states(states)

    def holders(self, chunk_id: int) -> set[str]:
        return {name for name, held in self.held.items() if chunk_id in held}

    def live_holders(self, chunk_id: int) -> set[str]:
        return self.holders(chunk_id) - self.away

    def tick(self) -> list[Copy | Delete]:
        """One plan, and its orders carried out at once."""
        self.now_ms += TICK_MS
        for name in self.held:
            if name not in self.away:
                self._beat(name)
        self.replicas.tick(self.now_ms)
        for name in self.servers.expire(self.now_ms):
            self.replicas.server_dead(name)
        self.servers.review(self.now_ms)
        self.relocations.refresh()
        while self.draining.is_walking:
            self.draining.step()
        self.relocations.beside_repair = self.planner.status().copies_running > 0
        orders = [
            *self.relocations.review(self.now_ms),
            *self.draining.plan(self.now_ms, self.rng.random),
            *self.balancing.plan(self.now_ms, self.rng.random),
            *self.planner.plan(self.now_ms, lambda chunk_id: True, self.rng.random),
        ]
        for order in orders:
            self._obey(order)
        self.ordered += orders
        return orders

    def _obey(self, order: Copy | Delete) -> None:
        name, chunk_id = order.node_id, order.chunk_id
        if name in self.away:
            return
        if isinstance(order, Copy):
            if name in self.fails:
                self.planner.copy_done(chunk_id, name, ok=False)
                self.relocations.done(chunk_id, name, False, self.now_ms)
                return
            assert any(chunk_id in self.held[source] for source in order.sources)
            self.held[name][chunk_id] = order.length
            self._beat(name, added=(chunk_id,))
            self.planner.copy_done(chunk_id, name, ok=True)
            return
        before = len(self.live_holders(chunk_id))
        assert before > self.wanted[chunk_id][1], "a replica was deleted that is needed"
        del self.held[name][chunk_id]
        self._beat(name, removed=(chunk_id,))

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick()

    def whole(self) -> bool:
        """Whether every chunk has exactly what it wants."""
        return all(
            len(self.live_holders(chunk_id)) == replication
            for chunk_id, (_, replication) in self.wanted.items()
        )

"""Hundreds of chunkservers in racks and one leader in virtual time, made of the pure parts alone.

The servers do what they are ordered at a limited speed; the simulation knows what is really on the
disks, and holds the leader to what must always be true.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.bounds import COPY_ORDERS_MAX, DELETES_PER_CHUNKSERVER_MAX, SCAN_CHUNKS_MAX
from pydfsnode.fleet.health import Load
from pydfsnode.fleet.placement import Wish, choose_targets
from pydfsnode.fleet.repair import Copy, Delete, RepairPlanner, RepairRates
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import ServerTable

TICK_MS, HEARTBEAT_MS, DEAD_AFTER_MS = 500, 2_000, 10_000
LENGTH = 1 << 20
COPIES_PER_TICK = 4
LOOKS_PER_PLAN = 40 * SCAN_CHUNKS_MAX
"""Questions of a plan about single chunks: some for each of the bounded number it looks at."""


class CountingMap(ReplicaMap):
    """Counts what a plan asks, which is what its time goes into."""

    looks = 0

    def good(self, chunk_id: int) -> list[str]:
        """See ReplicaMap."""
        self.looks += 1
        return super().good(chunk_id)


@dataclass
class Node:
    """A chunkserver. `disk` maps chunks to whether the replica is whole."""

    name: str
    rack: str
    room: int
    disk: dict[int, bool] = field(default_factory=dict)
    up: bool = True
    p99_ms: float = 20.0
    incarnation: int = 1
    report_seq: int = 0
    changes: list[int] = field(default_factory=list)
    is_new: bool = True
    queue: deque[Copy | Delete] = field(default_factory=deque)
    done: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def free_bytes(self) -> int:
        return (self.room - len(self.disk)) * LENGTH

    def put(self, chunk_id: int) -> None:
        self.disk[chunk_id] = True
        self.changes.append(chunk_id)
        assert len(self.disk) <= self.room, f"{self.name} is over-full"

    def drop(self, chunk_id: int) -> None:
        del self.disk[chunk_id]
        self.changes.append(chunk_id)

    def start(self) -> None:
        self.up, self.is_new = True, True
        self.incarnation += 1
        self.report_seq = 0
        self.changes, self.done = [], []
        self.queue.clear()


class Simulation:
    """`wanted` maps chunks to their replication."""

    def __init__(
        self, seed: int, racks: list[str], per_rack: int, room: int = 1000,
        rates: RepairRates | None = None,
    ) -> None:  # fmt: skip
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.nodes = {
            name: Node(name, rack, room)
            for at, rack in enumerate(racks)
            for name in (f"c{at:02}-{n:02}" for n in range(per_rack))
        }
        self.servers = ServerTable(DEAD_AFTER_MS)
        self.replicas = CountingMap()
        self.reports = ReplicaReports(self.replicas)
        self.planner = RepairPlanner(
            self.servers, self.replicas, self.reports, 0, warm_up_ms=3_000, rates=rates
        )
        self.orders: dict[str, list[Copy | Delete]] = {}
        self.wanted: dict[int, int] = {}
        self.hurt: set[int] = set()  # chunks of which a disk lost a replica, or spoiled it
        self.copied = 0
        self.tick_copies: list[int] = []
        self.planner.new_epoch(1)

    # ---- what happens

    def write(self, count: int, replication: int = 3) -> list[list[str]]:
        """New chunks; returns where each went."""
        found = []
        for _ in range(count):
            wish = Wish(replication, bytes_needed=LENGTH)
            try:
                targets = choose_targets(self.servers, wish, self.rng.random)
            except NoChunkservers:
                continue
            written = [name for name in targets if self.nodes[name].up]
            if not written or any(not self.nodes[name].free_bytes for name in targets):
                continue  # nobody there, or a disk that filled up since its heartbeat
            chunk_id = len(self.wanted) + 1
            for name in written:
                self.nodes[name].put(chunk_id)
            self.wanted[chunk_id] = replication
            self.replicas.want(chunk_id, 1, LENGTH, replication, tuple(targets))
            found.append(targets)
        return found

    def may_fail(self, names: list[str]) -> bool:
        """Whether every chunk keeps a good replica on other disks that is not about to be deleted.

        Without this a random walk may destroy all replicas by itself.
        """
        going = set(names)
        doomed = {
            (order.chunk_id, order.node_id)
            for orders in (*self.orders.values(), *(node.queue for node in self.nodes.values()))
            for order in orders
            if isinstance(order, Delete)
        }
        return all(
            any(n not in going and (c, n) not in doomed for n in self.good(c)) for c in self.wanted
        )

    def lose_disk(self) -> None:
        """A server comes back with an empty disk."""
        node = self.rng.choice(list(self.nodes.values()))
        if self.may_fail([node.name]):
            self.hurt.update(node.disk)
            node.disk.clear()
            node.start()

    def corrupt(self) -> None:
        """A replica goes bad; its server finds out, and says so until it is gone."""
        node = self.rng.choice([node for node in self.nodes.values() if node.up and node.disk])
        chunk_id = self.rng.choice(sorted(node.disk))
        if len(self.good(chunk_id)) > 1 and node.disk[chunk_id] and self.may_fail([node.name]):
            node.disk[chunk_id] = False
            self.hurt.add(chunk_id)

    def good(self, chunk_id: int) -> list[str]:
        """Who has a whole replica on disk, up or down."""
        return [name for name, node in self.nodes.items() if node.disk.get(chunk_id)]

    # ---- time

    def run(self, duration_ms: int) -> None:
        """Let time pass."""
        for _ in range(duration_ms // TICK_MS):
            self._tick()

    def heal(self, limit_ms: int = 600_000) -> None:
        """Let time pass until everything is as it should be and nothing is ordered any more."""
        until_ms, quiet_ms = self.now_ms + limit_ms, 0
        while quiet_ms < 6_000 and self.now_ms < until_ms:
            self.run(2_000)
            status = self.planner.status()
            is_busy = status.copies_running or status.deletions_running or status.misplaced
            is_busy = is_busy or status.under_replicated or self._is_anything_expected()
            quiet_ms = 0 if is_busy else quiet_ms + 2_000
        self.check_healed()

    def _is_anything_expected(self) -> bool:
        return any(map(self.replicas.expected, self.wanted))

    def _tick(self) -> None:
        self.now_ms += TICK_MS
        for at, node in enumerate(self.nodes.values()):
            if node.up:
                self._work(node)
                if (self.now_ms // TICK_MS + at) % (HEARTBEAT_MS // TICK_MS) == 0:
                    self._beat(node)
        for name in self.servers.expire(self.now_ms):
            self.replicas.server_dead(name)
        self.servers.review(self.now_ms)
        self.replicas.looks = 0
        planned = self.planner.plan(self.now_ms, lambda _: False, self.rng.random)
        assert self.replicas.looks <= LOOKS_PER_PLAN, self.replicas.looks
        self.tick_copies.append(sum(isinstance(order, Copy) for order in planned))
        for order in planned:
            self.orders.setdefault(order.node_id, []).append(order)

    def _beat(self, node: Node) -> None:
        load = Load(len(node.queue), node.p99_ms / 2, node.p99_ms)
        if self.servers.heartbeat(
            node.name, self.now_ms, f"{node.name}:1", node.rack, len(node.disk) * LENGTH,
            node.free_bytes, len(node.disk), 0, node.incarnation, load,
        ):  # fmt: skip
            self.replicas.server_live(node.name)
        changed = list(dict.fromkeys(node.changes))
        node.changes = []
        node.report_seq += bool(changed)
        added = [(c, 1, LENGTH) for c in changed if c in node.disk]
        removed = [c for c in changed if c not in node.disk]
        corrupt = [c for c, is_whole in node.disk.items() if not is_whole]
        wants_full = self.reports.heartbeat(
            node.name, node.incarnation, node.report_seq, added, removed, corrupt, 1
        )
        if wants_full or node.is_new:
            node.is_new = False
            listing = [(c, 1, LENGTH) for c in node.disk]
            self.reports.full_report_page(
                node.name, node.incarnation, node.report_seq, listing, first=True, last=True
            )
        for chunk_id, ok in node.done:
            self.planner.copy_done(chunk_id, node.name, ok)
        node.done = []
        node.queue.extend(self.orders.pop(node.name, []))
        kinds = Counter(type(order) for order in node.queue)
        assert kinds[Copy] <= COPY_ORDERS_MAX, f"{node.name} has {kinds[Copy]} copies before it"
        assert kinds[Delete] <= DELETES_PER_CHUNKSERVER_MAX

    def _work(self, node: Node) -> None:
        copies = 0
        for _ in range(len(node.queue)):
            order = node.queue.popleft()
            if isinstance(order, Delete):
                self._delete(node, order)
            elif copies < COPIES_PER_TICK:
                copies += 1
                self._copy(node, order)
            else:
                node.queue.append(order)

    def _copy(self, node: Node, order: Copy) -> None:
        sources = [self.nodes[name] for name in order.sources]
        ok = any(source.up and source.disk.get(order.chunk_id) for source in sources)
        ok = ok and node.free_bytes >= LENGTH
        if ok and order.chunk_id not in node.disk:
            node.put(order.chunk_id)
            self.copied += 1
        node.done.append((order.chunk_id, ok))

    def _delete(self, node: Node, order: Delete) -> None:
        if order.chunk_id not in node.disk:
            return
        was_good = node.disk[order.chunk_id]
        node.drop(order.chunk_id)
        left = self.good(order.chunk_id)
        assert left, f"{order} deleted the last good replica at {self.now_ms} ms"
        if was_good and order.chunk_id not in self.hurt:
            assert len(left) >= self.wanted[order.chunk_id], f"{order} left only {left}"

    # ---- how it is

    def check_healed(self) -> None:
        """Every chunk has as many replicas as it wants, each in a rack of its own."""
        for chunk_id, replication in self.wanted.items():
            good = [name for name in self.good(chunk_id) if self.nodes[name].up]
            assert len(good) == replication, f"chunk {chunk_id} is on {good}"
            racks = {self.nodes[name].rack for name in good}
            assert len(racks) == replication, f"chunk {chunk_id} is on {good}"
        status = self.planner.status()
        assert (status.under_replicated, status.missing, status.misplaced) == (0, 0, 0)
        assert (status.copies_running, status.deletions_running) == (0, 0)

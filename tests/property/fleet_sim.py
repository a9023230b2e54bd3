"""Dozens of chunkservers and three masters in virtual time, built of the pure parts alone.

Servers have disks, processes and a queue of orders that takes its time; heartbeats and answers get
lost; leadership moves. The simulation knows what is really on the disks and holds the leader to it.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.placement import Wish, choose_targets
from pydfsnode.fleet.repair import Copy, Delete, RepairPlanner
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import ServerTable

HEARTBEAT_MS, DEAD_AFTER_MS, PAGE = 1000, 10_000, 20
LENGTH = 10
DISK_BYTES = 100_000
Replica = tuple[int, int, int]


@dataclass
class Cursor:
    """What a server has told one master."""

    number: int = 0
    position: int | None = None
    pending: tuple[int, int, int, list[Replica], list[int]] | None = None


@dataclass
class ChunkServer:
    """`disk`: chunk to (version, length, whole); `queue`: (when, epoch, order) not yet done."""

    name: str
    disk: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    up: bool = True
    incarnation: int = 1
    epoch: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)
    cursors: dict[int, Cursor] = field(default_factory=dict)
    queue: deque[tuple[int, int, Copy | Delete]] = field(default_factory=deque)
    done: list[tuple[int, bool]] = field(default_factory=list)
    known_corrupt: set[int] = field(default_factory=set)

    @property
    def free_bytes(self) -> int:
        return DISK_BYTES - LENGTH * len(self.disk)

    def put(self, chunk_id: int, version: int = 1) -> None:
        self.disk[chunk_id] = (version, LENGTH, True)
        self.known_corrupt.discard(chunk_id)
        self.log.append(("+", chunk_id))

    def drop(self, chunk_id: int) -> None:
        del self.disk[chunk_id]
        self.known_corrupt.discard(chunk_id)
        self.log.append(("-", chunk_id))

    def batch(self, master: int) -> tuple[int, int, int, list[Replica], list[int]]:
        """Epoch known, number, position, added, removed: the same until it is acknowledged."""
        cursor = self.cursors.setdefault(master, Cursor())
        if cursor.pending is None:
            position = len(self.log) if cursor.position is None else cursor.position
            changed = dict.fromkeys(chunk_id for _, chunk_id in self.log[position:])
            added = [(c, *self.disk[c][:2]) for c in changed if c in self.disk]
            removed = [c for c in changed if c not in self.disk]
            number = cursor.number + bool(changed)
            cursor.pending = (self.epoch, number, len(self.log), added, removed)
        return cursor.pending

    def restart(self, wiped: bool) -> None:
        self.up = True
        self.incarnation += 1
        self.cursors.clear()
        self.queue.clear()
        self.done.clear()
        if wiped:
            self.disk.clear()
            self.known_corrupt.clear()


class Master:
    """The tables of one master; `epoch` of its last plan as leader."""

    def __init__(self, now_ms: int, warm_up_ms: int) -> None:
        self.servers = ServerTable(DEAD_AFTER_MS)
        self.replicas = ReplicaMap(now_ms)
        self.reports = ReplicaReports(self.replicas)
        self.planner = RepairPlanner(
            self.servers, self.replicas, self.reports, now_ms, warm_up_ms=warm_up_ms
        )
        self.orders: dict[str, list[Copy | Delete]] = {}
        self.led_epoch = -1


class FleetSim:
    """`epoch` belongs to `leader`. `wanted`: chunk to replication, of finished and live chunks."""

    def __init__(self, seed: int, servers: int, masters: int = 3, loss: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.loss = loss
        self.servers = [ChunkServer(f"c{n:02}") for n in range(servers)]
        self.masters = [Master(0, 5000) for _ in range(masters)]
        self.leader, self.epoch = 0, 1
        self.wanted: dict[int, int] = {}
        self.next_chunk = 1
        self.losses = 0
        """Good replicas that a wipe or corruption took."""

    # ---- the truth

    def good_disks(self, chunk_id: int) -> list[ChunkServer]:
        """Servers, up or down, with a whole replica on disk."""
        return [s for s in self.servers if s.disk.get(chunk_id) == (1, LENGTH, True)]

    def doomed(self, chunk_id: int) -> set[str]:
        return {
            server.name
            for server in self.servers
            for _, epoch, order in server.queue
            if isinstance(order, Delete) and order.chunk_id == chunk_id and epoch >= server.epoch
        } | {
            order.node_id
            for master in self.masters
            for orders in master.orders.values()
            for order in orders
            if isinstance(order, Delete) and order.chunk_id == chunk_id
        }

    def may_lose(self, server: ChunkServer, chunk_id: int) -> bool:
        """Whether another good replica, which nobody is about to delete, lies on a disk."""
        doomed = self.doomed(chunk_id)
        return any(
            other is not server and other.name not in doomed for other in self.good_disks(chunk_id)
        )

    # ---- events

    def write(self, replication: int = 3) -> None:
        wish = Wish(replication, bytes_needed=LENGTH)
        try:
            targets = choose_targets(self.masters[self.leader].servers, wish, self.rng.random)
        except NoChunkservers:
            return
        chunk_id = self.next_chunk
        self.next_chunk += 1
        written = [s for s in self.servers if s.name in targets and s.up]
        if not written:
            return
        for server in written:
            server.put(chunk_id)
        self.wanted[chunk_id] = replication
        for master in self.masters:
            master.replicas.want(chunk_id, 1, LENGTH, replication, tuple(targets))

    def forget(self) -> None:
        if self.wanted:
            chunk_id = self.rng.choice(sorted(self.wanted))
            del self.wanted[chunk_id]
            for master in self.masters:
                master.replicas.forget(chunk_id)

    def kill(self) -> None:
        up = [s for s in self.servers if s.up]
        if len(up) > len(self.servers) * 2 // 3:
            self.rng.choice(up).up = False

    def restart(self) -> None:
        down = [s for s in self.servers if not s.up]
        if down:
            self.rng.choice(down).restart(wiped=False)

    def wipe(self) -> None:
        server = self.rng.choice(self.servers)
        mine = [c for c in self.wanted if server.disk.get(c, (0, 0, False))[2]]
        if all(self.may_lose(server, chunk_id) for chunk_id in mine):
            self.losses += len(mine)
            server.restart(wiped=True)

    def corrupt(self) -> None:
        server = self.rng.choice([s for s in self.servers if s.up])
        mine = [c for c in server.disk if c in self.wanted and self.may_lose(server, c)]
        if mine:
            chunk_id = self.rng.choice(mine)
            server.disk[chunk_id] = (1, LENGTH, False)
            server.known_corrupt.add(chunk_id)
            self.losses += 1

    def elect(self) -> None:
        self.leader = self.rng.randrange(len(self.masters))
        self.epoch += 1

    def restart_master(self) -> None:
        """Its tables are empty again; the namespace is not."""
        at = self.rng.randrange(len(self.masters))
        self.masters[at] = master = Master(self.now_ms, 15_000)
        for chunk_id, replication in self.wanted.items():
            master.replicas.want(chunk_id, 1, LENGTH, replication)
        self.elect()

    # ---- time

    def step(self) -> None:
        """A quarter of a second: some heartbeats, orders that come due, plans of the leader."""
        self.now_ms += 250
        for at, server in enumerate(self.servers):
            if server.up:
                self._work(server)
                if (self.now_ms // 250 + at) % (HEARTBEAT_MS // 250) == 0:
                    for number in range(len(self.masters)):
                        self._beat(server, number)
        for master in self.masters:
            for name in master.servers.expire(self.now_ms):
                master.replicas.server_dead(name)
        self._lead(self.masters[self.leader])

    def run(self, ms: int) -> None:
        for _ in range(ms // 250):
            self.step()

    def _lead(self, master: Master) -> None:
        if master.led_epoch != self.epoch:
            master.led_epoch = self.epoch
            master.orders.clear()
            master.planner.new_epoch(self.epoch)
        for order in master.planner.plan(
            self.now_ms, lambda c: c < self.next_chunk and c not in self.wanted, self.rng.random
        ):
            master.orders.setdefault(order.node_id, []).append(order)

    def _beat(self, server: ChunkServer, number: int) -> None:
        master = self.masters[number]
        epoch, seq, position, added, removed = server.batch(number)
        if self.rng.random() < self.loss:
            return  # the request is lost
        if master.servers.heartbeat(
            server.name, self.now_ms, "h:1", "r", 0, server.free_bytes, len(server.disk), 0,
            server.incarnation,
        ):  # fmt: skip
            master.replicas.server_live(server.name)
        wants_full = master.reports.heartbeat(
            server.name, server.incarnation, seq, added, removed, server.known_corrupt, epoch
        )
        for chunk_id, ok in server.done:
            master.planner.copy_done(chunk_id, server.name, ok)
        leads = number == self.leader
        # What was planned in an epoch before this one must not leave under the name of this one.
        is_current = leads and master.led_epoch == self.epoch
        orders = master.orders.pop(server.name, []) if is_current else []
        if self.rng.random() < self.loss:
            return  # the answer is lost, and the orders with it
        cursor = server.cursors[number]
        cursor.pending = None
        cursor.number = seq
        if cursor.position is not None:
            cursor.position = position
        if number == len(self.masters) - 1:
            server.done = []
        if self.epoch > server.epoch and leads:
            server.epoch = self.epoch
        for order in orders:
            due = self.now_ms + self.rng.randrange(4000)
            server.queue.append((due, self.epoch, order))
        if wants_full or cursor.position is None:
            self._report_all(server, number)

    def _report_all(self, server: ChunkServer, number: int) -> None:
        master, cursor = self.masters[number], server.cursors[number]
        listing = [(c, *replica[:2]) for c, replica in server.disk.items()]
        starts = range(0, max(1, len(listing)), PAGE)
        for start in starts:
            if self.rng.random() < self.loss:
                return
            master.reports.full_report_page(
                server.name, server.incarnation, cursor.number, listing[start : start + PAGE],
                first=start == 0, last=start == starts[-1],
            )  # fmt: skip
        cursor.position = len(server.log)
        cursor.pending = None

    def _work(self, server: ChunkServer) -> None:
        for item in [item for item in server.queue if item[0] <= self.now_ms]:
            server.queue.remove(item)
            _, epoch, order = item
            if epoch < server.epoch:
                continue  # fenced
            if isinstance(order, Delete):
                self._delete(server, order)
            else:
                self._copy(server, order)

    def _delete(self, server: ChunkServer, order: Delete) -> None:
        replica = server.disk.get(order.chunk_id)
        if replica is None or replica[0] != order.version:
            return
        server.drop(order.chunk_id)
        if order.chunk_id in self.wanted:
            left = len(self.good_disks(order.chunk_id))
            assert left >= 1, f"{order} deleted the last good replica at {self.now_ms} ms"
            if replica[2] and self.losses == 0:
                assert left >= self.wanted[order.chunk_id], f"{order} left only {left}"

    def _copy(self, server: ChunkServer, order: Copy) -> None:
        sources = [s for s in self.servers if s.name in order.sources and s.up]
        ok = any(s.disk.get(order.chunk_id) == (order.version, order.length, True) for s in sources)
        if ok and order.chunk_id not in server.disk:
            server.put(order.chunk_id, order.version)
        server.done.append((order.chunk_id, ok))

    # ---- the end

    def check_healed(self) -> None:
        """Everything is as wanted on the disks; every master knows, the leader wants nothing."""
        up = [s for s in self.servers if s.up]
        for chunk_id, replication in self.wanted.items():
            good = [s for s in self.good_disks(chunk_id) if s.up]
            assert len(good) == min(replication, len(up)), f"chunk {chunk_id}: {len(good)} replicas"
        for server in up:
            orphans = server.disk.keys() - self.wanted.keys()
            assert not orphans, f"{server.name} keeps {sorted(orphans)}"
        for master in self.masters:
            for server in up:
                assert master.replicas.held_by(server.name).keys() == server.disk.keys()
        leader = self.masters[self.leader]
        assert leader.replicas.missing_count == leader.replicas.under_replicated_count == 0
        assert leader.replicas.surplus(9) == []
        status = leader.planner.status()
        assert (status.copies_running, status.deletions_running) == (0, 0)

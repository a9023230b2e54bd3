"""The chunkservers as this master sees them: the pure tables of `fleet/` fed by RPCs and by time.

Every master keeps the tables, so that a new leader knows locations at once; only the leader orders.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode.errors import ClusterError
from pydfsnode.fleet.placement import choose_targets
from pydfsnode.fleet.repair import Copy, Delete, RepairPlanner
from pydfsnode.fleet.replicas import CORRUPT, ReplicaMap
from pydfsnode.fleet.reports import Replica, ReplicaReports
from pydfsnode.fleet.servers import ServerTable
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver

_log = get_logger("roles.master.fleet")

PLAN_INTERVAL_MS = 500
SWEEP_INTERVAL_MS = 20
"""Between two bounded steps through what a server holds that died or came back."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a chunkserver tells; `copied` are (chunk id, succeeded) of copies that ended.

    `epoch` is the highest that it knew when it collected these changes (INV-FENCE).
    """

    node_id: str
    listen: str
    rack: str
    used_bytes: int
    free_bytes: int
    chunks: int
    streams: int
    incarnation: int
    report_seq: int
    epoch: int
    added: list[Replica]
    removed: list[int]
    corrupt: list[int]
    copied: list[tuple[int, bool]]


@dataclass(frozen=True, slots=True)
class ServerView:
    """One chunkserver for people."""

    node_id: str
    state: str
    chunks: int
    used_bytes: int
    free_bytes: int
    rack: str
    listen: str
    silent_ms: int


class Fleet:
    """See the module.

    Args of the constructor:
        namespace: what the replicas are for; already loaded.
        dead_after_ms: silence after which a chunkserver's replicas do not count.
        pick: random numbers in [0, 1).
    """

    def __init__(
        self,
        namespace: Namespace,
        clock: Clock,
        dead_after_ms: int,
        pick: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        now_ms = clock.monotonic_ms()
        self._namespace = namespace
        self._clock = clock
        self._pick = pick
        self._sleep = sleep
        self._servers = ServerTable(dead_after_ms)
        self._replicas = ReplicaMap(now_ms)
        self._reports = ReplicaReports(self._replicas)
        self._planner = RepairPlanner(self._servers, self._replicas, self._reports, now_ms)
        self._orders: dict[str, deque[Copy | Delete]] = {}
        self._led_term = -1
        for wanted in namespace.iter_wanted():
            self._replicas.want(wanted.chunk_id, wanted.version, wanted.length, wanted.replication)

    # ---- what chunkservers tell

    def heartbeat(self, beat: Heartbeat, led_term: int | None) -> tuple[bool, list[Copy | Delete]]:
        """Take a heartbeat; return whether a full report is wanted, and orders.

        Args:
            led_term: the term that this master leads, None when it does not lead. Orders leave only
                in the term that they were planned in (INV-FENCE).

        Raises:
            Overloaded: too many chunkservers.
        """
        now_ms = self._clock.monotonic_ms()
        is_new = self._servers.heartbeat(
            beat.node_id, now_ms, beat.listen, beat.rack, beat.used_bytes, beat.free_bytes,
            beat.chunks, beat.streams, beat.incarnation,
        )  # fmt: skip
        if is_new:
            _log.info("chunkserver live", chunkserver=beat.node_id, listen=beat.listen)
            self._replicas.server_live(beat.node_id)
        full_wanted = self._reports.heartbeat(
            beat.node_id, beat.incarnation, beat.report_seq, beat.added, beat.removed,
            beat.corrupt, beat.epoch,
        )  # fmt: skip
        for chunk_id, succeeded in beat.copied:
            self._planner.copy_done(chunk_id, beat.node_id, succeeded)
        return full_wanted, self._take_orders(beat.node_id, led_term)

    def full_report(
        self, node_id: str, incarnation: int, report_seq: int, replicas: list[Replica],
        *, first: bool, last: bool,
    ) -> None:  # fmt: skip
        """Take one page of everything that *node_id* holds."""
        self._reports.full_report_page(
            node_id, incarnation, report_seq, replicas, first=first, last=last
        )

    def suspect(self, chunk_id: int, node_id: str, reporter: str) -> None:
        """Stop to count a replica that a reader found corrupt; it is made anew elsewhere."""
        _log.warning("bad replica", chunk_id=chunk_id, chunkserver=node_id, reporter=reporter)
        self._replicas.suspect(chunk_id, node_id, CORRUPT)

    # ---- what the log tells

    def namespace_changed(self) -> None:
        """Take over what applied entries changed; called after each batch."""
        for chunk_id in self._namespace.drain_freed():
            self._replicas.forget(chunk_id)
        for wanted in self._namespace.drain_changed_chunks():
            self._replicas.want(
                wanted.chunk_id, wanted.version, wanted.length, wanted.replication, wanted.targets
            )

    def namespace_replaced(self) -> None:
        """The namespace became another one (a snapshot): want what it wants, forget the rest.

        What chunkservers reported stays. A chunk that is wanted as before costs next to nothing.
        """
        for wanted in self._namespace.iter_wanted():
            as_before = (wanted.version, wanted.length, wanted.replication)
            if self._replicas.wanted(wanted.chunk_id) != as_before:
                self._replicas.want(wanted.chunk_id, *as_before)
        for chunk_id in self._namespace.drain_replaced_chunks():
            if self._namespace.chunk(chunk_id) is None:
                self._replicas.forget(chunk_id)
        self.namespace_changed()

    # ---- questions

    def choose_targets(self, count: int, exclude: list[str], bytes_needed: int) -> tuple[str, ...]:
        """Where a new chunk goes. Raises NoChunkservers."""
        live = self._servers.live()
        return tuple(choose_targets(live, count, exclude, bytes_needed, self._pick))

    def listen_of(self, node_id: str) -> str:
        """Where a chunkserver listens, "" when it was never heard of."""
        return self._servers.listen_of(node_id)

    def readable(self, chunk_id: int) -> list[str]:
        """Who can be asked for a chunk, the surest first."""
        return self._replicas.locations(chunk_id)

    def holds(self, chunk_id: int, node_id: str) -> bool:
        """Whether *node_id* reported a replica of the chunk."""
        return self._replicas.replica(node_id, chunk_id) is not None

    def chunkservers(self) -> list[ServerView]:
        """Every chunkserver heard of since this master started."""
        now_ms = self._clock.monotonic_ms()
        return [
            ServerView(
                s.node_id, s.state, s.chunks, s.used_bytes, s.free_bytes, s.rack, s.listen,
                now_ms - s.heard_ms,
            )
            for s in self._servers.all()
        ]  # fmt: skip

    @property
    def live_count(self) -> int:
        """Chunkservers heard of lately."""
        return len(self._servers.live())

    @property
    def dead_count(self) -> int:
        """Chunkservers silent for too long."""
        return len(self._servers.all()) - self.live_count

    @property
    def under_replicated(self) -> int:
        """Chunks with too few replicas, but at least one."""
        return self._replicas.under_replicated_count

    @property
    def missing(self) -> int:
        """Chunks without any live replica."""
        return self._replicas.missing_count

    @property
    def warming_up(self) -> bool:
        """Whether this master started so lately that not all chunkservers may have reported."""
        return self._planner.status().warming_up

    @property
    def repairs_running(self) -> int:
        """Copies ordered and not yet reported."""
        return self._planner.status().copies_running

    # ---- time

    async def run(self, driver: RaftDriver) -> None:
        """Do `step` every PLAN_INTERVAL_MS; runs until cancelled."""
        while True:
            await self._catch_up(PLAN_INTERVAL_MS)
            await self.step(driver)

    async def _catch_up(self, duration_ms: int) -> None:
        """Return after that time; meanwhile go through what died or came back, step by step.

        At one step a plan the queues would lag for half a minute behind the death of a server that
        held half a million chunks.
        """
        until_ms = self._clock.monotonic_ms() + duration_ms
        while (left_ms := until_ms - self._clock.monotonic_ms()) > 0:
            is_behind = self._replicas.is_behind
            pause_ms = min(SWEEP_INTERVAL_MS, left_ms) if is_behind else left_ms
            await self._sleep(pause_ms / 1000)
            if is_behind:
                self._replicas.tick(self._clock.monotonic_ms())

    async def step(self, driver: RaftDriver) -> None:
        """Expire the silent; as leader, order what is needed now."""
        now_ms = self._clock.monotonic_ms()
        self._replicas.tick(now_ms)
        for node_id in self._servers.expire(now_ms):
            _log.warning("chunkserver silent", chunkserver=node_id)
            self._replicas.server_dead(node_id)
        if driver.is_leader:
            await self._lead(driver)

    async def _lead(self, driver: RaftDriver) -> None:
        try:
            await driver.read_barrier()  # the namespace must be at least as new as this epoch
        except ClusterError:
            return
        if driver.term != self._led_term:
            self._led_term = driver.term
            self._orders.clear()
            self._planner.new_epoch(driver.term)
        orders = self._planner.plan(
            self._clock.monotonic_ms(), self._namespace.is_garbage, self._pick
        )
        for order in orders:
            self._orders.setdefault(order.node_id, deque()).append(order)

    def _take_orders(self, node_id: str, led_term: int | None) -> list[Copy | Delete]:
        queue = self._orders.get(node_id)
        if not queue or led_term is None or led_term != self._led_term:
            return []
        count = min(len(queue), limits.COMMANDS_PER_HEARTBEAT_MAX)
        taken = [queue.popleft() for _ in range(count)]
        for order in taken:
            kind = "replicate" if isinstance(order, Copy) else "delete"
            metrics().counter("fleet_commands_total", kind).inc()
        return taken

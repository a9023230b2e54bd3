"""The chunkservers as this master sees them: the pure tables of `fleet/` fed by RPCs and by time.

Every master keeps the tables, so that a new leader knows locations at once; only the leader orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pydfsnode.errors import ClusterError
from pydfsnode.fleet.fsck import Examiner
from pydfsnode.fleet.health import Load
from pydfsnode.fleet.order_queues import Order, OrderQueues
from pydfsnode.fleet.placement import Wish, choose_targets
from pydfsnode.fleet.repair import Copy, RepairPlanner, RepairRates
from pydfsnode.fleet.replicas import CORRUPT, ReplicaMap
from pydfsnode.fleet.reports import Replica, ReplicaReports
from pydfsnode.fleet.servers import DEAD, DECOMMISSIONED, Server, ServerTable
from pydfsnode.fleet.topology import rack_path
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.fleet_operations import FleetOperations
from pydfsnode.roles.master.known_chunkservers import KnownChunkservers, KnownServer
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver

_log = get_logger("roles.master.fleet")

PLAN_INTERVAL_MS = 500
SWEEP_INTERVAL_MS = 20
"""Between two bounded steps through what a server holds that died or came back."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a chunkserver tells; `copied` are (chunk id, succeeded) of copies that ended.

    `epoch` is the highest that it knew when it collected these changes (INV-FENCE). `orders_seq` is
    the number of the last answer that it took orders from. `load` and `orders_seq` are None from
    those that are too old to tell.
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
    load: Load | None = None
    orders_seq: int | None = None


class Answer(NamedTuple):
    """To a heartbeat: whether a full report is wanted, orders, and the number of this answer."""

    full_wanted: bool
    orders: list[Order]
    orders_seq: int


@dataclass(frozen=True, slots=True)
class ServerView:
    """One chunkserver for people; `health` from 0 to 1, `condition` as in `fleet.health`."""

    node_id: str
    state: str
    chunks: int
    used_bytes: int
    free_bytes: int
    rack: str
    listen: str
    silent_ms: int
    health: float
    condition: str
    reasons: tuple[str, ...]
    streams: int
    load: Load
    admin_state: str


class Fleet:
    """See the module.

    Args of the constructor:
        namespace: what the replicas are for; already loaded.
        dead_after_ms: silence after which a chunkserver's replicas do not count.
        pick: random numbers in [0, 1).
        rates: how fast repair may be.
        known: the chunkservers of before the start; None: none, and nothing is kept.
    """

    def __init__(
        self,
        namespace: Namespace,
        clock: Clock,
        dead_after_ms: int,
        pick: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rates: RepairRates | None = None,
        known: KnownChunkservers | None = None,
    ) -> None:
        now_ms = clock.monotonic_ms()
        self._namespace = namespace
        self._clock = clock
        self._pick = pick
        self._sleep = sleep
        self._servers = ServerTable(dead_after_ms)
        self._replicas = ReplicaMap(now_ms)
        self._reports = ReplicaReports(self._replicas)
        self._planner = RepairPlanner(
            self._servers, self._replicas, self._reports, now_ms, warm_up_ms=0, rates=rates
        )
        self.operations = FleetOperations(
            namespace, self._servers, self._replicas, self._reports, self._planner, now_ms
        )
        """What operators order; also says when repair may begin."""
        self._orders = OrderQueues()
        self._led_term = -1
        self._known = known
        self._known_changed = False
        self._awaited = () if known is None else known.all()
        self._missed_at_ms = now_ms + dead_after_ms
        for wanted in namespace.iter_wanted():
            self._replicas.want(wanted.chunk_id, wanted.version, wanted.length, wanted.replication)

    # ---- what chunkservers tell

    def heartbeat(self, beat: Heartbeat, led_term: int | None) -> Answer:
        """Take a heartbeat; return what to answer.

        Args:
            led_term: the term that this master leads, None when it does not lead. Orders leave only
                in the term that they were planned in (INV-FENCE).

        Raises:
            Overloaded: too many chunkservers.
        """
        now_ms = self._clock.monotonic_ms()
        before = self._servers.get(beat.node_id)
        if before is not None and before.incarnation != beat.incarnation:
            self._void_orders(beat.node_id)
        is_new = self._servers.heartbeat(
            beat.node_id, now_ms, beat.listen, beat.rack, beat.used_bytes, beat.free_bytes,
            beat.chunks, beat.streams, beat.incarnation, beat.load,
        )  # fmt: skip
        if is_new:
            _log.info("chunkserver live", chunkserver=beat.node_id, listen=beat.listen)
            self._known_changed = True
            self._replicas.server_live(beat.node_id)
            self.operations.heard(beat.node_id)
        self._note_trouble(beat, now_ms)
        full_wanted = self._reports.heartbeat(
            beat.node_id, beat.incarnation, beat.report_seq, beat.added, beat.removed,
            beat.corrupt, beat.epoch,
        )  # fmt: skip
        for chunk_id, succeeded in beat.copied:
            self._planner.copy_done(chunk_id, beat.node_id, succeeded)
            self.operations.copy_done(chunk_id, beat.node_id, succeeded, now_ms)
        lost = self._orders.lost(beat.node_id, beat.orders_seq)
        if lost:
            _log.info("orders lost with an answer", chunkserver=beat.node_id, orders=len(lost))
            self._lost(lost)
        return Answer(full_wanted, *self._take_orders(beat, led_term))

    def _lost(self, orders: Iterable[Order]) -> None:
        """Nobody was told of these: whether they are still right is decided by the next plan."""
        for order in orders:
            self._planner.lost(order)
            self.operations.lost(order)

    def _void_orders(self, node_id: str) -> None:
        """It is another process, which knows none of them, or silent: nobody waits any more.

        Who comes back gets none that was decided on before: what it rests on may be gone.
        """
        self._orders.drop(node_id)
        self._planner.restarted(node_id)
        self.operations.restarted(node_id)

    def _note_trouble(self, beat: Heartbeat, now_ms: int) -> None:
        """For the server's health; corrupt replicas are named again until they are gone."""
        node_id = beat.node_id
        news = [c for c in beat.corrupt if not self._replicas.is_corrupt(c, node_id)]
        self._servers.note(node_id, "corrupt", now_ms, len(news))
        failed = sum(not succeeded for _, succeeded in beat.copied)
        self._servers.note(node_id, "copy", now_ms, failed)

    def write_failed(self, node_ids: Iterable[str]) -> None:
        """A writer says that it could not write to these."""
        for node_id in node_ids:
            self._servers.write_failed(node_id, self._clock.monotonic_ms())

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
        if not self._replicas.is_corrupt(chunk_id, node_id):
            self._servers.note(node_id, "corrupt", self._clock.monotonic_ms())
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

    def orders_changed(self) -> None:
        """An operator's order was applied: take it over at once."""
        self.operations.observe(self._clock.monotonic_ms(), self._clock.wall_ms())
        self._known_changed = True

    # ---- questions

    def choose_targets(
        self, count: int, exclude: list[str], bytes_needed: int, host: str = ""
    ) -> tuple[str, ...]:
        """Where a new chunk of a writer on *host* goes. Raises NoChunkservers."""
        wish = Wish(count, frozenset(exclude), bytes_needed, host=host)
        return tuple(choose_targets(self._servers, wish, self._pick))

    def listen_of(self, node_id: str) -> str:
        """Where a chunkserver listens, "" when it was never heard of."""
        return self._servers.listen_of(node_id)

    def readable(self, chunk_id: int) -> list[str]:
        """Who can be asked for a chunk, first who does well and has little to do."""
        return self._servers.for_readers(self._replicas.locations(chunk_id), chunk_id)

    def rack_of(self, node_id: str) -> str:
        """The rack of a chunkserver as a path."""
        return rack_path(self._servers.place_of(node_id))

    def holds(self, chunk_id: int, node_id: str) -> bool:
        """Whether *node_id* reported a replica of the chunk."""
        return self._replicas.replica(node_id, chunk_id) is not None

    def examiner(self) -> Examiner:
        """For a look at some chunks as they stand now."""
        return Examiner(self._servers, self._replicas)

    def chunkservers(self) -> list[ServerView]:
        """Every chunkserver heard of since this master started, or before and not since."""
        now_ms = self._clock.monotonic_ms()
        return [
            ServerView(
                s.node_id, s.state, s.chunks, s.used_bytes, s.free_bytes, rack_path(s.place),
                s.listen, now_ms - s.heard_ms, s.health.score, s.health.condition,
                s.health.reasons, s.streams, s.health.load, s.admin_state,
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
        return self.operations.in_start_safe_mode

    @property
    def deletions_running(self) -> int:
        """Deletions ordered and not yet reported."""
        return self._planner.status().deletions_running

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
            is_behind, is_walking = self._replicas.is_behind, self.operations.is_walking
            pause_ms = min(SWEEP_INTERVAL_MS, left_ms) if is_behind or is_walking else left_ms
            await self._sleep(pause_ms / 1000)
            if is_behind:
                self._replicas.tick(self._clock.monotonic_ms())
            if is_walking:
                self.operations.step()

    async def step(self, driver: RaftDriver) -> None:
        """Expire the silent; as leader, order what is needed now."""
        now_ms = self._clock.monotonic_ms()
        self._replicas.tick(now_ms)
        for node_id in self._servers.expire(now_ms):
            _log.warning("chunkserver silent", chunkserver=node_id)
            self._known_changed = True
            self._replicas.server_dead(node_id)
            self._void_orders(node_id)
        self._miss_awaited(now_ms)
        for node_id, condition in self._servers.review(now_ms):
            _log.info("chunkserver health", chunkserver=node_id, condition=condition)
        self.operations.observe(now_ms, self._clock.wall_ms())
        await self._keep_known()
        if driver.is_leader:
            await self._lead(driver)

    def _miss_awaited(self, now_ms: int) -> None:
        """Who was known before the start, and was silent since for as long as it takes, is dead."""
        if not self._awaited or now_ms < self._missed_at_ms:
            return
        since_ms = now_ms - self._servers.dead_after_ms
        for node_id, listen, rack in self._awaited:
            if self._servers.remember(node_id, since_ms, listen, rack):
                _log.warning("chunkserver silent since the start", chunkserver=node_id)
        self._awaited = ()
        self._known_changed = True

    async def _keep_known(self) -> None:
        """Remember over the next restart who is here, but nobody who left for good."""
        if self._known is None or not self._known_changed:
            return
        self._known_changed = False
        here = [KnownServer(s.node_id, s.listen, s.rack) for s in self._servers.all() if _stays(s)]
        if self._known.set([*self._awaited, *here]):
            await asyncio.to_thread(self._known.save)

    async def _lead(self, driver: RaftDriver) -> None:
        try:
            await driver.read_barrier()  # the namespace must be at least as new as this epoch
        except ClusterError:
            return
        if driver.term != self._led_term:
            self._led_term = driver.term
            self._orders.clear()
            self._planner.new_epoch(driver.term)
            self.operations.new_epoch()
        if not self.operations.may_order:
            self._lost(self._orders.withdraw())
            return
        now_ms = self._clock.monotonic_ms()
        orders = [
            *self.operations.plan(now_ms, self._pick),
            *self._planner.plan(now_ms, self._namespace.is_garbage, self._pick),
        ]
        for order in orders:
            self._orders.add(order)

    def _take_orders(self, beat: Heartbeat, led_term: int | None) -> tuple[list[Order], int]:
        if led_term is None or led_term != self._led_term:
            return [], 0
        taken, number = self._orders.take(beat.node_id, beat.orders_seq)
        for order in taken:
            kind = "replicate" if isinstance(order, Copy) else "delete"
            metrics().counter("fleet_commands_total", kind).inc()
        return taken, number


def _stays(server: Server) -> bool:
    """Whether a chunkserver is missed when it is away: not one that left for good."""
    return server.state != DEAD or server.admin_state != DECOMMISSIONED

"""One simulated master: a disk that stays, and processes that come and go on it.

A process is the real driver, core, log, namespace and snapshot transfer on a simulated loop, disk
and network. It can die between any two of its effects.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydfsnode.errors import CorruptionError, DurabilityFailure, SealBroken, StorageError
from pydfsnode.meta.inline import TABLE_INLINE, inline_key
from pydfsnode.meta.ops.add_chunk_key import KEY_BYTES
from pydfsnode.meta.rows import TABLES
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.configuration import member_id
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.messages import Message, decode_message
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.lease_recovery import LeaseRecovery, no_chunkservers
from pydfsnode.roles.master.machine import NamespaceMachine, load_namespace
from pydfsnode.roles.master.upkeep import Upkeep
from pydfsnode.runtime.ports import Row
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.snapshot_receive import SnapshotReceiver
from pydfsnode.runtime.snapshot_send import SendingParts, SnapshotTransfers
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore
from tests.support.sim import streams
from tests.support.sim.calls import contents, is_content
from tests.support.sim.disk import FastSealer, SimDisk, SimExecutor, SimKv, SimMark
from tests.support.sim.loop import NodeLoop
from tests.support.sim.monitor import HASH_EVERY, Violation
from tests.support.sim.network import SimTransport

if TYPE_CHECKING:
    from tests.support.sim.simulation import Simulation

CLUSTER = "c0ffee0123456789"
UPKEEP_CLIENT = 1 << 60
"""Sessions of leaders are above those of clients."""
TRASH_KEEP_MS = 60_000


class ObservedLog:
    """A `RaftLog` that tells the monitor what became durable."""

    def __init__(self, inner: RaftLog, process: Process) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(
        self, persist: Any, rows: Sequence[Row], sync: bool, *more: Any, **named: Any
    ) -> None:
        """See `RaftLog.write`."""
        process = self._process
        batches = process.kv.batches_written
        self._inner.write(persist, rows, sync, *more, **named)
        written = process.kv.batches_written > batches
        if persist is not None and (sync or persist.install is not None) and written:
            process.monitor.written(process.member, persist)


class ObservedMachine(NamespaceMachine):
    """The master's machine; the monitor sees what goes in and comes out."""

    def __init__(self, namespace: Namespace, process: Process) -> None:
        super().__init__(namespace, lambda: None, process.require_contents, process.log)
        self._process = process

    def apply(self, first_index: int, entries: Sequence[bytes]) -> list[object]:
        """See `NamespaceMachine.apply`; whole states are compared every `HASH_EVERY` entries."""
        process = self._process
        monitor, member = process.monitor, process.member
        if process.boundary():
            return super().apply(first_index, entries)
        process.look()
        monitor.applies(member, first_index, entries)
        outcomes: list[object] = []
        done = 0
        while done < len(entries):
            index = first_index + done
            stop = min(len(entries), done + HASH_EVERY - (index - 1) % HASH_EVERY)
            outcomes += super().apply(index, entries[done:stop])
            done = stop
            if self.applied_index % HASH_EVERY == 0:
                monitor.state(member, self.applied_index, self.namespace.state_hash())
                process.require_contents()
        monitor.applied(member, first_index, entries, outcomes)
        return outcomes


class Process:
    """A master that runs. Raises what opening its disk raises."""

    def __init__(self, node: SimNode) -> None:
        sim = node.sim
        self.node = node
        self.sim = sim
        self.monitor = sim.monitor
        self.name = node.name
        self.member = node.member
        self.dead = False
        self.boundaries_left = 0
        self.waiting: dict[Any, float] = {}
        self.ends: list[streams.StreamEnd] = []
        self.loop = NodeLoop(sim.scheduler, node.offset_s, node.rate, self._after_event)
        self.loop.wall_offset_ms = node.wall_offset_ms
        self.kv = SimKv(node.disk, self.boundary)
        self.executor = SimExecutor(sim.scheduler, self.loop, node.fsync_s, self.boundary)
        self._rng = random.Random(f"{sim.plan.seed}/core/{node.member}/{node.starts}")
        self.log = self._open_log()
        self.namespace = load_namespace(self.log.load_rows(TABLES))
        self.core = RaftCore(
            self.member, (), self.log.start, self.log.hard_state, sim.plan.timing,
            self._rng.random, self.loop.monotonic_ms(), self.namespace.applied_index,
        )  # fmt: skip
        self._seen = (self.core.term, "follower", self.core.commit_index)
        self._seen_applied = self.namespace.applied_index
        self.machine = ObservedMachine(self.namespace, self)
        self.require_contents()
        self.loop.call_in(self._begin)

    def _open_log(self) -> RaftLog:
        """The log as the disk holds it; the monitor knows what must be there."""
        node = self.node
        store = SealedStore(self.kv, FastSealer(), CLUSTER, node.name)
        mark: Any = SimMark(node.disk, self.kv)
        log = RaftLog.open(store, mark, lambda: node.incarnation)
        self.monitor.require(
            member_id(node.name, log.incarnation) == node.member,
            f"{node.member}: opened a disk of incarnation {log.incarnation:08x} (E6)",
        )
        start = log.start
        entries: list[bytes] = []
        while start.first_index + len(entries) <= start.last_index:
            entries += log.read(start.first_index + len(entries), start.last_index, 1 << 20)
        self.monitor.reopened(self.member, start.first_index, entries, log.hard_state)
        return log

    def _begin(self) -> None:
        """As `roles.master.role` wires it."""
        sim, plan = self.sim, self.sim.plan
        self.supervisor = Supervisor()
        transfers = SnapshotTransfers(
            SendingParts(
                self.log.open_view, streams.SimDial(self), self.loop, plan.snapshot_bytes_per_s,
                self._rng.random, stopwatch_s=lambda: 0.0,
            ),
            self.supervisor,
        )  # fmt: skip
        self.driver = RaftDriver(
            self.core,
            ObservedLog(self.log, self),
            self.machine,
            SimTransport(sim.network, self.name, self._leaving),
            self.loop,
            self.supervisor,
            sim.addresses,
            tick_ms=plan.tick_ms,
            executor=self.executor,
            election_timeout_ms=plan.timing.election_timeout_ms,
            snapshots=transfers,
            load_state=lambda: self.machine.load(self.log.load_rows(TABLES)),
            compaction=plan.compaction,
            stopwatch_s=lambda: 0.0,
        )
        transfers.bind(self.driver)
        self.receiver = SnapshotReceiver(self.driver, self.log.stage)
        self.driver.on_configuration(lambda now: sim.configured(self.member, now))
        consensus = Consensus(
            self.driver, self.namespace, self.loop, read_inline=self.machine.read_inline
        )
        self.upkeep = Upkeep(
            consensus, self.namespace, self.loop, self.supervisor, trash_keep_ms=TRASH_KEEP_MS,
            new_client_id=lambda: UPKEEP_CLIENT | self._rng.getrandbits(60),
            new_key=lambda: self._rng.randbytes(KEY_BYTES),
            recover=LeaseRecovery(
                consensus, lambda _: "", no_chunkservers,
                lambda: UPKEEP_CLIENT | self._rng.getrandbits(60),
            ).finish,
        )  # fmt: skip
        self.loop.spawn(self._take_part())

    async def _take_part(self) -> None:
        await self.driver.start()
        self.upkeep.start()
        core, sim = self.core, self.sim
        if not core.configuration.members and self.member in sim.first_configuration.voters:
            self.driver.bootstrap(sim.first_configuration)

    # ---- effects

    def boundary(self) -> bool:
        """Between two effects: here it may die. Whether it is dead."""
        if self.boundaries_left and not self.dead:
            self.boundaries_left -= 1
            if not self.boundaries_left:
                self.node.crash(self.sim.nemesis_rng.random() < 0.5)
        return self.dead

    def _leaving(self, to: str, message: Message) -> bool:
        if self.boundary():
            return True
        self.look()  # what is committed is known before anybody is told
        self.monitor.leaving(self.member, to, message)
        return False

    def receive(self, data: bytes) -> None:
        """A message of another master arrived."""
        self.driver.receive(decode_message(data))

    def serve_snapshot(self, header: bytes, caller: str, stream: streams.StreamEnd) -> None:
        """A stream of another master arrived."""
        self.loop.spawn(streams.serve(self, header, caller, stream))

    # ---- looking

    def require_contents(self) -> None:
        """The content of every small file is here, and is the one that the namespace describes."""
        disk, total_bytes = self.node.disk, 0
        if disk.damaged or disk.read_failure is not None:
            return
        for content_id, length, crc in contents(self.namespace):
            total_bytes += length
            self.monitor.require(
                is_content(self.machine.read_inline(content_id), length, crc),
                f"{self.member}: content {content_id} is another one (INV-DUR)",
            )
        self.monitor.require(
            total_bytes == self.namespace.tree.inline.total_bytes,
            f"{self.member}: counts another sum of contents than {total_bytes} bytes",
        )

    def require_no_strays(self) -> None:
        """The disk holds no content that nobody needs; at the end, when no write is under way."""
        if self.node.disk.damaged:
            return
        held = {key for _, key, _ in self.log.load_rows((TABLE_INLINE,))}
        for table, key, value in self.machine.drain_rows():
            if table == TABLE_INLINE:
                (held.discard if value is None else held.add)(key)
        needed = {inline_key(content_id) for content_id, _, _ in contents(self.namespace)}
        self.monitor.require(held == needed, f"{self.member}: keeps {held - needed} for nobody")

    def majorities(self) -> list[tuple[str, ...]]:
        """The sets of members of which each must have a majority for a commit."""
        now = self.core.configuration
        return [half for half in (now.voters, now.outgoing) if half]

    def look(self) -> None:
        """Check what changed in the core since the last look."""
        core = self.core
        term, role, commit = core.term, core.role, core.commit_index
        seen_term, seen_role, seen_commit = self._seen
        if (term, role, commit) == self._seen:
            return
        self._seen = (term, role, commit)
        monitor = self.monitor
        monitor.require(term >= seen_term, f"{self.member}: the term went back")
        monitor.require(commit >= seen_commit, f"{self.member}: the commit index went back")
        if role == "leader" and (seen_role != "leader" or term != seen_term):
            monitor.leads(self, term)
        if commit > seen_commit:
            monitor.commits(self, seen_commit + 1, commit)

    def _after_event(self) -> None:
        if self.dead:
            return
        self.look()
        applied = self.machine.applied_index
        if applied < self._seen_applied:
            raise Violation(f"{self.member}: the applied index went back")
        self._seen_applied = applied
        if self.loop.failures:
            raise Violation(f"{self.member}: {self.loop.failures[0]}")
        failure = self.supervisor.failure
        if failure is not None:
            self.node.failed(failure)


class SimNode:
    """A place for a master: name, disk and clock; at most one process at a time."""

    def __init__(self, sim: Simulation, name: str) -> None:
        plan = sim.plan
        self.sim = sim
        self.name = name
        self.process: Process | None = None
        self.starts = 0
        self._disks = 0
        self._rng = random.Random(f"{plan.seed}/node/{name}")
        self.offset_s = self._rng.uniform(0, 1e5)
        self.rate = 1 + self._rng.uniform(-plan.drift, plan.drift)
        self.wall_offset_ms = int(self._rng.uniform(-1, 1) * plan.wall_offset_ms)
        self.new_disk()

    def new_disk(self) -> None:
        """An empty disk, and with it another member."""
        self._disks += 1
        self.disk = SimDisk()
        self.refused = ""
        self.incarnation = (
            zlib.crc32(f"{self.sim.plan.seed}/{self.name}/{self._disks}".encode()) | 1
        )
        self.member = member_id(self.name, self.incarnation)

    def fsync_s(self) -> float:
        """How long the next synced write takes."""
        shortest, longest = self.sim.fsync_s
        return self._rng.uniform(shortest, longest)

    def start(self) -> bool:
        """Start a process; False when its disk cannot be trusted any more, for good."""
        assert self.process is None
        if self.refused:
            return False
        self.starts += 1
        self.disk.write_failure = self.disk.read_failure = None
        try:
            self.process = Process(self)
        except (CorruptionError, SealBroken) as error:
            if not self.disk.damaged:
                raise Violation(f"{self.member}: refused an undamaged disk: {error}") from error
            self.refused = str(error)
            self.sim.counts["refused_disks"] += 1
            return False
        return True

    def crash(self, power: bool) -> None:
        """The process dies at once; with *power* what was not synced may be lost."""
        process = self.process
        assert process is not None
        self.process = None
        process.executor.finish_some(self._rng.randrange(len(process.executor.jobs) + 1))
        self._bury(process)
        if power:
            self.disk.lose_power(self._rng)

    def failed(self, failure: BaseException) -> None:
        """The process stopped itself: only a fault of its disk is a reason to (INV-STOP)."""
        process = self.process
        assert process is not None
        if isinstance(failure, Violation):
            raise failure
        disk = self.disk
        expected = disk.write_failure or disk.read_failure or disk.damaged
        if not expected or not isinstance(failure, StorageError | SealBroken | DurabilityFailure):
            raise Violation(f"{self.member}: stopped by itself: {failure!r}") from failure
        self.process = None
        self._bury(process)

    def _bury(self, process: Process) -> None:
        process.dead = process.loop.dead = True
        self.sim.ended(process)
        for end in process.ends:
            end.broken("the peer died")
        self.sim.crashed(self)

    def deliver(self, member: str, data: bytes) -> None:
        """A message arrived; nobody may be there, or another than it is for."""
        process = self.process
        if process is not None and process.member == member:
            process.loop.call_in(process.receive, data)

"""The turn of a Raft node: drains every queued event into the core, then does its `Effects`.

One turn handles all that arrived since the last, so a group is as large as the load makes it and a
lone proposal waits for nothing. Nothing that promises leaves before its io id is durable (INV-DUR).
Any failure here or of the log stops the node (INV-STOP).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, cast

from pydfsnode import limits
from pydfsnode.errors import (
    InvariantViolation,
    NotLeader,
    Overloaded,
    ProtocolError,
    PydfsError,
    Unavailable,
    invariant,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects
from pydfsnode.raft.messages import Message, Promise, StateDigest
from pydfsnode.runtime.answers import refuse
from pydfsnode.runtime.applier import Applier
from pydfsnode.runtime.clock import Clock, stopwatch_s
from pydfsnode.runtime.compaction import Compaction, CompactionPolicy
from pydfsnode.runtime.group_commit import GroupCommit
from pydfsnode.runtime.installation import Installations
from pydfsnode.runtime.log_upkeep import LogUpkeep
from pydfsnode.runtime.member_changes import MemberChanges
from pydfsnode.runtime.ports import (
    FsyncMode,
    LogStorage,
    Row,
    SerialExecutor,
    SnapshotSender,
    StateMachine,
    Transport,
)
from pydfsnode.runtime.proposals import Proposals
from pydfsnode.runtime.raft_metrics import RaftMetrics
from pydfsnode.runtime.raft_status import FSYNC_WARNINGS
from pydfsnode.runtime.reads import ReadBarriers
from pydfsnode.runtime.serial_thread import SerialThread
from pydfsnode.runtime.state_digests import StateDigests
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.runtime.ticker import Ticker

ROWS_IDLE_MS = 100
"""How often rows that found no group to ride in are looked for; they wait at most twice this."""
ROWS_EVERY_ENTRIES = 4096
"""Entries applied before their rows are written: what changed several times is written once."""
ROWS_WAITING_ENTRIES_MAX = 16_384  # limits.py candidate
"""Entries applied whose rows are not handed to the log yet; applying pauses beyond it."""

_log = get_logger("runtime.raft_driver")

RoleCallback = Callable[[str, int], None]
"""(role, term)"""
ConfigurationCallback = Callable[[Configuration], None]


class RaftTurn:
    """What `RaftDriver` is built on: everything between an event and its effects.

    Args of the constructor:
        addresses: node name -> "host:port", for leader hints where the configuration has none.
        election_timeout_ms: as the core's.
        snapshots: sends the state to members that need it; None where nothing is compacted.
        load_state: reads the state table into what `machine.replace` takes; on the storage thread.
        stopwatch_s: seconds of a fine clock, to measure work.
        tick_ms: how often the core sees the clock.
        fsync: `always` is the safe one; see `RaftStatus.fsync_warning`.
        executor: where the log is written; a thread of its own when None.
    """

    def __init__(
        self,
        core: RaftCore,
        log: LogStorage,
        machine: StateMachine,
        transport: Transport,
        clock: Clock,
        supervisor: Supervisor,
        addresses: Mapping[str, str],
        *,
        tick_ms: int = 20,
        fsync: FsyncMode = "always",
        fsync_interval_ms: int = 50,
        executor: SerialExecutor | None = None,
        election_timeout_ms: int = 500,
        snapshots: SnapshotSender | None = None,
        load_state: Callable[[], object] | None = None,
        compaction: CompactionPolicy | None = None,
        stopwatch_s: Callable[[], float] = stopwatch_s,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = core
        self._machine = machine
        self._transport = transport
        self._clock = clock
        self._supervisor = supervisor
        self._addresses = addresses
        self._fsync: FsyncMode = fsync
        self._executor = executor or SerialThread(f"log-{core.node_id}")
        self._metrics = RaftMetrics()
        self._commits = GroupCommit(
            log,
            self._executor,
            fsync,
            self._drain_rows,
            self._on_durable,
            self._on_write_failure,
            self._metrics,
            stopwatch_s,
        )
        self._snapshots = snapshots
        self._load_state = load_state
        self._compaction = Compaction(compaction or CompactionPolicy())
        self._upkeep = LogUpkeep(core, log, self._compaction, self._run_job)
        self._installations = Installations()
        self._changes = MemberChanges(core, election_timeout_ms)
        self._digests = StateDigests(core.node_id)
        self._submitted_io = 0
        self._configuration_callbacks: list[ConfigurationCallback] = []
        self.snapshots_installed = 0
        self._applier = Applier(core, machine, self._on_applied, stopwatch_s)
        self._proposals = Proposals(self._loop, stopwatch_s)
        self._reads = ReadBarriers(self._loop)
        self._inbox: list[Message] = []
        self._unsent: deque[tuple[int, str, Promise]] = deque()
        self._durable_io = 0
        self._reported_io = 0
        self._tick_due = False
        self._turn_due = False
        self._context = Context()  # a turn is not part of the request that woke it
        self._alarm: asyncio.TimerHandle | None = None
        self._running = False
        self._role = (core.role, core.term)
        self._role_callbacks: list[RoleCallback] = []
        self._rows_index = machine.applied_index
        self._groups_seen = 0
        self._tickers = [Ticker(tick_ms, self.tick), Ticker(ROWS_IDLE_MS, self._on_idle_tick)]
        if fsync == "batch":
            self._tickers.append(Ticker(fsync_interval_ms, self._commits.sync))

    # ---- life

    async def start(self) -> None:
        """Begin to tick and take part; call once."""
        self._running = True
        for ticker in self._tickers:
            ticker.start()
        if self._fsync != "always":
            _log.warning("fsync is not 'always'", warning=FSYNC_WARNINGS[self._fsync])
        self._wake()

    async def stop(self) -> None:
        """Take part no longer, write what waits, end the thread; may be called after a failure."""
        self._end(Unavailable("this master is stopping: ask another one"))
        if not self._installations.under_way:
            self._mark_rows()
        await self._commits.finish()
        await self._executor.stop()

    def _end(self, error: PydfsError) -> None:
        self._running = False
        for ticker in self._tickers:
            ticker.stop()
        if self._alarm is not None:
            self._alarm.cancel()
        self._inbox.clear()
        self._unsent.clear()
        self._proposals.fail_all(error)
        self._reads.fail_all(error)
        self._changes.fail_all(error)
        self._installations.cancel()

    def _fail(self, error: BaseException) -> None:
        if self._running:
            self._end(Unavailable("this master failed and stops: ask another one"))
            self._supervisor.fail(error, "raft driver")

    def receive(self, message: Message) -> None:
        """Take a message of another master; drops it when too many wait (Raft tolerates that)."""
        if self._running and len(self._inbox) < limits.RAFT_QUEUE_MESSAGES_MAX:
            self._inbox.append(message)
            self._wake()

    def tick(self) -> None:
        """Let the core see the clock; the driver calls it every tick_ms."""
        self._tick_due = True
        self._turn()

    def _run_job(
        self,
        job: Callable[[], object],
        then: Callable[[object], None],
        failed: Callable[[PydfsError], None] | None = None,
    ) -> None:
        outcome: list[object] = []
        refused: list[PydfsError] = []

        def work() -> None:
            try:
                outcome.append(job())
            except InvariantViolation:
                raise
            except PydfsError as error:
                if failed is None:
                    raise
                refused.append(error)

        def done(failure: BaseException | None) -> None:
            if failure is not None:
                self._on_write_failure(failure)
                if failed is not None:
                    failed(Unavailable("this master's log failed"))
            elif refused and failed is not None:
                failed(refused[0])
            else:
                then(outcome[0])

        self._executor.submit(work, done)

    def _not_leader(self) -> NotLeader:
        core = self._core
        leader = core.leader or self._changes.successor
        name, own = member_name(leader), member_name(core.node_id)
        address = core.configuration.addresses.get(leader) or self._addresses.get(name)
        if not address or name == own:
            return NotLeader(
                f"{own} is not the leader and knows of none: an election is under way; ask the "
                "other masters",
                leader_hint="",
            )
        hint = f"{name}={address}"
        return NotLeader(f"{own} is not the leader; ask {hint}", leader_hint=hint)

    # ---- the turn

    def _wake(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn, context=self._context)

    def _wake_after(self, wait_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(wait_s, self._turn, context=self._context)

    def _turn(self) -> None:
        self._turn_due = False
        if not self._running:
            return
        try:
            self._feed()
            self._execute(self._core.take_effects())
            if self._installations.wanted or self._installations.under_way:
                self._install()
            self._apply()
            if self._changes.waiting:
                self._changes.settle(self._durable_io, self._clock.monotonic_ms())
        except Exception as error:  # noqa: BLE001 - a callback has no owner to see it
            self._fail(error)

    def _feed(self) -> None:
        """Give the core all that happened since the last turn."""
        core = self._core
        core.advance(self._clock.monotonic_ms())
        if self._reported_io > self._durable_io:
            self._durable_io = self._reported_io
            core.persisted(self._durable_io)
            self._release_promises()
        if self._inbox:
            inbox, self._inbox = self._inbox, []
            for message in inbox:
                self._step(message)
        if self._tick_due:
            # After the messages: a leader that was heard of must not be voted out.
            self._tick_due = False
            core.tick(self._clock.monotonic_ms())
            if not self._installations.under_way:
                self._upkeep.go_on(self._clock.monotonic_ms())
        if core.role == "candidate":
            return  # what callers ask waits until the votes are counted
        if self._reads.has_new:
            self._begin_reads()
        if len(self._proposals) and self._commits.takes_proposals and not core.transferring:
            self._propose()

    def _step(self, message: Message) -> None:
        if isinstance(message, StateDigest):
            self._digests.heard(
                message.sender, message.index, message.digest,
                self._core.configuration, self._core.leader,
            )  # fmt: skip
            return
        try:
            self._core.step(message)
        except ProtocolError as error:  # nothing changed; the sender repeats what we do not ack
            _log.error("message refused", sender=message.sender, error=str(error))

    def _propose(self) -> None:
        payloads, kinds, futures = self._proposals.take()
        if self._proposals.rest_s:
            self._wake_after(self._proposals.rest_s)
        if not payloads:
            return
        error: PydfsError
        try:
            term, first_index = self._core.propose(payloads, kinds=kinds)
        except NotLeader:
            error = self._not_leader()
        except Overloaded as overloaded:
            error = overloaded
        else:
            self._proposals.entered(first_index, term, futures)
            return
        refuse(futures, error)

    def _begin_reads(self) -> None:
        for read_id, by_lease in self._reads.begin():
            try:
                self._core.read(read_id, by_lease=by_lease, ask=True)
            except NotLeader:
                self._reads.failed(read_id, self._not_leader())
            except Overloaded as error:
                self._reads.failed(read_id, error)

    def _execute(self, effects: Effects) -> None:
        # Free and Promise are open classes to the type checker; every message is one of Message.
        send: Callable[[str, Any], None] = self._transport.send
        for to, free in effects.send_now:
            send(to, free)
        if effects.persist is not None:
            self._submitted_io = effects.persist.io_id
            if effects.persist.install is not None:
                self._commits.forget_rows()
            self._commits.submit(effects.persist)
        for io_id, to, promise in effects.send_after:
            if io_id <= self._durable_io:
                send(to, promise)
            else:
                self._unsent.append((io_id, to, promise))
        if effects.apply_to > self._applier.target:
            self._applier.target = effects.apply_to
        for ready in effects.reads_ready:
            self._reads.confirmed(ready, self._applier.applied_index)
        for read_id in effects.reads_failed:
            self._reads.failed(read_id, self._not_leader())
        if effects.configuration_changed:
            for callback in self._configuration_callbacks:
                callback(self._core.configuration)
        if effects.snapshot_to and self._snapshots is not None:
            for wanted in effects.snapshot_to:
                self._snapshots.start(wanted)
        if effects.role_changed:
            if not self._core.leader:
                self._reads.fail_confirmed(self._not_leader())
            self._on_role_changed()

    def _release_promises(self) -> None:
        unsent = self._unsent
        while unsent and unsent[0][0] <= self._durable_io:
            _, to, promise = unsent.popleft()
            self._transport.send(to, cast(Message, promise))

    def _on_role_changed(self) -> None:
        role = (self._core.role, self._core.term)
        if role == self._role:
            return
        was_leader = self._role[0] == "leader"
        self._role = role
        self._metrics.elections_started(self._core.counters()["elections_started"])
        _log.info("role changed", role=role[0], term=role[1], leader=self._core.leader)
        if was_leader:
            self._proposals.leadership_lost(self._core.commit_index)
        if role[0] not in ("leader", "candidate"):
            self._proposals.fail_queued(self._not_leader())
            self._reads.fail_new(self._not_leader())
        for callback in self._role_callbacks:
            callback(*role)

    # ---- applying

    def _apply(self) -> None:
        if not self._applier.behind or self._installations.under_way:
            return
        if self._applier.applied_index - self._rows_index > ROWS_WAITING_ENTRIES_MAX:
            self._mark_rows()
            self._commits.flush_rows()
            if self._commits.has_rows:
                return  # the log is behind; the end of its write brings the next turn
        self._applier.run_slice()
        if self._applier.behind:
            self._wake()

    def _on_applied(
        self, first_index: int, entries: Sequence[bytes], outcomes: Sequence[object]
    ) -> None:
        if self._applier.applied_index - self._rows_index >= ROWS_EVERY_ENTRIES:
            self._commits.rows_changed()
        self._proposals.resolve(first_index, entries, outcomes)
        self._reads.applied(self._applier.applied_index)
        if len(self._proposals):
            self._wake()  # some may have waited until these were applied
        for index, digest in self._machine.take_digests():
            self._share_digest(index, digest)

    def _share_digest(self, index: int, digest: bytes) -> None:
        core = self._core
        self._digests.own(index, digest, core.configuration, core.leader)
        message = StateDigest(core.term, core.node_id, index, digest)
        for member in core.configuration.members:
            if member != core.node_id:
                self._transport.send(member, message)

    # ---- a snapshot in the place of log and state

    def _install(self) -> None:
        if self._installations.wanted:
            header, installed = self._installations.next()
            if self._core.install(header):
                self._machine.drain_rows()  # of the state that goes
                self._rows_index = self._applier.applied_index
                self._execute(self._core.take_effects())
                self._installations.begun(header, self._submitted_io, installed)
                _log.info("installing a snapshot", index=header.index, leader=header.sender)
            else:
                installed.set_result(False)
        if self._installations.to_load(self._durable_io):
            assert self._load_state is not None
            self._run_job(self._load_state, self._installed)

    def _installed(self, loaded: object) -> None:
        """On the loop: the storage thread has built the new state."""
        if not self._running:
            return
        try:
            self._machine.replace(loaded)
            index = self._installations.index
            invariant(
                self._machine.applied_index == index,
                "the state that a snapshot brought is not the one that it names",
                index=index,
                applied_index=self._machine.applied_index,
            )
            self._installations.finished()
            self._applier.restart_after(index)
            self._rows_index = index
            self._core.applied(index)
            self._proposals.superseded(index)
            self._reads.applied(index)
            self._upkeep.state_replaced()
            self.snapshots_installed += 1
            _log.info("installed a snapshot", index=index)
        except Exception as error:  # noqa: BLE001 - a callback has no owner to see it
            self._fail(error)
        self._wake()

    # ---- the log

    def _drain_rows(self) -> tuple[list[Row], int]:
        self._rows_index = self._applier.applied_index
        return self._machine.drain_rows(), self._rows_index

    def _mark_rows(self) -> None:
        if self._applier.applied_index > self._rows_index:
            self._commits.rows_changed()

    def _on_idle_tick(self) -> None:
        """Write rows that found no group to ride in, and keep the log short."""
        if self._installations.under_way:
            return
        groups = self._commits.counters.groups_written
        if groups == self._groups_seen and self._commits.has_rows:
            self._commits.flush_rows()
        self._mark_rows()
        self._groups_seen = self._commits.counters.groups_written
        try:
            self._upkeep.step(self._clock.monotonic_ms())
        except Exception as error:  # noqa: BLE001 - a callback has no owner to see it
            self._fail(error)

    def _on_durable(self, io_id: int) -> None:
        # At once, not by _wake: acknowledgements wait for this.
        self._reported_io = max(self._reported_io, io_id)
        self._turn()

    def _on_write_failure(self, error: BaseException) -> None:
        self._fail(error)

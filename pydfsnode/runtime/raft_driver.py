"""Runs a `RaftCore`: drains every queued event into it, takes one `Effects`, and does what it says.

One turn handles all that arrived since the last, so a group is as large as the load makes it and a
lone proposal waits for nothing. Nothing that promises leaves before its io id is durable (INV-DUR).
Any failure here or of the log stops the node (INV-STOP).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydfsnode import limits
from pydfsnode.errors import NotLeader, Overloaded, ProtocolError, PydfsError, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects
from pydfsnode.raft.messages import Message, Promise
from pydfsnode.runtime.answers import refuse
from pydfsnode.runtime.applier import Applier
from pydfsnode.runtime.clock import Clock, stopwatch_s
from pydfsnode.runtime.group_commit import GroupCommit
from pydfsnode.runtime.ports import (
    FsyncMode,
    LogStorage,
    Row,
    SerialExecutor,
    StateMachine,
    Transport,
)
from pydfsnode.runtime.proposals import Proposals
from pydfsnode.runtime.raft_metrics import RaftMetrics
from pydfsnode.runtime.raft_status import FSYNC_WARNINGS, RaftStatus
from pydfsnode.runtime.reads import ReadBarriers
from pydfsnode.runtime.serial_thread import SerialThread
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.runtime.ticker import Ticker

ROWS_IDLE_MS = 100
"""How often rows that found no group to ride in are looked for; they wait at most twice this."""
ROWS_WAITING_ENTRIES_MAX = 8192  # limits.py candidate
"""Entries applied whose rows are not handed to the log yet; applying pauses beyond it."""

_log = get_logger("runtime.raft_driver")

RoleCallback = Callable[[str, int], None]
"""(role, term)"""


class RaftDriver:
    """One node's consensus. Make it inside the running loop; all methods are the loop's thread's.

    Args of the constructor:
        addresses: node id -> "host:port" of every master, for leader hints.
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
        )
        self._applier = Applier(core, machine, self._on_applied, stopwatch_s)
        self._proposals = Proposals(self._loop)
        self._reads = ReadBarriers(self._loop)
        self._inbox: list[Message] = []
        self._unsent: deque[tuple[int, str, Promise]] = deque()
        self._durable_io = 0
        self._reported_io = 0
        self._tick_due = False
        self._turn_due = False
        self._running = False
        self._role = (core.role, core.term)
        self._role_callbacks: list[RoleCallback] = []
        self._rows_index = machine.applied_index
        self._groups_seen = 0
        self._tickers = [Ticker(tick_ms, self.tick), Ticker(ROWS_IDLE_MS, self._flush_idle_rows)]
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
        await self._commits.finish()
        await self._executor.stop()

    def _end(self, error: PydfsError) -> None:
        self._running = False
        for ticker in self._tickers:
            ticker.stop()
        self._inbox.clear()
        self._unsent.clear()
        self._proposals.fail_all(error)
        self._reads.fail_all(error)

    def _fail(self, error: BaseException) -> None:
        if self._running:
            self._end(Unavailable("this master failed and stops: ask another one"))
            self._supervisor.fail(error, "raft driver")

    # ---- what callers ask for

    def propose(self, payload: bytes) -> asyncio.Future[object]:
        """Replicate *payload* as one entry; await the result: what `machine.apply` made of it.

        Raises:
            NotLeader: with `leader_hint`; nothing happened.
            Overloaded, MessageTooLarge, Unavailable: nothing happened.
            OutcomeUnknown: leadership was lost meanwhile; ask again with the same op id.
        """
        self.require_leader()
        outcome = self._proposals.add(payload)
        self._wake()
        return outcome

    def read_barrier(self) -> asyncio.Future[None]:
        """Await it: then the state machine holds all that was acknowledged before the call.

        Raises:
            NotLeader: with `leader_hint`.
            Overloaded, Unavailable.
        """
        self.require_leader()
        barrier = self._reads.add()
        self._wake()
        return barrier

    def receive(self, message: Message) -> None:
        """Take a message of another master; drops it when too many wait (Raft tolerates that)."""
        if self._running and len(self._inbox) < limits.RAFT_QUEUE_MESSAGES_MAX:
            self._inbox.append(message)
            self._wake()

    def tick(self) -> None:
        """Let the core see the clock; the driver calls it every tick_ms."""
        self._tick_due = True
        self._turn()

    def on_role_change(self, callback: RoleCallback) -> None:
        """Call *callback*(role, term) after every change of either."""
        self._role_callbacks.append(callback)

    def status(self) -> RaftStatus:
        """How it stands now."""
        core, counters = self._core, self._commits.counters
        return RaftStatus(
            node_id=core.node_id,
            role=core.role,
            term=core.term,
            leader=core.leader,
            commit_index=core.commit_index,
            applied_index=self._applier.applied_index,
            last_index=core.last_index,
            peers=core.peers(),
            fsync=self._fsync,
            fsync_warning=FSYNC_WARNINGS[self._fsync],
            groups_written=counters.groups_written,
            entries_written=counters.entries_written,
            proposals_queued=len(self._proposals),
            overslept=self._tickers[0].overslept,
        )

    @property
    def term(self) -> int:
        """The current term."""
        return self._core.term

    @property
    def is_leader(self) -> bool:
        """Whether this node believes to lead; only a read barrier proves it."""
        return self._running and self._core.role == "leader"

    def require_leader(self) -> None:
        """Raise NotLeader (with its hint) or Unavailable unless this node believes to lead."""
        if not self._running:
            raise Unavailable("this master is not running: ask another one")
        if self._core.role != "leader":
            raise self._not_leader()

    def _not_leader(self) -> NotLeader:
        leader = self._core.leader
        address = self._addresses.get(leader)
        if not address or leader == self._core.node_id:
            return NotLeader(
                f"{self._core.node_id} is not the leader and knows of none: an election is under "
                "way; ask the other masters",
                leader_hint="",
            )
        hint = f"{leader}={address}"
        return NotLeader(f"{self._core.node_id} is not the leader; ask {hint}", leader_hint=hint)

    # ---- the turn

    def _wake(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if not self._running:
            return
        try:
            self._feed()
            self._execute(self._core.take_effects())
            self._apply()
        except Exception as error:  # noqa: BLE001 - a callback has no owner to see it
            self._fail(error)

    def _feed(self) -> None:
        """Give the core all that happened since the last turn."""
        core = self._core
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
        if self._reads.has_new:
            self._begin_reads()
        if len(self._proposals) and self._commits.takes_proposals:
            self._propose()

    def _step(self, message: Message) -> None:
        try:
            self._core.step(message)
        except ProtocolError as error:  # nothing changed; the sender repeats what we do not ack
            _log.error("message refused", sender=message.sender, error=str(error))

    def _propose(self) -> None:
        payloads, futures = self._proposals.take()
        if not payloads:
            return
        error: PydfsError
        try:
            term, first_index = self._core.propose(payloads)
        except NotLeader:
            error = self._not_leader()
        except Overloaded as overloaded:
            error = overloaded
        else:
            self._proposals.entered(first_index, term, futures)
            return
        refuse(futures, error)

    def _begin_reads(self) -> None:
        read_id = self._reads.begin()
        try:
            self._core.read(read_id)
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
        if effects.role_changed:
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
        if role[0] != "leader":
            self._proposals.fail_queued(self._not_leader())
            self._reads.fail_new(self._not_leader())
        for callback in self._role_callbacks:
            callback(*role)

    # ---- applying

    def _apply(self) -> None:
        if not self._applier.behind:
            return
        if self._applier.applied_index - self._rows_index > ROWS_WAITING_ENTRIES_MAX:
            self._commits.flush_rows()
            if self._commits.has_rows:
                return  # the log is behind; the end of its write brings the next turn
        self._applier.run_slice()
        if self._applier.behind:
            self._wake()

    def _on_applied(
        self, first_index: int, entries: Sequence[bytes], outcomes: Sequence[object]
    ) -> None:
        self._commits.rows_changed()
        self._proposals.resolve(first_index, entries, outcomes)
        self._reads.applied(self._applier.applied_index)

    # ---- the log

    def _drain_rows(self) -> list[Row]:
        self._rows_index = self._applier.applied_index
        return self._machine.drain_rows()

    def _flush_idle_rows(self) -> None:
        groups = self._commits.counters.groups_written
        if groups == self._groups_seen and self._commits.has_rows:
            self._commits.flush_rows()
        self._groups_seen = self._commits.counters.groups_written

    def _on_durable(self, io_id: int) -> None:
        # At once, not by _wake: acknowledgements wait for this.
        self._reported_io = max(self._reported_io, io_id)
        self._turn()

    def _on_write_failure(self, error: BaseException) -> None:
        self._fail(error)

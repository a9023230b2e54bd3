"""Tells one master, over and over, that this node lives and what it holds; takes its orders."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from pydfsnode.client.model import Replica as Server
from pydfsnode.config import Peer
from pydfsnode.errors import MalformedMessage, PydfsError
from pydfsnode.fleet.health import UNKNOWN_SEALING, ChunkSealing
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.chunkserver.commands import Command, CommandRunner, Done, Kind
from pydfsnode.roles.chunkserver.reports import Batch, Page, ReportCursor
from pydfsnode.roles.chunkserver.scrub import ScrubProgress
from pydfsnode.roles.chunkserver.sealing import FetchKeys, Word
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.retry import CHUNKSERVER_TO_MASTER
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.disk_signals import DiskSignals

HEARTBEAT = "/pydfs.v1.Fleet/Heartbeat"
FULL_REPORT = "/pydfs.v1.Fleet/FullReport"
CHUNK_KEYS = "/pydfs.v1.Fleet/ChunkKeys"

COALESCE_MS = 20
"""A change is reported after this long, together with what else changed meanwhile."""
COALESCE_ASIDE_MS = 100
"""The same to a master that does not lead: only readers that accept older answers ask it."""
TIMEOUT_MS = 5_000
FULL_REPORT_TIMEOUT_MS = 30_000
DONE_MAX = 4096  # limits.py candidate
CORRUPT_MAX = 1000  # limits.py candidate
"""Corrupt replicas named in one heartbeat; the others follow when these are gone."""

_log = get_logger("chunkserver.heartbeat")


LearnMasters = Callable[[int, list[Peer], bool], Awaitable[None]]
"""(epoch, all masters, whether it leads who lists them)"""


Heard = Callable[[Word, FetchKeys], Awaitable[None]]
"""(what a master says of sealing, asks it for the keys)"""


class Asker(Protocol):
    """A connection to a master, as `rpc.channel` gives it."""

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Ask and wait for the answer."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What every heartbeat says of the node.

    Sizes in bytes; incarnation is random per start; epoch is the highest whose older orders have
    all ended; queued are orders that wait or run; signals: how its disks do, None: not measured;
    scrub: how far the background verification is, None: there is none; sealing: which keys its
    chunks need; audit_problem: why its audit trail cannot be written, "" when it can.
    """

    listen: str
    rack: str
    used_bytes: int
    free_bytes: int
    chunk_count: int
    active_streams: int
    incarnation: int
    epoch: int
    queued: int = 0
    disks: int = 1
    signals: DiskSignals | None = None
    scrub: ScrubProgress | None = None
    sealing: ChunkSealing = UNKNOWN_SEALING
    audit_problem: str = ""


class MasterLink:
    """One master. Links know nothing of each other, so that one that hangs delays only itself."""

    def __init__(
        self,
        master: str,
        asker: Asker,
        index: ChunkIndex,
        state: Callable[[], NodeState],
        learn_epoch: Callable[[int], Awaitable[None]],
        commands: CommandRunner,
        interval_ms: int,
        *,
        learn_masters: LearnMasters | None = None,
        heard: Heard | None = None,
        first_report: int = 0,
    ) -> None:
        """
        Args:
            master: its node id.
            state: asked before every heartbeat.
            learn_epoch: told the epoch of every answer; returns when it is durable.
            interval_ms: between heartbeats while nothing changes.
            learn_masters: told the masters that this one lists.
            heard: told what every answer says of sealing.
            first_report: number of the first report.
        """
        self.master = master
        self.is_reached = False
        """Whether the last heartbeat was answered."""
        self.is_leader = False
        """Whether it said that it leads."""
        self._asker = asker
        self._state = state
        self._learn_epoch = learn_epoch
        self._commands = commands
        self._interval_s = interval_ms / 1000
        self._index = index
        self._learn_masters = learn_masters
        self._heard = heard
        self._cursor = ReportCursor(index, first_report)
        self._done: deque[Done] = deque(maxlen=DONE_MAX)
        self._orders_seq = 0
        self._wake = asyncio.Event()

    @property
    def last_report(self) -> int:
        """Number of the last report that the master acknowledged."""
        return self._cursor.number

    def wake(self) -> None:
        """Something changed: report soon."""
        self._wake.set()

    def note_done(self, done: Done) -> None:
        """A command ended: tell this master, whoever ordered it."""
        self._done.append(done)
        self._wake.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        backoff = CHUNKSERVER_TO_MASTER.backoff(random.random)
        while True:
            if await self._beat():
                backoff.reset()
                await self._rest()
            else:
                # A master that does not answer is not asked more often for every change.
                await asyncio.sleep(backoff.next_ms() / 1000)

    async def _rest(self) -> None:
        if not self._cursor.is_behind:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            except TimeoutError:
                return
        is_urgent = self.is_leader or self._cursor.is_behind
        await asyncio.sleep((COALESCE_MS if is_urgent else COALESCE_ASIDE_MS) / 1000)

    async def _beat(self) -> bool:
        """One heartbeat and what follows from its answer; whether all of it was answered."""
        self._wake.clear()
        state = self._state()
        batch = self._cursor.next_batch(state.epoch)
        done = list(self._done)
        request = _request(state, batch)
        request.orders_seq = self._orders_seq
        request.corrupt.extend(self._index.corrupt()[:CORRUPT_MAX])
        request.done.extend(
            pb.CommandDone(chunk_id=d.chunk_id, ok=d.ok, reason=d.reason, kind=d.kind) for d in done
        )
        try:
            answer = await self._asker.unary(HEARTBEAT, request, timeout_ms=TIMEOUT_MS)
            self._cursor.acknowledged(batch)
            for _ in range(min(len(done), len(self._done))):
                self._done.popleft()
            await self._learn_epoch(answer.epoch)
            if self._heard is not None:
                word = Word(
                    answer.is_leader, answer.chunk_key_epoch, answer.seal_chunks,
                    answer.oldest_chunk_key_epoch,
                )  # fmt: skip
                await self._heard(word, self._chunk_keys)
            self._take_orders(answer)
            if answer.full_report_wanted or self._cursor.wants_full:
                await self._report_all()
        except PydfsError as error:
            self._cursor.failed()
            self._note_reached(False, str(error))
            return False
        self.is_leader = answer.is_leader
        self._note_reached(True, "")
        if answer.masters and self._learn_masters is not None:
            listed = [Peer(master.node_id, master.listen) for master in answer.masters]
            await self._learn_masters(answer.epoch, listed, answer.is_leader)
        return True

    async def _chunk_keys(self) -> dict[int, bytes]:
        answer = await self._asker.unary(CHUNK_KEYS, pb.ChunkKeysRequest(), timeout_ms=TIMEOUT_MS)
        if not isinstance(answer, pb.ChunkKeysResponse):
            raise MalformedMessage(f"{CHUNK_KEYS} answered with a {type(answer).__name__}")
        return {each.epoch: each.key for each in answer.keys}

    async def _report_all(self) -> None:
        cursor, pages = self._cursor.full()
        incarnation = self._state().incarnation
        for page in pages:
            await self._asker.unary(
                FULL_REPORT, _page(incarnation, page), timeout_ms=FULL_REPORT_TIMEOUT_MS
            )
        self._cursor.full_acknowledged(cursor)

    def _take_orders(self, answer: pb.HeartbeatResponse) -> None:
        if not answer.is_leader:  # only a leader orders; commands of others are ignored
            return
        for order in answer.commands:
            command = _command(order, answer.epoch)
            if command is not None:
                self._commands.submit(command)
        if answer.orders_seq:  # an old leader numbers none
            self._orders_seq = answer.orders_seq

    def _note_reached(self, reached: bool, reason: str) -> None:
        if reached and not self.is_reached:
            _log.info("master reached", master=self.master)
        elif not reached and self.is_reached:
            _log.warning("master lost", master=self.master, reason=reason)
        elif not reached:
            _log.debug("master not reached", master=self.master, reason=reason)
        self.is_reached = reached
        self.is_leader = self.is_leader and reached


def _request(state: NodeState, batch: Batch) -> pb.HeartbeatRequest:
    return pb.HeartbeatRequest(
        listen=state.listen,
        rack=state.rack,
        used_bytes=state.used_bytes,
        free_bytes=state.free_bytes,
        chunk_count=state.chunk_count,
        active_streams=state.active_streams,
        incarnation=state.incarnation,
        report_seq=batch.number,
        added=[_replica(replica) for replica in batch.added],
        removed=batch.removed,
        epoch=batch.epoch,
        load=_load(state),
    )


def _load(state: NodeState) -> pb.ServerLoad:
    load = pb.ServerLoad(queued=state.queued, disks=state.disks, audit_problem=state.audit_problem)
    signals = state.signals
    if signals is not None:
        load.write_p50_us, load.write_p99_us = signals.write_p50_us, signals.write_p99_us
        load.read_p50_us, load.read_p99_us = signals.read_p50_us, signals.read_p99_us
        load.disk_errors, load.failed_disks = signals.read_errors, signals.failed_disks
    if state.scrub is not None:
        # Not `asdict`: its copies took a fifth of the time of a heartbeat.
        told = {each.name: getattr(state.scrub, each.name) for each in fields(state.scrub)}
        load.scrub.CopyFrom(pb.ScrubState(**told))
    load.sealing.CopyFrom(pb.ChunkSealState(**state.sealing._asdict()))
    return load


def _replica(replica: Replica) -> pb.ReplicaReport:
    chunk_id, version, length = replica
    return pb.ReplicaReport(chunk_id=chunk_id, version=version, length=length)


def _page(incarnation: int, page: Page) -> pb.FullReportRequest:
    return pb.FullReportRequest(
        incarnation=incarnation,
        report_seq=page.number,
        replicas=[_replica(replica) for replica in page.replicas],
        first=page.first,
        last=page.last,
    )


_KINDS: dict[int, Kind] = {pb.Command.DELETE: "delete", pb.Command.REPLICATE: "replicate"}


def _command(order: pb.Command, epoch: int) -> Command | None:
    """An order as a value; None for a kind that a newer master knows and we do not."""
    kind = _KINDS.get(order.kind)
    if kind is None:
        _log.warning("an order of an unknown kind is ignored", kind=order.kind)
        return None
    sources = tuple(Server(source.node_id, source.listen) for source in order.sources)
    return Command(
        kind, epoch, order.chunk_id, order.version, order.length, order.crc32c, sources, order.seal,
        order.capability,
    )  # fmt: skip

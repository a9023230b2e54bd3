"""Wires a chunkserver: store, service, links to the masters, commands, pages."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.wire_chunks import ChunkPeer
from pydfsnode.config import NodeConfig
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.audit.node_audit import NodeAudit
from pydfsnode.roles.base import Node, run_node
from pydfsnode.roles.chunkserver.admission import ChunkAdmission
from pydfsnode.roles.chunkserver.auditing import ChunkAuditing
from pydfsnode.roles.chunkserver.commands import CommandRunner, Done
from pydfsnode.roles.chunkserver.compact import compact
from pydfsnode.roles.chunkserver.disks import OpenedDisks, open_disks
from pydfsnode.roles.chunkserver.file_keys import FileKeyAsker
from pydfsnode.roles.chunkserver.heartbeat import Asker, MasterLink, NodeState
from pydfsnode.roles.chunkserver.known_masters import KnownMasters
from pydfsnode.roles.chunkserver.master_links import MasterLinks
from pydfsnode.roles.chunkserver.resealing import Resealer
from pydfsnode.roles.chunkserver.scrub import Scrubber
from pydfsnode.roles.chunkserver.sealing import FetchKeys, Sealing, Word
from pydfsnode.roles.chunkserver.service import ChunkService
from pydfsnode.rpc.server import Handlers

SWEEP_INTERVAL_S = 30
DISK_LOOKS = 6
"""A disk that is at one job for the last of so many looks does not answer."""

_log = get_logger("roles.chunkserver")


class ChunkserverRole:
    """A running chunkserver. `make` opens the disk; `start` joins the cluster."""

    def __init__(self, node: Node, opened: OpenedDisks) -> None:
        config = node.config
        store, epoch, claims, keys = opened
        self._sealing = Sealing(keys)
        self._node = node
        policy = config.audit
        self._audit = NodeAudit(
            node, lambda trail: ChunkAuditing(trail, policy.chunks, node.clock.monotonic_ms)
        )
        self._store = store
        self._epoch = epoch
        self._claims = claims
        self._epoch_lock = asyncio.Lock()
        self._settled_epoch = 0
        self._pool = ConnectionPool(node.tls, node.peers)
        self._incarnation = random.SystemRandom().getrandbits(63) + 1
        self._service = ChunkService(
            config.node_id, store, epoch, self._connect, node.clock,
            ChunkAdmission(
                keys, node.clock, self._sealing.await_keys, self._audit.auditing
            ),
            self._sealing, node.peers,
        )  # fmt: skip
        self._commands = CommandRunner(
            store, epoch, self._connect, self._command_done, self._sealing
        )
        self._links = MasterLinks(
            KnownMasters(config.peers(), Path(config.data_dir)),
            lambda name, listen: self._pool.channel("master", name, listen),
            self._make_link,
            lambda: self._epoch.highest,
            store.run,
            node.clock,
        )
        self._scrubber = Scrubber(
            store, Path(config.data_dir), config.scrub_period_days, node.clock
        )
        self._resealer = Resealer(store, keys, on_resealed=self._audit.auditing.resealed)
        keys.files.bind(FileKeyAsker(self.ask_leader).fetch)
        store.on_change(self._links.wake)
        self._export_gauges()

    @classmethod
    async def make(cls, node: Node) -> ChunkserverRole:
        """Open the disk and list what is there."""
        opened = await open_disks(node.config, node.tls.identity.cluster_id)
        store, epoch, *_ = opened
        _log.info(
            "opened",
            chunks=len(store.index),
            used_bytes=store.index.used_bytes,
            free_bytes=store.free_bytes(),
            epoch=epoch.highest,
            disks=len(store.disks.live),
            failed_disks=len(store.disks.failed),
        )
        return cls(node, opened)

    @property
    def handlers(self) -> Handlers:
        """See `roles.base.Role`."""
        return self._service.handlers()

    @property
    def pages(self) -> Mapping[str, Callable[[], object]]:
        """See `roles.base.Role`."""
        return {"/chunks/state": self._page}

    def health(self) -> dict[str, Any]:
        """Alive: this process answers; whether it may serve is `/ready`'s to say."""
        failed = len(self._store.disks.failed)
        return {
            "status": "degraded" if failed or self._audit.problem else "ok",
            "role": "chunkserver",
            "node_id": self._node.config.node_id,
            "disks": len(self._store.disks.all),
            "failed_disks": failed,
            "audit_problem": self._audit.problem,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Ready when the leading master answers its heartbeats."""
        leader = self._links.leader
        reason = "" if leader else "no leading master answers: an election, or the network"
        return bool(leader), {"ready": bool(leader), "leader": leader, "reason": reason}

    async def ask_leader(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """See `roles.base.Role`."""
        return await self._links.ask_leader(path, request, timeout_ms=timeout_ms)

    async def start(self) -> None:
        """Report to the masters and take orders."""
        supervisor = self._node.supervisor
        supervisor.spawn("chunk store", self._watch_store())
        supervisor.spawn("commands", self._commands.run())
        supervisor.spawn("sweep", self._sweep())
        supervisor.spawn("disk watch", self._watch_disks())
        supervisor.spawn("compact", compact(self._store))
        supervisor.spawn("reseal", self._resealer.run())
        if self._node.config.scrub_period_days:
            supervisor.spawn("scrub", self._scrubber.run())
        self._links.start(supervisor.spawn)
        self._audit.sign(self.ask_leader)

    async def left(self) -> None:
        """See `roles.base.Role`: nobody takes over from a chunkserver."""

    async def stop(self) -> None:
        """Leave; what is being made durable is finished first."""
        await self._pool.close()
        await self._store.close()
        self._claims.close()
        self._audit.stop()

    def _connect(self, node_id: str, listen: str) -> ChunkPeer:
        return self._pool.channel("chunkserver", node_id, listen)

    async def _watch_store(self) -> None:
        """Fail with the store: its tasks may have nobody waiting for them (INV-STOP)."""
        raise await asyncio.shield(self._store.failed)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            await self._store.check_disks()
            self._sealing.keys.files.sweep()
            swept = self._store.sweep(self._node.clock.monotonic_ms())
            if swept:
                _log.info("broken chunks given up", count=swept)

    async def _watch_disks(self) -> None:
        while True:
            await asyncio.sleep(self._node.config.disk_timeout_ms / 1000 / DISK_LOOKS)
            self._store.look_at_disks(DISK_LOOKS)

    async def _learn_epoch(self, epoch: int) -> None:
        if epoch > self._epoch.highest:
            async with self._epoch_lock:
                await self._store.run(self._epoch.advance, epoch)
        await self._commands.settle()
        self._settled_epoch = max(self._settled_epoch, epoch)

    async def _heard(self, word: Word, fetch: FetchKeys) -> None:
        await self._sealing.heard(word, fetch)
        self._audit.auditing.keys_known(self._sealing.keys.epochs)

    def _command_done(self, done: Done) -> None:
        self._audit.auditing.carried_out(done.kind, done.chunk_id, done.ok, done.reason)
        self._links.note_done(done)

    def _make_link(self, master: str, asker: Asker, first_report: int) -> MasterLink:
        return MasterLink(
            master,
            asker,
            self._store.index,
            self._state,
            self._learn_epoch,
            self._commands,
            self._node.config.heartbeat_ms,
            learn_masters=self._links.learn,
            heard=self._heard,
            first_report=first_report,
        )

    def _state(self) -> NodeState:
        config = self._node.config
        index = self._store.index
        return NodeState(
            listen=config.listen,
            rack=config.rack,
            used_bytes=index.used_bytes,
            free_bytes=self._store.free_bytes(),
            chunk_count=len(index),
            active_streams=self._service.writes.count + self._service.reads.count,
            incarnation=self._incarnation,
            epoch=self._settled_epoch,
            queued=self._commands.waiting,
            disks=len(self._store.disks.all),
            signals=self._store.signals(),
            scrub=self._scrubber.progress if config.scrub_period_days else None,
            sealing=self._resealer.state,
            audit_problem=self._audit.problem,
        )

    def _page(self) -> object:
        state = self._state()
        return {
            "node_id": self._node.config.node_id,
            "count": state.chunk_count,
            "used_bytes": state.used_bytes,
            "free_bytes": state.free_bytes,
            "epoch": self._epoch.highest,
            "streams": {"write": self._service.writes.count, "read": self._service.reads.count},
            "disks": [
                {
                    "directory": str(disk.directory),
                    "failure": disk.failure,
                    "free_bytes": 0 if disk.failure else self._store.disks.room(disk),
                    "read_errors": disk.read_errors,
                }
                for disk in self._store.disks.all
            ],
            "disk_signals": self._store.signals()._asdict(),
            "scrub": dataclasses.asdict(self._scrubber.progress),
            "unfinished": self._store.growing(),
            "corrupt": self._store.index.corrupt(),
            "sealing": {
                "new_chunks": self._sealing.by_default,
                "key_epochs": self._sealing.keys.epochs,
                **self._resealer.state._asdict(),
            },
            "commands": self._commands.waiting,
            "masters": self._links.reached(),
        }

    def _export_gauges(self) -> None:
        index = self._store.index
        metrics().gauge("chunk_store_chunks").set_function(lambda: len(index))
        metrics().gauge("chunk_store_used_bytes").set_function(lambda: index.used_bytes)
        metrics().gauge("chunk_store_free_bytes").set_function(self._store.free_bytes)
        disks = self._store.disks
        metrics().gauge("chunk_failed_disks_count").set_function(lambda: len(disks.failed))
        metrics().gauge("chunk_segments_count").set_function(
            lambda: sum(disk.segments.count for disk in disks.live)
        )
        metrics().gauge("chunk_segment_dead_bytes").set_function(
            lambda: sum(disk.segments.dead_bytes for disk in disks.live)
        )


async def run(config: NodeConfig) -> int:
    """Run a chunkserver until it is stopped; return the process's exit code."""
    return await run_node(config, ChunkserverRole.make)

"""Wires a master: store, consensus, fleet, services and pages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydfsnode import __version__
from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.consistency import Consistency
from pydfsnode.config import NodeConfig
from pydfsnode.errors import PydfsError, Unavailable
from pydfsnode.fleet.repair import RepairRates
from pydfsnode.meta.rows import TABLES
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.messages import Message
from pydfsnode.raft.types import Timing
from pydfsnode.roles.base import Node, run_node
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.bootstrap import Formation
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.gauges import export_gauges
from pydfsnode.roles.master.key_upkeep import KeyUpkeep, Order
from pydfsnode.roles.master.known_chunkservers import KnownChunkservers
from pydfsnode.roles.master.lease_recovery import LeaseRecovery
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.roles.master.master_audit import MasterAudit
from pydfsnode.roles.master.membership import Membership
from pydfsnode.roles.master.service.audit import AuditService
from pydfsnode.roles.master.service.backup import BackupService
from pydfsnode.roles.master.service.cluster import ClusterService
from pydfsnode.roles.master.service.file_keys import FileKeysService
from pydfsnode.roles.master.service.fleet import FleetService
from pydfsnode.roles.master.service.fleet_orders import FleetOrders
from pydfsnode.roles.master.service.keys import (
    CHUNK_KEYS_KEPT_MS,
    KeysService,
    droppable_below,
)
from pydfsnode.roles.master.service.namespace import NamespaceService
from pydfsnode.roles.master.service.raft import RaftService
from pydfsnode.roles.master.service.security import SecurityService
from pydfsnode.roles.master.service.writing import FileDefaults
from pydfsnode.roles.master.store import MasterStore, open_store, warn_of_other_masters
from pydfsnode.roles.master.trust_center import TrustCenter
from pydfsnode.roles.master.upkeep import Upkeep
from pydfsnode.rpc.node_service import NodeService
from pydfsnode.rpc.raft_hello import Hello, HelloCaller
from pydfsnode.rpc.raft_transport import RaftTransport
from pydfsnode.rpc.server import Handlers
from pydfsnode.rpc.snapshot_stream import FramedSnapshotDial, SnapshotService
from pydfsnode.runtime.compaction import CompactionPolicy
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.snapshot_receive import SnapshotReceiver
from pydfsnode.runtime.snapshot_send import SendingParts, SnapshotTransfers
from pydfsnode.runtime.yielding_thread import run_yielding
from pydfsnode.security.identity import Identity

_log = get_logger("roles.master")

RAFT_STREAM = "/pydfs.v1.Raft/Stream"


class MasterRole:
    """A running master. `make` opens the disk; `start` joins the others."""

    def __init__(self, node: Node, store: MasterStore) -> None:
        config = node.config
        self._node = node
        self._store = store
        self._audit = MasterAudit(node)
        # Where the log has no addresses: it was begun before it recorded them.
        self._addresses = {peer.node_id: peer.listen for peer in config.peers()}
        self._fleet = Fleet(
            store.namespace, node.clock, config.dead_after_ms, random.random,
            rates=RepairRates(config.repair_bytes_per_s, config.repair_server_bytes_per_s),
            known=KnownChunkservers(Path(config.data_dir)),
        )  # fmt: skip
        self._transport = RaftTransport(
            store.member, {}, node.tls, self._receive, self._addresses[config.node_id], node.peers
        )
        self._snapshots = SnapshotTransfers(
            SendingParts(
                open_view=store.log.open_view,
                dial=FramedSnapshotDial(node.tls, self._transport.address_of, node.peers),
                clock=node.clock,
                bytes_per_s=config.snapshot.bytes_per_s,
                random=random.random,
            ),
            node.supervisor,
        )
        self._machine = NamespaceMachine(
            store.namespace,
            self._fleet.namespace_changed,
            self._fleet.namespace_replaced,
            store.log,
        )
        self._driver = self._make_driver()
        self._snapshots.bind(self._driver)
        own = Hello(
            config.node_id,
            store.log.incarnation,
            masters=tuple(self._addresses) if config.bootstrap else (),
        )
        ask = HelloCaller(own, node.tls, node.peers).ask
        self._formation = Formation(
            store.member, config.peers(), config.bootstrap, ask, self._driver.bootstrap,
            self._is_member,
        )  # fmt: skip
        self._membership = Membership(
            self._driver, store.member, self._addresses, ask, node.clock,
            config.raft.election_timeout_ms,
        )  # fmt: skip
        self._consensus = Consensus(
            self._driver, store.namespace, node.clock, read_only=config.read_only,
            read_inline=self._machine.read_inline,
        )  # fmt: skip
        self._chunkservers = ConnectionPool(node.tls, node.peers)
        self._recovery = LeaseRecovery(
            self._consensus,
            self._fleet.listen_of,
            lambda node_id, listen: self._chunkservers.channel("chunkserver", node_id, listen),
        )
        self._upkeep = Upkeep(
            self._consensus, store.namespace, node.clock, node.supervisor,
            trash_keep_ms=config.trash_keep_minutes * 60_000,
            forget_keys_after_ms=config.forget_keys_after_ms,
            fleet_wishes=self._fleet.operations.wishes,
            unneeded_keys_below=self._unneeded_keys_below,
            recover=self._recovery.finish,
        )  # fmt: skip
        self._keys = self._make_keys()
        self._handlers = self._audit.auditing.around(self._make_handlers(own))
        self._leaving: asyncio.Task[None] | None = None
        self._masters = ConnectionPool(node.tls, node.peers)
        export_gauges(self._driver, self._fleet, store.namespace)

    def _make_driver(self) -> RaftDriver:
        node, store, config = self._node, self._store, self._node.config
        machine = self._machine
        return RaftDriver(
            _core(config, store, node.clock.monotonic_ms()),
            store.log,
            machine,
            self._transport,
            node.clock,
            node.supervisor,
            self._addresses,
            tick_ms=config.raft.tick_ms,
            fsync=config.fsync,
            fsync_interval_ms=config.fsync_interval_ms,
            election_timeout_ms=config.raft.election_timeout_ms,
            snapshots=self._snapshots,
            # Of a snapshot: until it is loaded this master serves nobody, the others do.
            load_state=lambda: run_yielding(lambda: machine.load(store.log.load_rows(TABLES))),
            compaction=CompactionPolicy(
                config.snapshot.log_entries_max,
                config.snapshot.log_bytes_max,
                config.snapshot.keep_entries,
            ),
        )

    def _make_handlers(self, own: Hello) -> dict[str, Any]:
        node, store, config = self._node, self._store, self._node.config
        consensus = self._consensus
        callers = Callers(config.groups)
        namespace = NamespaceService(
            consensus,
            Allocation(consensus, self._fleet, store.namespace, config.min_replicas),
            self._fleet,
            FileDefaults(
                config.replication,
                config.chunk_bytes,
                config.inline_bytes_max,
                config.inline_total_bytes_max,
            ),
            callers=callers,
            consistency=Consistency.parse(config.consistency),
            recovery=self._recovery,
            auditing=self._audit.auditing,
        )
        center = TrustCenter(store.namespace, node.tls, config.certificate_days)
        cluster = ClusterService(
            self._driver,
            self._fleet,
            store.namespace,
            config,
            node.tls.identity.cluster_id,
            self._membership,
            lambda: center.expiring(self._live_nodes(), node.clock.wall_ms()),
            node.peers,
            lambda: self._audit.problem,
        )
        receiver = SnapshotReceiver(self._driver, store.log.stage)
        return {
            **namespace.handlers(),
            **cluster.handlers(),
            **BackupService(
                self._driver, store, config, node.tls.identity.cluster_id, node.clock
            ).handlers(),
            **FleetOrders(consensus, self._fleet, callers).handlers(),
            **SecurityService(
                consensus,
                center,
                callers,
                node.clock,
                self._live_nodes,
                node.tls.identity.cluster_id,
                config.http_listen,
            ).handlers(),
            **FleetService(
                self._driver,
                self._fleet,
                store.namespace,
                node.clock,
                seal_chunks=config.seal_chunks,
            ).handlers(),
            **self._keys_service(callers).handlers(),
            **FileKeysService(consensus).handlers(),
            **NodeService(config.node_id, config.role, __version__, node.peers).handlers(),
            **RaftService(own, lambda: self._driver.configuration).handlers(),
            **SnapshotService(receiver).handlers(),
            **AuditService(consensus, node.tls).handlers(),
            RAFT_STREAM: self._transport.handler,
        }

    @classmethod
    async def make(cls, node: Node) -> MasterRole:
        """Open and verify the disk, wire the rest."""
        store = open_store(node.config, node.tls.identity)
        warn_of_other_masters(store.configuration, node.config)
        _log.info(
            "opened",
            member=store.member,
            voters=list(store.configuration.voters),
            first_index=store.log.start.first_index,
            last_index=store.log.start.last_index,
            applied_index=store.namespace.applied_index,
            files=store.namespace.file_count,
        )
        return cls(node, store)

    @property
    def handlers(self) -> Handlers:
        """See `roles.base.Role`."""
        return self._handlers

    @property
    def pages(self) -> Mapping[str, Callable[[], object]]:
        """See `roles.base.Role`."""
        return {"/raft/state": self._raft_state}

    def health(self) -> dict[str, Any]:
        """Alive: this process answers; whether it may serve is `/ready`'s to say."""
        status = self._driver.status()
        return {
            "status": "ok",
            "role": "master",
            "node_id": status.node_id,
            "member": status.member_id,
            "raft_role": status.role,
            "fsync": status.fsync,
            "warning": status.fsync_warning,
            "safe_mode": self._fleet.operations.view().safe_mode.reason,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Ready when a leader is known: it or this one serves."""
        status = self._driver.status()
        known = bool(status.leader)
        reason = "" if known else "no leader is known: an election is under way or no majority"
        if not status.configuration.members:
            known, reason = False, self._formation.reason or "not a member of a cluster yet"
        return known, {"ready": known, "leader": status.leader, "reason": reason}

    async def ask_leader(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """See `roles.base.Role`; a leader asks itself in the same way as others."""
        leader = self._driver.status().leader
        if not leader:
            raise Unavailable("no leader is known")
        return await self._ask_master(member_name(leader), path, request, timeout_ms)

    async def start(self) -> None:
        """Join the other masters."""
        supervisor = self._node.supervisor
        self._audit.begin(self._driver, self.ask_leader)
        self._driver.on_configuration(self._members_changed)
        await self._transport.start()
        await self._driver.start()
        supervisor.spawn("fleet", self._fleet.run(self._driver))
        supervisor.spawn("keys", self._keys.run())
        self._upkeep.start()
        if not self._is_member():
            supervisor.spawn("bootstrap", self._formation.run())
        self._leaving = supervisor.spawn("hand over", self._hand_over_when_stopping())

    async def stop(self) -> None:
        """Leave; a leader hands over first, and what waits is written."""
        if self._leaving is not None:
            if not self._node.supervisor.stopping.is_set():
                self._leaving.cancel()
                await self._hand_over()
            await self.left()
        await self._snapshots.stop()
        await self._masters.close()
        await self._chunkservers.close()
        await self._driver.stop()
        await self._transport.stop()
        self._store.close()
        self._audit.stop()

    async def left(self) -> None:
        """Return when this master, asked to stop, has handed over or could not."""
        if self._leaving is not None:
            await asyncio.wait([self._leaving])

    async def _hand_over_when_stopping(self) -> None:
        """At once when the node is asked to stop: while its listeners still hear the others."""
        supervisor = self._node.supervisor
        await supervisor.stopping.wait()
        if supervisor.failure is None:
            await self._hand_over()

    async def _hand_over(self) -> None:
        """Let another lead, if one can; a leader that just ends costs the others a timeout."""
        status = self._driver.status()
        if not self._driver.is_leader or not any(p.voter and p.active for p in status.peers):
            return
        timeout_s = self._node.config.raft.election_timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await self._driver.transfer_leadership("")
        except (PydfsError, TimeoutError) as error:
            _log.warning("stops as leader", why=str(error) or type(error).__name__)
        else:
            _log.info("handed over", leader=self._driver.status().leader)

    def _live_nodes(self) -> list[str]:
        """Identities of the masters and chunkservers that are there now."""
        cluster_id = self._node.tls.identity.cluster_id
        masters = {member_name(m.member) for m in self._membership.members() if m.active}
        masters.add(self._node.config.node_id)
        servers = {s.node_id for s in self._fleet.chunkservers() if s.state == "live"}
        names = [("master", sorted(masters)), ("chunkserver", sorted(servers))]
        return [Identity(cluster_id, r, name).uri for r, found in names for name in found]

    def _make_keys(self) -> KeyUpkeep:
        store, clock = self._store, self._node.clock
        return KeyUpkeep(
            self._node.config.node_id, store.keyring, store.sealed, store.log, self._driver,
            lambda: store.namespace.tree.administration.chunk_key_epoch,
            lambda: clock.monotonic_ms() / 1000, forgetting=self._forgetting,
        )  # fmt: skip

    def _forgetting(self) -> Order:
        namespace = self._store.namespace
        return Order(namespace.tree.file_keys.forgetting.orders, namespace.applied_index)

    def _keys_service(self, callers: Callers) -> KeysService:
        return KeysService(
            self._consensus, callers, self._keys, self._fleet, self._other_masters,
            self._ask_master, self._node.config.forget_keys_after_ms,
        )  # fmt: skip

    def _other_masters(self) -> list[str]:
        members = self._driver.configuration.members
        return sorted({member_name(m) for m in members} - {self._node.config.node_id})

    async def _ask_master(self, name: str, path: str, request: Any, timeout_ms: int) -> Any:
        members = self._driver.configuration.members
        known = (self._transport.address_of(m) for m in members if member_name(m) == name)
        address = next(known, "") or self._addresses.get(name, "")
        if not address:
            raise Unavailable(f"no address of {name} is known")
        channel = self._masters.channel("master", name, address)
        return await channel.unary(path, request, timeout_ms=timeout_ms)

    def _unneeded_keys_below(self, wall_ms: int) -> int:
        made_ms = self._store.namespace.tree.administration.chunk_keys_made_ms
        return droppable_below(made_ms, self._fleet, wall_ms, CHUNK_KEYS_KEPT_MS)

    def _is_member(self) -> bool:
        return bool(self._driver.configuration.members)

    def _members_changed(self, configuration: Configuration) -> None:
        addresses = {
            member: configuration.addresses.get(member)
            or self._addresses.get(member_name(member), "")
            for member in configuration.members
        }
        self._transport.set_members(addresses)
        if configuration.members:
            _log.info(
                "members",
                voters=list(configuration.voters),
                outgoing=list(configuration.outgoing),
                learners=list(configuration.learners),
            )

    def _receive(self, message: Message) -> None:
        self._driver.receive(message)

    def _raft_state(self) -> object:
        status = self._driver.status()
        configuration = status.configuration
        return {
            "node_id": status.node_id,
            "member": status.member_id,
            "role": status.role,
            "term": status.term,
            "leader": status.leader,
            "first_index": status.first_index,
            "commit_index": status.commit_index,
            "applied_index": status.applied_index,
            "last_index": status.last_index,
            "fsync": status.fsync,
            "fsync_warning": status.fsync_warning,
            "voters": list(configuration.voters),
            "outgoing": list(configuration.outgoing),
            "learners": list(configuration.learners),
            "configuration_index": status.configuration_index,
            "peers": [
                {
                    "id": member_name(peer.node_id),
                    "member": peer.node_id,
                    "match_index": peer.match_index,
                    "active": peer.active,
                    "state": peer.state,
                    "voter": peer.voter,
                    "lag": status.last_index - peer.match_index,
                }
                for peer in status.peers
            ],
        }


def _core(config: NodeConfig, store: MasterStore, now_ms: int) -> RaftCore:
    return RaftCore(
        store.member,
        (),
        store.log.start,
        store.log.hard_state,
        Timing(
            config.raft.heartbeat_ms,
            config.raft.election_timeout_ms,
            config.raft.clock_drift,
            config.raft.disk_stall_ms,
        ),
        random.SystemRandom().random,
        now_ms,
        store.namespace.applied_index,
    )


async def run(config: NodeConfig) -> int:
    """Run a master until it is stopped; return the process's exit code."""
    return await run_node(config, MasterRole.make)

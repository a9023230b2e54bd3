"""Wires a master: store, consensus, fleet, services and pages."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from pydfsnode import __version__
from pydfsnode.config import NodeConfig
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.messages import Message
from pydfsnode.raft.types import Timing
from pydfsnode.roles.base import Node, run_node
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.gauges import export_gauges
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.roles.master.service.cluster import ClusterService
from pydfsnode.roles.master.service.fleet import FleetService
from pydfsnode.roles.master.service.namespace import NamespaceService
from pydfsnode.roles.master.store import MasterStore, open_store
from pydfsnode.rpc.node_service import NodeService
from pydfsnode.rpc.raft_transport import RaftTransport
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.raft_driver import RaftDriver

_log = get_logger("roles.master")

RAFT_STREAM = "/pydfs.v1.Raft/Stream"


class MasterRole:
    """A running master. `make` opens the disk; `start` joins the others."""

    def __init__(self, node: Node, store: MasterStore) -> None:
        config = node.config
        self._node = node
        self._store = store
        addresses = {peer.node_id: peer.listen for peer in config.peers()}
        self._fleet = Fleet(store.namespace, node.clock, config.dead_after_ms, random.random)
        machine = NamespaceMachine(store.namespace, self._fleet.namespace_changed)
        self._transport = RaftTransport(
            config.node_id,
            {name: listen for name, listen in addresses.items() if name != config.node_id},
            node.tls,
            self._receive,
        )
        self._driver = RaftDriver(
            _core(config, store, node.clock.monotonic_ms()),
            store.log,
            machine,
            self._transport,
            node.clock,
            node.supervisor,
            addresses,
            tick_ms=config.raft.tick_ms,
            fsync=config.fsync,
            fsync_interval_ms=config.fsync_interval_ms,
        )
        consensus = Consensus(self._driver, store.namespace, node.clock)
        allocation = Allocation(consensus, self._fleet, store.namespace)
        namespace = NamespaceService(
            consensus, allocation, self._fleet, config.replication, config.chunk_bytes
        )
        cluster = ClusterService(
            self._driver,
            self._fleet,
            store.namespace,
            config,
            node.tls.identity.cluster_id,
            addresses,
        )
        self._handlers: dict[str, Any] = {
            **namespace.handlers(),
            **cluster.handlers(),
            **FleetService(self._driver, self._fleet, store.namespace).handlers(),
            **NodeService(config.node_id, config.role, __version__).handlers(),
            RAFT_STREAM: self._transport.handler,
        }
        export_gauges(self._driver, self._fleet, store.namespace)

    @classmethod
    async def make(cls, node: Node) -> MasterRole:
        """Open and verify the disk, wire the rest."""
        store = open_store(node.config, node.tls.identity)
        _log.info(
            "opened",
            voters=list(store.voters),
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
            "raft_role": status.role,
            "fsync": status.fsync,
            "warning": status.fsync_warning,
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Ready when a leader is known: it or this one serves."""
        status = self._driver.status()
        known = bool(status.leader)
        reason = "" if known else "no leader is known: an election is under way or no majority"
        return known, {"ready": known, "leader": status.leader, "reason": reason}

    async def start(self) -> None:
        """Join the other masters."""
        await self._transport.start()
        await self._driver.start()
        self._node.supervisor.spawn("fleet", self._fleet.run(self._driver))

    async def stop(self) -> None:
        """Leave; what waits is written first."""
        await self._driver.stop()
        await self._transport.stop()
        self._store.close()

    def _receive(self, message: Message) -> None:
        self._driver.receive(message)

    def _raft_state(self) -> object:
        status = self._driver.status()
        return {
            "node_id": status.node_id,
            "role": status.role,
            "term": status.term,
            "leader": status.leader,
            "commit_index": status.commit_index,
            "applied_index": status.applied_index,
            "last_index": status.last_index,
            "fsync": status.fsync,
            "fsync_warning": status.fsync_warning,
            "peers": [
                {
                    "id": peer.node_id,
                    "match_index": peer.match_index,
                    "active": peer.active,
                    "lag": status.last_index - peer.match_index,
                }
                for peer in status.peers
            ],
        }


def _core(config: NodeConfig, store: MasterStore, now_ms: int) -> RaftCore:
    return RaftCore(
        config.node_id,
        store.voters,
        store.log.start,
        store.log.hard_state,
        Timing(config.raft.heartbeat_ms, config.raft.election_timeout_ms),
        random.SystemRandom().random,
        now_ms,
        store.namespace.applied_index,
    )


async def run(config: NodeConfig) -> int:
    """Run a master until it is stopped; return the process's exit code."""
    return await run_node(config, MasterRole.make)

"""The Cluster service: how the whole stands, as the leader sees it."""

from __future__ import annotations

from collections.abc import Mapping

from pydfsnode.config import NodeConfig
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master import health
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.raft_status import RaftStatus


class ClusterService:
    """Status: asks nobody, but only a confirmed leader answers, so that the picture is one."""

    def __init__(
        self,
        driver: RaftDriver,
        fleet: Fleet,
        namespace: Namespace,
        config: NodeConfig,
        cluster_id: str,
        addresses: Mapping[str, str],
    ) -> None:
        self._driver = driver
        self._fleet = fleet
        self._namespace = namespace
        self._config = config
        self._cluster_id = cluster_id
        self._addresses = addresses

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {"/pydfs.v1.Cluster/Status": self.status}

    async def status(
        self, request: pb.ClusterStatusRequest, call: CallContext
    ) -> pb.ClusterStatusResponse:
        """Everything `cluster status` prints."""
        await self._driver.read_barrier()
        raft = self._driver.status()
        checks = health.check(self._condition(raft))
        chunkservers = self._fleet.chunkservers()
        return pb.ClusterStatusResponse(
            cluster_id=self._cluster_id,
            health=health.overall(checks),
            checks=[
                pb.HealthCheck(code=c.code, severity=c.severity, message=c.message, remedy=c.remedy)
                for c in checks
            ],
            leader=raft.leader,
            term=raft.term,
            commit_index=raft.commit_index,
            applied_index=raft.applied_index,
            masters=self._masters(raft),
            chunkservers=[
                pb.ChunkserverState(
                    id=s.node_id,
                    state=s.state,
                    chunks=s.chunks,
                    used_bytes=s.used_bytes,
                    free_bytes=s.free_bytes,
                    rack=s.rack,
                    listen=s.listen,
                    last_heartbeat_ms_ago=s.silent_ms,
                )
                for s in chunkservers
            ],
            under_replicated=self._fleet.under_replicated,
            missing=self._fleet.missing,
            chunks=self._namespace.chunk_count,
            files=self._namespace.file_count,
            directories=self._namespace.directory_count,
            fsync=raft.fsync,
            repairs_running=self._fleet.repairs_running,
        )

    def _condition(self, raft: RaftStatus) -> health.Condition:
        servers = self._fleet.chunkservers()
        return health.Condition(
            voters=len(self._addresses),
            peers=raft.peers,
            fsync=raft.fsync,
            live_chunkservers=sum(s.state == "live" for s in servers),
            dead_chunkservers=[s.node_id for s in servers if s.state != "live"],
            chunks=self._namespace.chunk_count,
            under_replicated=self._fleet.under_replicated,
            missing=self._fleet.missing,
            replication=self._config.replication,
            warming_up=self._fleet.warming_up,
        )

    def _masters(self, raft: RaftStatus) -> list[pb.MasterState]:
        peers = {peer.node_id: peer for peer in raft.peers}
        found = []
        for node_id, listen in sorted(self._addresses.items()):
            peer = peers.get(node_id)
            match_index = raft.last_index if peer is None else peer.match_index
            found.append(
                pb.MasterState(
                    id=node_id,
                    role="leader" if peer is None else "follower",
                    match_index=match_index,
                    lag=raft.last_index - match_index,
                    listen=listen,
                    recently_active=peer is None or peer.active,
                )
            )
        return found

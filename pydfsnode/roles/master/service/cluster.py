"""The Cluster service: how the whole stands, as the leader sees it, and who its masters are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from pydfsnode.config import NodeConfig
from pydfsnode.errors import DomainError, NotLeader, PydfsError, UnsafeChange
from pydfsnode.fleet.health import AVOIDED
from pydfsnode.meta.administration import DECOMMISSIONING, IN_SERVICE, SAFE_MODE
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.configuration import member_incarnation, member_name
from pydfsnode.roles.master import health
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.membership import Member, Membership
from pydfsnode.roles.master.service.fleet_orders import safe_mode
from pydfsnode.roles.master.store import kek_with_data
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.node_service import links_of
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.raft_status import RaftStatus

_log = get_logger("roles.master.cluster")


class ClusterService:
    """Status and Members ask nobody, but only a confirmed leader answers: the picture is one."""

    def __init__(
        self,
        driver: RaftDriver,
        fleet: Fleet,
        namespace: Namespace,
        config: NodeConfig,
        cluster_id: str,
        membership: Membership,
        expiring: Callable[[], list[tuple[str, int]]] = list,
        peers: PeerHealth | None = None,
        audit_problem: Callable[[], str] = str,
    ) -> None:
        self._driver = driver
        self._fleet = fleet
        self._namespace = namespace
        self._config = config
        self._cluster_id = cluster_id
        self._membership = membership
        self._expiring = expiring
        self._peers = peers
        self._audit_problem = audit_problem

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            "/pydfs.v1.Cluster/Status": self.status,
            "/pydfs.v1.Cluster/Members": self.members,
            "/pydfs.v1.Cluster/AddServer": self.add_server,
            "/pydfs.v1.Cluster/RemoveServer": self.remove_server,
            "/pydfs.v1.Cluster/TransferLeadership": self.transfer_leadership,
        }

    async def members(self, request: pb.MembersRequest, call: CallContext) -> pb.MembersResponse:
        """Who the masters are, from the log."""
        await self._membership.confirm_leader()
        return self._members()

    async def add_server(
        self, request: pb.AddServerRequest, call: CallContext
    ) -> pb.AddServerResponse:
        """Make a master a learner, and a voter once it holds the log."""
        what = "add learner" if request.learner_only else "add voter"
        with _told(what, request.node_id, call, listen=request.listen):
            await self._membership.add(
                request.node_id, request.listen, learner_only=request.learner_only
            )
        return pb.AddServerResponse(members=self._members(), leader_hint=self._driver.own_hint)

    async def remove_server(
        self, request: pb.RemoveServerRequest, call: CallContext
    ) -> pb.RemoveServerResponse:
        """Take a master out."""
        with _told("force out" if request.force else "remove", request.node_id, call):
            await self._membership.remove(request.node_id, force=request.force)
        return pb.RemoveServerResponse(members=self._members(), leader_hint=self._driver.own_hint)

    async def transfer_leadership(
        self, request: pb.TransferLeadershipRequest, call: CallContext
    ) -> pb.TransferLeadershipResponse:
        """Hand over to a voter."""
        with _told("make leader", request.to, call), _counted():
            gap_ms = await self._membership.transfer(request.to)
        leader = member_name(self._driver.status().leader)
        return pb.TransferLeadershipResponse(leader=leader, gap_ms=gap_ms)

    def _members(self) -> pb.MembersResponse:
        raft = self._driver.status()
        return pb.MembersResponse(
            members=self._masters(),
            leader=member_name(raft.leader),
            term=raft.term,
            changing=self._driver.configuration.is_joint,
            configuration_index=self._driver.configuration_index,
        )

    async def status(
        self, request: pb.ClusterStatusRequest, call: CallContext
    ) -> pb.ClusterStatusResponse:
        """Everything `cluster status` prints."""
        await self._membership.confirm_leader()
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
            leader=member_name(raft.leader),
            term=raft.term,
            commit_index=raft.commit_index,
            applied_index=raft.applied_index,
            masters=self._masters(),
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
                    admin_state=s.admin_state,
                    scrub=None if s.load.scrub is None else pb.ScrubState(**asdict(s.load.scrub)),
                    health_score=s.health,
                    condition=s.condition,
                    health_reasons=s.reasons,
                    streams=s.streams,
                    queued=s.load.queued,
                    disks=s.load.disks,
                    failed_disks=s.load.failed_disks,
                    write_p99_ms=s.load.write_p99_ms,
                    read_p99_ms=s.load.read_p99_ms,
                )
                for s in chunkservers
            ],
            under_replicated=self._fleet.under_replicated,
            missing=self._fleet.missing,
            chunks=self._namespace.chunk_count,
            files=self._namespace.file_count,
            directories=self._namespace.directory_count,
            fsync=raft.fsync,
            safe_mode=safe_mode(self._fleet.operations.view()),
            repairs_running=self._fleet.repairs_running,
            appends_sent=raft.appends_sent,
            entries_sent=raft.entries_sent,
            groups_written=raft.groups_written,
            entries_written=raft.entries_written,
            links=links_of(self._peers),
        )

    def _condition(self, raft: RaftStatus) -> health.Condition:
        servers = self._fleet.chunkservers()
        return health.Condition(
            voters=len(self._driver.configuration.voters),
            peers=raft.peers,
            last_index=raft.last_index,
            changing=self._driver.configuration.is_joint,
            fsync=raft.fsync,
            live_chunkservers=sum(s.state == "live" for s in servers),
            dead_chunkservers=[
                s.node_id
                for s in servers
                if s.state != "live" and s.admin_state in (IN_SERVICE, DECOMMISSIONING)
            ],
            chunks=self._namespace.chunk_count,
            under_replicated=self._fleet.under_replicated,
            missing=self._fleet.missing,
            replication=self._config.replication,
            warming_up=self._fleet.warming_up,
            read_only_by=self._read_only_by(),
            expiring=self._expiring(),
            audit_problem=self._audit_problem(),
            kek_with_data=kek_with_data(self._config),
            failed_disks=[
                (s.node_id, s.load.failed_disks, s.load.disks)
                for s in servers
                if s.state == "live" and s.load.failed_disks
            ],
            audit_failing=[
                (s.node_id, s.load.audit_problem)
                for s in servers
                if s.state == "live" and s.load.audit_problem
            ],
            poor_chunkservers=[
                (s.node_id, ", ".join(s.reasons))
                for s in servers
                if s.state == "live" and s.condition == AVOIDED
            ],
        )

    def _read_only_by(self) -> str:
        order = self._namespace.tree.administration.mode(SAFE_MODE)
        return "" if order is None else order.user

    def _masters(self) -> list[pb.MasterState]:
        return [
            pb.MasterState(
                id=member_name(m.member),
                role="leader" if m.leads else "learner" if _learns(m) else "follower",
                match_index=m.match_index,
                lag=m.lag,
                listen=m.listen,
                recently_active=m.active,
                membership=m.membership,
                incarnation=member_incarnation(m.member),
                replication=m.state,
            )
            for m in self._membership.members()
        ]


def _learns(member: Member) -> bool:
    return member.membership == "learner"


@contextmanager
def _counted() -> Iterator[None]:
    """Count a handover by what became of it."""
    result = "failed"
    try:
        yield
        result = "ok"
    except NotLeader:
        result = ""
        raise
    except (DomainError, UnsafeChange):
        result = "refused"
        raise
    finally:
        if result:
            metrics().counter("raft_transfers_total", result).inc()


@contextmanager
def _told(what: str, master: str, call: CallContext, **more: str) -> Iterator[None]:
    """Log who wanted which change of the masters, and what became of it."""
    told = {
        "what": what, "master": master[:80], "by": call.identity.uri, "peer": call.peer,
        "request_id": call.request_id, **more,
    }  # fmt: skip
    _log.info("masters: asked", **told)
    try:
        yield
    except NotLeader:
        _log.info("masters: sent to the leader", **told)
        raise
    except PydfsError as error:
        _log.warning("masters: refused", **told, why=error.message)
        raise
    except BaseException as error:
        _log.warning("masters: not finished", **told, why=type(error).__name__)
        raise
    _log.info("masters: done", **told)

"""The masters' RPCs about themselves as methods on plain values.

Each names the end that is wanted, so any of them may be repeated, by the router too.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import fields
from typing import Any, Protocol

from pydfsnode.client.fleet import Scrub
from pydfsnode.client.members import Member, Members, Transferred
from pydfsnode.client.model import (
    ChunkserverState,
    ClusterStatus,
    HealthCheck,
    MasterState,
)
from pydfsnode.client.wire_nodes import peer_links
from pydfsnode.config import Peer
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

_CLUSTER = "/pydfs.v1.Cluster/"
LIST_TIMEOUT_MS = 5_000


class Router(Protocol):
    """Finds the leader and asks it; see routing.py."""

    def call(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """The leader's answer; see LeaderRouter.call."""
        ...


class Channel(Protocol):
    """A connection to one master."""

    def ask(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """One call, request and answer encoded; see rpc/channel.py."""
        ...


async def list_masters(leader: Channel) -> list[Peer]:
    """All masters and where they listen, as *leader* says, which must lead."""
    path = _CLUSTER + "Members"
    request = pb.MembersRequest().SerializeToString()
    answer = rpc_of(path).parse_response(
        await leader.ask(path, request, timeout_ms=LIST_TIMEOUT_MS)
    )
    return [Peer(member.id, member.listen) for member in answer.members]


class ClusterCalls:
    """One method for every RPC; errors as of `MasterCalls`."""

    def __init__(self, router: Router, timeout_ms: int) -> None:
        self._router = router
        self._timeout_ms = timeout_ms

    async def _ask(self, name: str, request: Any) -> Any:
        path = _CLUSTER + name
        encoded = request.SerializeToString()
        answer = await self._router.call(path, encoded, timeout_ms=self._timeout_ms)
        return rpc_of(path).parse_response(answer)

    async def status(self) -> ClusterStatus:
        """How the leader sees the cluster."""
        return _cluster_status(await self._ask("Status", pb.ClusterStatusRequest()))

    async def members(self) -> Members:
        """Who the masters are."""
        return _members(await self._ask("Members", pb.MembersRequest()))

    async def add_server(self, node_id: str, listen: str, *, learner_only: bool) -> Members:
        """Make a master a learner or voter; returns when it is one."""
        request = pb.AddServerRequest(node_id=node_id, listen=listen, learner_only=learner_only)
        return _members((await self._ask("AddServer", request)).members)

    async def remove_server(self, node_id: str, *, force: bool) -> Members:
        """Take a master out; returns when it is."""
        request = pb.RemoveServerRequest(node_id=node_id, force=force)
        return _members((await self._ask("RemoveServer", request)).members)

    async def transfer_leadership(self, to: str) -> Transferred:
        """Make a master the leader, any other when *to* is ""."""
        if not to:
            # The end must be named: asked twice, the leadership would move twice.
            to = await self._next_leader()
        answer = await self._ask("TransferLeadership", pb.TransferLeadershipRequest(to=to))
        return Transferred(answer.leader, answer.gap_ms)

    async def _next_leader(self) -> str:
        """The voter that follows best; "" when there is none: the leader says so."""
        found = await self.members()
        others = [
            member
            for member in found.members
            if member.membership == "voter" and member.recently_active and member.id != found.leader
        ]
        return max(others, key=lambda m: (m.match_index, m.id)).id if others else ""


def _members(answer: Any) -> Members:
    return Members(
        [
            Member(
                m.id,
                m.role,
                m.membership,
                m.listen,
                bool(m.recently_active),
                m.match_index,
                m.lag,
                m.incarnation,
                m.replication,
            )
            for m in answer.members
        ],
        answer.leader,
        answer.term,
        bool(answer.changing),
        answer.configuration_index,
    )


def _cluster_status(answer: pb.ClusterStatusResponse) -> ClusterStatus:
    return ClusterStatus(
        cluster_id=answer.cluster_id,
        health=answer.health,
        checks=[HealthCheck(c.code, c.severity, c.message, c.remedy) for c in answer.checks],
        leader=answer.leader,
        term=answer.term,
        commit_index=answer.commit_index,
        applied_index=answer.applied_index,
        masters=[
            MasterState(
                m.id,
                m.role,
                m.match_index,
                m.lag,
                m.listen,
                m.recently_active,
                m.membership or "voter",
                m.incarnation,
                m.replication,
            )
            for m in answer.masters
        ],
        chunkservers=[
            ChunkserverState(
                s.id,
                s.state,
                s.chunks,
                s.used_bytes,
                s.free_bytes,
                s.rack,
                s.listen,
                s.last_heartbeat_ms_ago,
                health_score=s.health_score,
                condition=s.condition,
                health_reasons=tuple(s.health_reasons),
                streams=s.streams,
                queued=s.queued,
                disks=s.disks,
                failed_disks=s.failed_disks,
                write_p99_ms=s.write_p99_ms,
                read_p99_ms=s.read_p99_ms,
                admin_state=s.admin_state or "in service",
                scrub=_scrub(s.scrub) if s.HasField("scrub") else None,
            )
            for s in answer.chunkservers
        ],
        under_replicated=answer.under_replicated,
        missing=answer.missing,
        chunks=answer.chunks,
        files=answer.files,
        directories=answer.directories,
        fsync=answer.fsync,
        repairs_running=answer.repairs_running,
        appends_sent=answer.appends_sent,
        entries_sent=answer.entries_sent,
        groups_written=answer.groups_written,
        entries_written=answer.entries_written,
        safe_mode=answer.safe_mode.reason if answer.safe_mode.on else "",
        links=peer_links(answer.links),
    )


def _scrub(answer: pb.ScrubState) -> Scrub:
    return Scrub(**{each.name: getattr(answer, each.name) for each in fields(Scrub)})

"""The masters' RPCs as methods on plain values: the one place of the client that knows protobuf."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Protocol

from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    AllocatedChunk,
    ChunkDone,
    ChunkLocation,
    ChunkserverState,
    ClusterStatus,
    FileLocations,
    FileStatus,
    Freshness,
    HealthCheck,
    Listing,
    MasterState,
    OpId,
    Replica,
    Summary,
)
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire_cluster import ClusterCalls
from pydfsnode.errors import NoChunkservers, PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb

_NAMESPACE = "/pydfs.v1.Namespace/"
_CLUSTER_STATUS = "/pydfs.v1.Cluster/Status"
_MODES = {
    "linearizable": pb.ReadOptions.LINEARIZABLE,
    "lease": pb.ReadOptions.LEASE,
    "bounded": pb.ReadOptions.BOUNDED,
    "stale": pb.ReadOptions.STALE,
    "follower": pb.ReadOptions.LINEARIZABLE,
}


class Router(Protocol):
    """Finds the leader and asks it; see routing.py."""

    async def call(
        self,
        path: str,
        request: Any,
        *,
        timeout_ms: int,
        final: tuple[type[PydfsError], ...] = (),
    ) -> Any:
        """The leader's answer; see LeaderRouter.call."""
        ...

    async def read_any(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Any master's answer; see LeaderRouter.read_any."""
        ...

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well."""
        ...


class MasterCalls:
    """One method for every RPC of the masters; each mutation carries one op id in all its attempts.

    All methods raise what the masters answered (errors.py), or `Unavailable`, `OutcomeUnknown` or
    `DeadlineExceeded` when no leader answered within `timeout_ms`.
    """

    def __init__(self, router: Router, session: OpSession, timeout_ms: int) -> None:
        self._router = router
        self._session = session
        self.timeout_ms = timeout_ms
        self.cluster = ClusterCalls(router, timeout_ms)
        """What is asked about the masters themselves."""
        self.stalest: Freshness | None = None
        """Of all answers so far, the one that promised least; None while all were linearizable."""

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well."""
        return self._router.waiting_because()

    async def _ask(self, name: str, request: Any, final: tuple[type[PydfsError], ...] = ()) -> Any:
        return await self._router.call(
            _NAMESPACE + name, request, timeout_ms=self.timeout_ms, final=final
        )

    def _read(self, name: str, request: Any, consistency: Consistency | None) -> Awaitable[Any]:
        path = _NAMESPACE + name
        if consistency is None:
            return self._router.call(path, request, timeout_ms=self.timeout_ms)
        request.read.mode = _MODES[consistency.mode]
        request.read.max_staleness_ms = consistency.max_staleness_ms
        request.read.from_follower = consistency.any_master
        if consistency.any_master:
            return self._router.read_any(path, request, timeout_ms=self.timeout_ms)
        return self._router.call(path, request, timeout_ms=self.timeout_ms)

    def _freshness(self, answer: Any) -> Freshness | None:
        """The label of *answer*, None when it has none: then it is linearizable."""
        if not answer.HasField("freshness"):
            return None
        label = answer.freshness
        found = Freshness(label.linearizable, label.staleness_ms, label.served_by)
        if found.staler_than(self.stalest):
            self.stalest = found
        return found

    async def mkdirs(self, path: str, mode: int = 0) -> FileStatus:
        """Make a directory and its missing parents; one that exists already is no error."""
        async with self._session.operation() as op:
            request = pb.MkdirsRequest(op=_op(op), path=path, mode=mode)
            return _status((await self._ask("Mkdirs", request)).status)

    async def create(
        self,
        path: str,
        *,
        replication: int = 0,
        chunk_bytes: int = 0,
        mode: int = 0,
        overwrite: bool = False,
        create_parents: bool = True,
    ) -> FileStatus:
        """Create an empty file under construction; 0 means the cluster's default."""
        async with self._session.operation() as op:
            request = pb.CreateRequest(
                op=_op(op),
                path=path,
                replication=replication,
                chunk_bytes=chunk_bytes,
                mode=mode,
                overwrite=overwrite,
                create_parents=create_parents,
            )
            return _status((await self._ask("Create", request)).status)

    async def allocate_chunk(
        self,
        inode_id: int,
        *,
        previous: ChunkDone | None = None,
        exclude: Iterable[str] = (),
        abandon_chunk_id: int = 0,
    ) -> AllocatedChunk:
        """Append a chunk to a file under construction and get its pipeline.

        With *exclude*, NoChunkservers is raised at once: the caller may want to exclude fewer.

        Args:
            inode_id: of the file.
            previous: the chunk just finished; None before the first.
            exclude: node ids of chunkservers that just failed this writer.
            abandon_chunk_id: a chunk of which nothing was acknowledged; 0: none.
        """
        async with self._session.operation() as op:
            request = pb.AllocateChunkRequest(
                op=_op(op),
                inode_id=inode_id,
                previous=_done(previous),
                exclude=sorted(exclude),
                abandon_chunk_id=abandon_chunk_id,
            )
            final = (NoChunkservers,) if request.exclude else ()
            answer = await self._ask("AllocateChunk", request, final)
        return AllocatedChunk(
            answer.chunk_id, answer.version, answer.epoch, _replicas(answer.targets)
        )

    async def complete(
        self, inode_id: int, *, last: ChunkDone | None, abandon_chunk_id: int = 0
    ) -> FileStatus:
        """Close a file; once this returns, it is durable (INV-DUR) and visible with its size."""
        async with self._session.operation() as op:
            request = pb.CompleteRequest(
                op=_op(op),
                inode_id=inode_id,
                last=_done(last),
                abandon_chunk_id=abandon_chunk_id,
            )
            return _status((await self._ask("Complete", request)).status)

    async def abandon(self, inode_id: int) -> None:
        """Drop a file under construction and its chunks."""
        async with self._session.operation() as op:
            await self._ask("Abandon", pb.AbandonRequest(op=_op(op), inode_id=inode_id))

    async def delete(self, path: str, *, recursive: bool) -> int:
        """Delete a path; returns how many files and directories went."""
        async with self._session.operation() as op:
            request = pb.DeleteRequest(op=_op(op), path=path, recursive=recursive)
            return int((await self._ask("Delete", request)).inodes)

    async def rename(self, source: str, destination: str) -> FileStatus:
        """Move a path in one step; the destination must not exist."""
        async with self._session.operation() as op:
            request = pb.RenameRequest(op=_op(op), source=source, destination=destination)
            return _status((await self._ask("Rename", request)).status)

    # A consistency of None leaves it to the masters' configuration.

    async def stat(self, path: str, consistency: Consistency | None = None) -> FileStatus:
        """What the namespace knows of a path."""
        answer = await self._read("Stat", pb.StatRequest(path=path), consistency)
        return _status(answer.status, self._freshness(answer))

    async def list_directory(
        self,
        path: str,
        start_after: str = "",
        limit: int = 0,
        consistency: Consistency | None = None,
    ) -> Listing:
        """One page of a directory after the name `start_after`; a file lists itself."""
        request = pb.ListRequest(path=path, start_after=start_after, limit=limit)
        answer = await self._read("List", request, consistency)
        freshness = self._freshness(answer)
        entries = [_status(entry, freshness) for entry in answer.entries]
        return Listing(entries, bool(answer.more), freshness)

    async def locate(self, path: str, consistency: Consistency | None = None) -> FileLocations:
        """A file's chunks and where their replicas are; the status has the label."""
        answer = await self._read("Locate", pb.LocateRequest(path=path), consistency)
        chunks = tuple(_location(chunk) for chunk in answer.chunks)
        return FileLocations(_status(answer.status, self._freshness(answer)), chunks)

    async def summary(self, path: str, consistency: Consistency | None = None) -> Summary:
        """Totals of everything under a path."""
        answer = await self._read("Summary", pb.SummaryRequest(path=path), consistency)
        return Summary(
            int(answer.directories),
            int(answer.files),
            int(answer.bytes),
            int(answer.bytes_replicated),
            self._freshness(answer),
        )

    async def report_bad_replica(self, chunk_id: int, node_id: str, reason: str) -> None:
        """Tell the leader that a replica failed verification, so that it is repaired (INV-SUM)."""
        request = pb.ReportBadReplicaRequest(chunk_id=chunk_id, node_id=node_id, reason=reason)
        await self._ask("ReportBadReplica", request)

    async def cluster_status(self) -> ClusterStatus:
        """How the leader sees the cluster."""
        answer = await self._router.call(
            _CLUSTER_STATUS, pb.ClusterStatusRequest(), timeout_ms=self.timeout_ms
        )
        return _cluster_status(answer)


def _op(op: OpId) -> pb.OpId:
    return pb.OpId(client_id=op.client_id, seq=op.seq, first_unacked=op.first_unacked)


def _done(chunk: ChunkDone | None) -> pb.ChunkDone | None:
    if chunk is None:
        return None
    return pb.ChunkDone(
        chunk_id=chunk.chunk_id, version=chunk.version, length=chunk.length, crc32c=chunk.crc32c
    )


def _replicas(addresses: Sequence[pb.Address]) -> tuple[Replica, ...]:
    return tuple(Replica(address.node_id, address.listen) for address in addresses)


def _status(status: pb.FileStatus, freshness: Freshness | None = None) -> FileStatus:
    return FileStatus(
        path=status.path,
        type=DIRECTORY if status.type == pb.DIRECTORY else FILE,
        size=status.size,
        replication=status.replication,
        owner=status.owner,
        group=status.group,
        mode=status.mode,
        mtime_ms=status.mtime_ms,
        checksum=status.checksum,
        inode_id=status.inode_id,
        chunk_bytes=status.chunk_bytes,
        under_construction=status.under_construction,
        child_count=status.child_count,
        ctime_ms=status.ctime_ms,
        freshness=freshness,
    )


def _location(chunk: pb.ChunkLocation) -> ChunkLocation:
    return ChunkLocation(
        chunk_id=chunk.chunk_id,
        version=chunk.version,
        offset=chunk.offset,
        length=chunk.length,
        crc32c=chunk.crc32c,
        replicas=_replicas(chunk.replicas),
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
    )

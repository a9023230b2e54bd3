"""The Namespace service: requests to operations or queries, results to responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from pydfsnode.client.consistency import LINEARIZABLE, Consistency, Mode
from pydfsnode.errors import InvalidArgument, NotFound
from pydfsnode.meta import ops, queries
from pydfsnode.meta.results import ChunkAllocated, FileView, LocatedChunk, Removed
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.reading import Reading
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers

SERVICE = "/pydfs.v1.Namespace/"

S = TypeVar(
    "S",
    pb.MkdirsResponse, pb.CreateResponse, pb.CompleteResponse, pb.RenameResponse, pb.StatResponse,
)  # fmt: skip
View = Callable[[Namespace, Any], Any]
"""Makes the response to a request for reading."""

_TYPES = {"file": pb.FILE, "directory": pb.DIRECTORY}
_MODES = {
    pb.ReadOptions.LINEARIZABLE: LINEARIZABLE,
    pb.ReadOptions.LEASE: Consistency("lease"),
    pb.ReadOptions.STALE: Consistency("stale"),
}


class NamespaceService:
    """Handlers of a few lines each.

    What they share is in `Consensus`, `Reading`, `Allocation` and `Fleet`.

    Args of the constructor:
        replication, chunk_bytes: of files whose creators do not say.
        consistency: of reads that do not say.
    """

    def __init__(
        self,
        consensus: Consensus,
        allocation: Allocation,
        fleet: Fleet,
        replication: int,
        chunk_bytes: int,
        *,
        consistency: Consistency = LINEARIZABLE,
    ) -> None:
        self._consensus = consensus
        self._reading = Reading(consensus)
        self._plain_reads = 0
        self._consistency = consistency
        self._plain_by_default = consistency == LINEARIZABLE
        self._allocation = allocation
        self._fleet = fleet
        self._replication = replication
        self._chunk_bytes = chunk_bytes

        self._export_counts()

    def _export_counts(self) -> None:
        asked = self._reading.asked

        def total(mode: Mode) -> int:
            return asked[mode] + (self._plain_reads if mode == "linearizable" else 0)

        for mode in asked:
            metrics().follow("namespace_reads_total", partial(total, mode), mode)

    def handlers(self) -> Handlers:
        """Path to handler of the whole service."""
        return {
            SERVICE + "Mkdirs": self.mkdirs,
            SERVICE + "Create": self.create,
            SERVICE + "AllocateChunk": self.allocate_chunk,
            SERVICE + "Complete": self.complete,
            SERVICE + "Abandon": self.abandon,
            SERVICE + "Delete": self.delete,
            SERVICE + "Rename": self.rename,
            SERVICE + "Stat": self.stat,
            SERVICE + "List": self.list_directory,
            SERVICE + "Locate": self.locate,
            SERVICE + "Summary": self.summary,
            SERVICE + "ReportBadReplica": self.report_bad_replica,
        }

    # ---- mutations

    async def mkdirs(self, request: pb.MkdirsRequest, call: CallContext) -> pb.MkdirsResponse:
        """Make a directory and the missing ones above it."""
        op = ops.Mkdirs(*self._head(request.op, call), request.path, request.mode)
        return _filled(pb.MkdirsResponse(), await self._consensus.propose(op, FileView))

    async def create(self, request: pb.CreateRequest, call: CallContext) -> pb.CreateResponse:
        """Create a file that the caller then writes."""
        op = ops.Create(
            *self._head(request.op, call),
            request.path,
            request.replication or self._replication,
            request.chunk_bytes or self._chunk_bytes,
            request.mode,
            request.overwrite,
            request.create_parents,
        )
        return _filled(pb.CreateResponse(), await self._consensus.propose(op, FileView))

    async def allocate_chunk(
        self, request: pb.AllocateChunkRequest, call: CallContext
    ) -> pb.AllocateChunkResponse:
        """Choose a pipeline and record the chunk."""
        targets = await self._allocation.choose(request.inode_id, list(request.exclude))
        op = ops.AllocateChunk(
            *self._head(request.op, call),
            request.inode_id,
            _done(request.previous) if request.HasField("previous") else None,
            request.abandon_chunk_id,
            targets,
        )
        result = await self._consensus.propose(op, ChunkAllocated)
        return pb.AllocateChunkResponse(
            chunk_id=result.chunk_id,
            version=result.version,
            epoch=self._consensus.term,
            targets=self._addresses(result.targets),
        )

    async def complete(self, request: pb.CompleteRequest, call: CallContext) -> pb.CompleteResponse:
        """Close a file."""
        op = ops.Complete(
            *self._head(request.op, call),
            request.inode_id,
            _done(request.last) if request.HasField("last") else None,
            request.abandon_chunk_id,
        )
        return _filled(pb.CompleteResponse(), await self._consensus.propose(op, FileView))

    async def abandon(self, request: pb.AbandonRequest, call: CallContext) -> pb.AbandonResponse:
        """Give up a file that was never closed."""
        op = ops.Abandon(*self._head(request.op, call), request.inode_id)
        await self._consensus.propose(op, Removed)
        return pb.AbandonResponse()

    async def delete(self, request: pb.DeleteRequest, call: CallContext) -> pb.DeleteResponse:
        """Delete a file or directory."""
        op = ops.Delete(*self._head(request.op, call), request.path, request.recursive)
        result = await self._consensus.propose(op, Removed)
        return pb.DeleteResponse(inodes=result.inodes)

    async def rename(self, request: pb.RenameRequest, call: CallContext) -> pb.RenameResponse:
        """Move a file or directory."""
        op = ops.Rename(*self._head(request.op, call), request.source, request.destination)
        return _filled(pb.RenameResponse(), await self._consensus.propose(op, FileView))

    # ---- queries

    def stat(self, request: pb.StatRequest, _call: CallContext) -> Awaitable[pb.StatResponse]:
        """What lies at a path."""
        return self._read(request, _stat)

    def list_directory(
        self, request: pb.ListRequest, _call: CallContext
    ) -> Awaitable[pb.ListResponse]:
        """One page of a directory."""
        return self._read(request, _list_directory)

    def locate(self, request: pb.LocateRequest, _call: CallContext) -> Awaitable[pb.LocateResponse]:
        """A file's chunks and who holds them; every master hears that from the chunkservers."""
        return self._read(request, self._locate)

    def summary(
        self, request: pb.SummaryRequest, _call: CallContext
    ) -> Awaitable[pb.SummaryResponse]:
        """Counts and bytes of a subtree."""
        return self._read(request, _summary)

    async def _read(self, request: Any, view: View) -> Any:
        """What *view* makes of the namespace, as fresh as *request* says."""
        if self._plain_by_default and not request.HasField("read"):
            # The hot path: one await, no label.
            self._plain_reads += 1
            await self._consensus.leader_barrier()
            return view(self._consensus.namespace, request)
        return await self._read_as_asked(request, view)

    async def _read_as_asked(self, request: Any, view: View) -> Any:
        asked = request.read
        wanted = _consistency(asked) or self._consistency
        answer, freshness = await self._reading.answer(
            wanted,
            wanted.any_master or asked.from_follower,
            lambda: view(self._consensus.namespace, request),
        )
        # An answer without a label is linearizable; who says how fresh is told how fresh.
        if request.HasField("read") or not freshness.linearizable:
            answer.freshness.CopyFrom(
                pb.Freshness(
                    linearizable=freshness.linearizable,
                    staleness_ms=freshness.staleness_ms,
                    served_by=freshness.served_by,
                )
            )
        return answer

    def _locate(self, namespace: Namespace, request: pb.LocateRequest) -> pb.LocateResponse:
        view, chunks = queries.locate(namespace, request.path)
        return pb.LocateResponse(
            status=_status(view), chunks=[self._location(chunk) for chunk in chunks]
        )

    async def report_bad_replica(
        self, request: pb.ReportBadReplicaRequest, call: CallContext
    ) -> pb.ReportBadReplicaResponse:
        """A reader found a replica that does not match its checksum."""
        await self._consensus.read()
        if not self._fleet.holds(request.chunk_id, request.node_id):
            raise NotFound(
                f"{request.node_id} holds no replica of chunk {request.chunk_id}",
                chunk_id=request.chunk_id,
            )
        self._fleet.suspect(request.chunk_id, request.node_id, call.identity.uri)
        return pb.ReportBadReplicaResponse()

    # ---- conversions

    def _head(self, op: pb.OpId, call: CallContext) -> tuple[int, int, int, int, str]:
        if op.client_id == 0 or op.seq == 0:
            raise InvalidArgument(
                "a mutation needs an op id: client_id (random, not 0) and seq (1, 2, 3, ...)"
            )
        now_ms = self._consensus.wall_ms()
        return op.client_id, op.seq, op.first_unacked, now_ms, call.identity.name

    def _addresses(self, node_ids: Any) -> list[pb.Address]:
        return [
            pb.Address(node_id=node_id, listen=self._fleet.listen_of(node_id))
            for node_id in node_ids
        ]

    def _location(self, chunk: LocatedChunk) -> pb.ChunkLocation:
        replicas = self._fleet.readable(chunk.chunk_id)
        return pb.ChunkLocation(
            chunk_id=chunk.chunk_id,
            version=chunk.version,
            offset=chunk.offset,
            length=chunk.length,
            crc32c=chunk.crc32c,
            replicas=self._addresses(replicas),
        )


def _consistency(asked: pb.ReadOptions) -> Consistency | None:
    """What a request asks for, None when it leaves that to the configuration.

    Raises:
        InvalidArgument: an unknown mode, or bounded without a bound.
    """
    if asked.mode == pb.ReadOptions.DEFAULT:
        return None
    if asked.mode == pb.ReadOptions.BOUNDED:
        if not asked.max_staleness_ms:
            raise InvalidArgument("a bounded read needs max_staleness_ms, 1 or more")
        return Consistency("bounded", asked.max_staleness_ms)
    wanted = _MODES.get(asked.mode)
    if wanted is None:
        raise InvalidArgument(
            f"read mode {asked.mode} is unknown here: ask for LINEARIZABLE, LEASE, BOUNDED or STALE"
        )
    return wanted


def _stat(namespace: Namespace, request: pb.StatRequest) -> pb.StatResponse:
    return _filled(pb.StatResponse(), queries.stat(namespace, request.path))


def _list_directory(namespace: Namespace, request: pb.ListRequest) -> pb.ListResponse:
    page = queries.list_directory(namespace, request.path, request.start_after, request.limit)
    return pb.ListResponse(entries=[_status(view) for view in page.entries], more=page.more)


def _summary(namespace: Namespace, request: pb.SummaryRequest) -> pb.SummaryResponse:
    found = queries.summary(namespace, request.path)
    return pb.SummaryResponse(
        directories=found.directories,
        files=found.files,
        bytes=found.bytes,
        bytes_replicated=found.bytes_replicated,
    )


def _done(done: pb.ChunkDone) -> ops.ChunkDone:
    return ops.ChunkDone(done.chunk_id, done.version, done.length, done.crc32c)


def _status(view: FileView) -> pb.FileStatus:
    status = pb.FileStatus()
    _fill(status, view)
    return status


def _fill(status: pb.FileStatus, view: FileView) -> None:
    """Set what differs from zero, in place: half the time of the constructor and a copy."""
    status.path = view.path
    status.type = _TYPES[view.type]
    status.owner = view.owner
    status.group = view.group
    status.mode = view.mode
    status.mtime_ms = view.mtime_ms
    status.ctime_ms = view.ctime_ms
    status.inode_id = view.inode_id
    if view.child_count:
        status.child_count = view.child_count
    if view.type == "file":
        status.size = view.size
        status.replication = view.replication
        status.chunk_bytes = view.chunk_bytes
        status.under_construction = view.under_construction
        status.checksum = view.checksum


def _filled(response: S, view: FileView) -> S:
    """*response* with its field `status` set."""
    _fill(response.status, view)
    return response

"""The Namespace service: requests to operations or queries, results to responses."""

from __future__ import annotations

from typing import Any

from pydfsnode.errors import InvalidArgument, NotFound
from pydfsnode.meta import ops, queries
from pydfsnode.meta.results import ChunkAllocated, FileView, LocatedChunk, Removed
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers

SERVICE = "/pydfs.v1.Namespace/"

_TYPES = {"file": pb.FILE, "directory": pb.DIRECTORY}


class NamespaceService:
    """Handlers of a few lines each; what they share is in `Consensus`, `Allocation` and `Fleet`."""

    def __init__(
        self,
        consensus: Consensus,
        allocation: Allocation,
        fleet: Fleet,
        replication: int,
        chunk_bytes: int,
    ) -> None:
        self._consensus = consensus
        self._allocation = allocation
        self._fleet = fleet
        self._replication = replication
        self._chunk_bytes = chunk_bytes

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
        return pb.MkdirsResponse(status=_status(await self._consensus.propose(op, FileView)))

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
        return pb.CreateResponse(status=_status(await self._consensus.propose(op, FileView)))

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
        return pb.CompleteResponse(status=_status(await self._consensus.propose(op, FileView)))

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
        return pb.RenameResponse(status=_status(await self._consensus.propose(op, FileView)))

    # ---- queries

    async def stat(self, request: pb.StatRequest, call: CallContext) -> pb.StatResponse:
        """What lies at a path."""
        namespace = await self._consensus.read()
        return pb.StatResponse(status=_status(queries.stat(namespace, request.path)))

    async def list_directory(self, request: pb.ListRequest, call: CallContext) -> pb.ListResponse:
        """One page of a directory."""
        namespace = await self._consensus.read()
        page = queries.list_directory(namespace, request.path, request.start_after, request.limit)
        return pb.ListResponse(entries=[_status(view) for view in page.entries], more=page.more)

    async def locate(self, request: pb.LocateRequest, call: CallContext) -> pb.LocateResponse:
        """A file's chunks and who holds them."""
        namespace = await self._consensus.read()
        view, chunks = queries.locate(namespace, request.path)
        return pb.LocateResponse(
            status=_status(view), chunks=[self._location(chunk) for chunk in chunks]
        )

    async def summary(self, request: pb.SummaryRequest, call: CallContext) -> pb.SummaryResponse:
        """Counts and bytes of a subtree."""
        namespace = await self._consensus.read()
        found = queries.summary(namespace, request.path)
        return pb.SummaryResponse(
            directories=found.directories,
            files=found.files,
            bytes=found.bytes,
            bytes_replicated=found.bytes_replicated,
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


def _done(done: pb.ChunkDone) -> ops.ChunkDone:
    return ops.ChunkDone(done.chunk_id, done.version, done.length, done.crc32c)


def _status(view: FileView) -> pb.FileStatus:
    return pb.FileStatus(
        path=view.path,
        type=_TYPES[view.type],
        size=view.size,
        replication=view.replication,
        owner=view.owner,
        group=view.group,
        mode=view.mode,
        mtime_ms=view.mtime_ms,
        ctime_ms=view.ctime_ms,
        inode_id=view.inode_id,
        chunk_bytes=view.chunk_bytes,
        under_construction=view.under_construction,
        child_count=view.child_count,
        checksum=view.checksum,
    )

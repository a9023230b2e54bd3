"""Where the bytes of files are: on chunkservers, or here."""

from __future__ import annotations

from collections.abc import Iterable

from pydfsnode.errors import NotFound
from pydfsnode.meta import queries
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import INLINE
from pydfsnode.meta.queries import is_past
from pydfsnode.meta.results import FileView, LocatedChunk
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.capabilities import Capabilities, Grant
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.service.conversions import fill
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.security.capability import READING_OPEN, Operation

READ = int(Operation.READ)


def _NO_GRANT(_chunk_id: int, _version: int, _operations: int) -> bytes:
    return b""


class Locating:
    """The namespace says which chunks a file has, the fleet who holds them."""

    def __init__(self, consensus: Consensus, fleet: Fleet, capabilities: Capabilities) -> None:
        self._consensus = consensus
        self._fleet = fleet
        self._capabilities = capabilities

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {"ReportBadReplica": self.report_bad_replica}

    def locate(
        self, namespace: Namespace, request: pb.LocateRequest, caller: Caller
    ) -> pb.LocateResponse:
        """A file's chunks and who holds them; every master hears that from the chunkservers."""
        view, chunks = queries.locate(namespace, request.path, caller)
        response = pb.LocateResponse()
        fill(response.status, view)
        # Small files need none: their content comes along.
        grant = self._capabilities.for_user(caller.user) if not view.inline else _NO_GRANT
        for chunk in chunks:
            self._fill(response.chunks.add(), chunk, grant)
        if view.under_construction and not is_past(request.path):
            self._fill_open(response, namespace, view, chunks)
            if response.HasField("open_chunk"):
                opened = response.open_chunk
                opened.capability = grant(opened.chunk_id, opened.version, READING_OPEN)
        return response

    def _fill_open(
        self,
        response: pb.LocateResponse,
        namespace: Namespace,
        view: FileView,
        chunks: list[LocatedChunk],
    ) -> None:
        """The chunk that is being written, from where on it has or takes the place of others."""
        opened = namespace.tree.open_files.get(view.inode_id)
        if opened is None or not opened.chunk_id:
            return
        replaces = opened.replaces_inline or opened.replaces
        location = response.open_chunk
        location.chunk_id = opened.chunk_id
        location.version = opened.version
        location.offset = chunks[-1].offset if replaces else view.size
        location.replicas.extend(self.addresses(opened.targets))

    def _fill(self, location: pb.ChunkLocation, chunk: LocatedChunk, grant: Grant) -> None:
        location.chunk_id = chunk.chunk_id
        location.version = chunk.version
        location.offset = chunk.offset
        location.length = chunk.length
        location.crc32c = chunk.crc32c
        if chunk.version == INLINE:
            location.inline_content = self._consensus.read_inline(chunk.chunk_id)
        else:
            location.replicas.extend(self.addresses(self._fleet.readable(chunk.chunk_id)))
            location.capability = grant(chunk.chunk_id, chunk.version, READ)

    def addresses(self, node_ids: Iterable[str]) -> list[pb.Address]:
        """Where clients reach these chunkservers."""
        return [
            pb.Address(
                node_id=node_id,
                listen=self._fleet.listen_of(node_id),
                rack=self._fleet.rack_of(node_id),
            )
            for node_id in node_ids
        ]

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

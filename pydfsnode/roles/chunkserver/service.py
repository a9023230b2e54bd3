"""The Chunk and Node services: decode, check the epoch, hand over, encode."""

from __future__ import annotations

from pydfsnode import __version__, limits
from pydfsnode.client.model import Replica
from pydfsnode.client.wire_chunks import Connect, WriteAck, parse_base
from pydfsnode.errors import InvalidArgument, MalformedMessage
from pydfsnode.roles.chunkserver.admission import ChunkAdmission
from pydfsnode.roles.chunkserver.chunk_base import begin_chunk
from pydfsnode.roles.chunkserver.pipeline import ChainPlace, WritePipeline
from pydfsnode.roles.chunkserver.sealing import Sealing
from pydfsnode.roles.chunkserver.streams import StreamSlots
from pydfsnode.rpc.chunk_packets import pack_head
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import CHUNKSERVER
from pydfsnode.rpc.node_service import NodeService
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.server import Handlers, ServerStream
from pydfsnode.runtime.clock import Clock
from pydfsnode.security.capability import Operation
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore


class ChunkService:
    """Handlers of a chunkserver, the same for both transports."""

    def __init__(
        self,
        node_id: str,
        store: ChunkStore,
        epoch: EpochFile,
        connect: Connect,
        clock: Clock,
        admission: ChunkAdmission,
        sealing: Sealing | None = None,
        peers: PeerHealth | None = None,
    ) -> None:
        """
        Args:
            admission: who may touch which chunk.
            connect: reaches the other chunkservers.
            sealing: whether chunks are sealed at rest; None: they are not.
            peers: how this node's calls to others go, for who asks.
        """
        self._admission = admission
        self._sealing = sealing
        self._peers = peers
        self._node_id = node_id
        self._store = store
        self._epoch = epoch
        self._connect = connect
        self._clock = clock
        self.writes = StreamSlots("write", limits.WRITE_STREAMS_MAX)
        self.reads = StreamSlots("read", limits.READ_STREAMS_MAX)

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            "/pydfs.v1.Chunk/WriteChunk": self.write_chunk,
            "/pydfs.v1.Chunk/ReadChunk": self.read_chunk,
            "/pydfs.v1.Chunk/SealChunk": self.seal_chunk,
            "/pydfs.v1.Chunk/ChunkState": self.chunk_state,
            **NodeService(self._node_id, CHUNKSERVER, __version__, self._peers).handlers(),
        }

    async def write_chunk(
        self, first: pb.WriteChunkPacket, call: CallContext, stream: ServerStream
    ) -> None:
        """Receive a chunk, write it, forward it."""
        if not first.HasField("open"):
            raise MalformedMessage("WriteChunk begins with a message that has `open`")
        opening = first.open
        self._epoch.check(opening.epoch)
        downstream = _downstream(opening, self._node_id)
        base = parse_base(opening)
        await self._admit_write(opening, call)
        place = ChainPlace(
            self._node_id, opening.epoch, downstream, opening.seal, base, opening.capability,
            opening.chunk_bytes, opening.stall_ms,
        )  # fmt: skip

        async def send_ack(ack: WriteAck) -> None:
            await stream.send(pb.WriteChunkAck(**ack._asdict()), end=ack.durable)

        with self.writes:
            sealing = self._sealing
            is_sealed = is_keyed = False
            if sealing is not None:
                is_sealed, is_keyed = await sealing.form(opening.chunk_id, opening.seal)
            chunk = await begin_chunk(
                self._store, opening.chunk_id, opening.version, base, self._connect,
                is_sealed=is_sealed, is_keyed=is_keyed, capability=opening.capability,
                chunk_bytes=_room_bytes(opening),
            )  # fmt: skip
            try:
                await WritePipeline(
                    chunk, place, stream, send_ack, self._connect, lambda: self.writes.count
                ).run()
            finally:
                chunk.keep(self._clock.monotonic_ms())

    async def _admit_write(self, opening: pb.WriteChunkOpen, call: CallContext) -> None:
        require, base = self._admission.require, opening.base
        await require(call, opening.capability, opening.chunk_id, opening.version, Operation.WRITE)
        # Else who may write one chunk could copy any other into it.
        if opening.HasField("base") and base.chunk_id != opening.chunk_id:
            await require(call, base.capability, base.chunk_id, base.version, Operation.READ)

    async def read_chunk(
        self, request: pb.ReadChunkRequest, call: CallContext, stream: ServerStream
    ) -> None:
        """Send a range of a chunk in verified packets."""
        await self._admission.require(
            call, request.capability, request.chunk_id, request.version, Operation.READ
        )
        end = request.offset + request.length
        with self.reads:
            async for packet in self._store.read(
                request.chunk_id, request.version, request.offset, request.length
            ):
                head = pack_head(packet.offset, len(packet.data), packet.crc32c)
                is_last = packet.offset + len(packet.data) == end
                await stream.send((head, packet.data), end=is_last)

    async def seal_chunk(
        self, request: pb.SealChunkRequest, call: CallContext
    ) -> pb.SealChunkResponse:
        """End a chunk whose pipeline broke."""
        await self._admission.require(
            call, request.capability, request.chunk_id, request.version, Operation.END
        )
        self._epoch.check(request.epoch)
        crc = await self._store.seal(
            request.chunk_id, request.version, request.new_version, request.length
        )
        return pb.SealChunkResponse(length=request.length, crc32c=crc)

    async def chunk_state(
        self, request: pb.ChunkStateRequest, call: CallContext
    ) -> pb.ChunkStateResponse:
        """What is here of a chunk, also of one that is being written."""
        await self._admission.require(call, request.capability, request.chunk_id, 0, Operation.READ)
        return pb.ChunkStateResponse(**self._store.state(request.chunk_id)._asdict())


def _room_bytes(opening: pb.WriteChunkOpen) -> int:
    """What is to be set aside for the chunk; writers of old do not say how large it gets."""
    return min(opening.chunk_bytes or limits.CHUNK_BYTES_MAX, limits.CHUNK_BYTES_MAX)


def _downstream(opening: pb.WriteChunkOpen, node_id: str) -> list[Replica]:
    """The rest of the pipeline, checked."""
    downstream = [Replica(a.node_id, a.listen) for a in opening.downstream]
    names = {node_id, *(replica.node_id for replica in downstream)}
    if len(names) != len(downstream) + 1 or len(names) > limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"chunk {opening.chunk_id}: a pipeline has distinct servers, at most "
            f"{limits.REPLICATION_MAX}; behind {node_id} came "
            f"{', '.join(replica.node_id for replica in downstream)}"
        )
    return downstream

"""The messages of the Chunk service as plain values: protobuf of the chunk path ends here.

The pipelines and copies between chunkservers use it too: towards the next server they are clients.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pydfsnode.client.model import ChunkBase, Replica
from pydfsnode.errors import MalformedMessage
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.stream_watch import Sign

WRITE_CHUNK = "/pydfs.v1.Chunk/WriteChunk"
READ_CHUNK = "/pydfs.v1.Chunk/ReadChunk"
SEAL_CHUNK = "/pydfs.v1.Chunk/SealChunk"
CHUNK_STATE = "/pydfs.v1.Chunk/ChunkState"

STALL_MS = 10_000  # limits.py candidate
"""A chunkserver that lives and makes no progress for this long has failed."""
STALL_STEP_MS = 2_500  # limits.py candidate
"""More for each server behind it, so that the one next to the failed server notices first."""
STALL_SHARE = 0.75
"""What a server has of the limit of the one before it, for the same reason."""
STALL_MS_MIN, STALL_MS_MAX = 50, 60_000
"""Bounds of a limit that comes from elsewhere."""
OPEN_MS = 4_000  # limits.py candidate
"""A server that cannot be connected with for so long has failed."""

LAST_WORD_S = 2.0
"""How long the reason is waited for when sending on a stream failed."""


class ChunkStream(Protocol):
    """A streaming call to a chunkserver, as `rpc.channel` gives it."""

    async def send(self, message: Any, *, end: bool = False) -> None:
        """Send a raw packet, in pieces or whole; waits for the stream's window.

        Args:
            end: nothing more is sent.
        """

    async def close_send(self) -> None:
        """Say that nothing more is sent."""

    async def receive(self) -> Any | None:
        """The next message or raw packet; None after the last."""

    async def cancel(self) -> None:
        """End the call; nothing when it has ended."""

    def sign_of_life(self) -> Sign:
        """The server's last one; and ask for another."""


class ChunkPeer(Protocol):
    """A connection to a chunkserver, as `rpc.channel` gives it."""

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Ask and wait for the answer."""

    def stream(
        self, path: str, first_message: Any, *, timeout_ms: int | None = None
    ) -> Awaitable[ChunkStream]:
        """Open a streaming call."""


Connect = Callable[[str, str], ChunkPeer]
"""(node id, host:port) to a connection that accepts only that chunkserver there."""


class WriteAck(NamedTuple):
    """What a pipeline says: bytes that all have; durable: on all disks; who failed, or ""."""

    acked_bytes: int
    durable: bool
    crc32c: int
    failed_node_id: str


async def open_write(
    peer: ChunkPeer,
    chunk_id: int,
    version: int,
    epoch: int,
    downstream: Sequence[Replica],
    *,
    seal: int = 0,
    base: ChunkBase | None = None,
    capability: bytes = b"",
    chunk_bytes: int = 0,
    stall_ms: int = 0,
) -> ChunkStream:
    """Begin a chunk on *peer*, which forwards it to *downstream*, in order.

    Args:
        seal: whether it is sealed at rest, a `SealChoice`.
        base: what it begins with on every server; None: it begins empty.
        capability: as the master gave it with the chunk.
        chunk_bytes: room that is set aside for it; 0: as for the largest chunk.
        stall_ms: how long a server behind *peer* may make no progress; 0: as long as usual.
    """
    opening = pb.WriteChunkOpen(
        chunk_id=chunk_id,
        version=version,
        epoch=epoch,
        downstream=_addresses(downstream),
        seal=pb.SealChoice.ValueType(seal),
        base=_base(base),
        capability=capability,
        chunk_bytes=chunk_bytes,
        stall_ms=stall_ms,
    )
    return await peer.stream(WRITE_CHUNK, pb.WriteChunkPacket(open=opening))


def parse_ack(message: Any) -> WriteAck:
    """An answer of WriteChunk as a value."""
    if not isinstance(message, pb.WriteChunkAck):
        raise MalformedMessage(f"{WRITE_CHUNK} answered with a {type(message).__name__}")
    return WriteAck(message.acked_bytes, message.durable, message.crc32c, message.failed_node_id)


def _base(base: ChunkBase | None) -> pb.ChunkBase | None:
    if base is None:
        return None
    return pb.ChunkBase(
        chunk_id=base.chunk_id,
        version=base.version,
        length=base.length,
        crc32c=base.crc32c,
        sources=_addresses(base.sources),
        capability=base.capability,
    )


def parse_base(opening: pb.WriteChunkOpen) -> ChunkBase | None:
    """What the chunk begins with that *opening* begins."""
    if not opening.HasField("base"):
        return None
    told = opening.base
    sources = tuple(Replica(a.node_id, a.listen) for a in told.sources)
    return ChunkBase(
        told.chunk_id, told.version, told.length, told.crc32c, sources, told.capability
    )


async def chunk_state(
    peer: ChunkPeer, chunk_id: int, timeout_ms: int, capability: bytes = b""
) -> tuple[int, int, bool]:
    """(version, readable length, whether it is finished) of what *peer* has of a chunk."""
    request = pb.ChunkStateRequest(chunk_id=chunk_id, capability=capability)
    response = await peer.unary(CHUNK_STATE, request, timeout_ms=timeout_ms)
    return int(response.version), int(response.length), bool(response.finished)


def _addresses(replicas: Sequence[Replica]) -> list[pb.Address]:
    return [pb.Address(node_id=r.node_id, listen=r.listen) for r in replicas]


async def open_read(
    peer: ChunkPeer,
    chunk_id: int,
    version: int,
    offset: int,
    length: int,
    capability: bytes = b"",
    *,
    timeout_ms: int | None = None,
) -> ChunkStream:
    """Ask for a range of a chunk; the stream gives raw packets (`rpc.chunk_packets`).

    Args:
        timeout_ms: nobody waits for the stream any more after it; None: until it is cancelled.
    """
    request = pb.ReadChunkRequest(
        chunk_id=chunk_id, version=version, offset=offset, length=length, capability=capability
    )
    return await peer.stream(READ_CHUNK, request, timeout_ms=timeout_ms)


async def seal(
    peer: ChunkPeer,
    chunk_id: int,
    version: int,
    new_version: int,
    length: int,
    epoch: int,
    timeout_ms: int,
    capability: bytes = b"",
) -> tuple[int, int]:
    """(length, crc32c) of the chunk that *peer* sealed; raises what it answered."""
    request = pb.SealChunkRequest(
        chunk_id=chunk_id, version=version, new_version=new_version, length=length, epoch=epoch,
        capability=capability,
    )  # fmt: skip
    response = await peer.unary(SEAL_CHUNK, request, timeout_ms=timeout_ms)
    return int(response.length), int(response.crc32c)


def stall_s(servers: int, given_ms: int = 0) -> float:
    """Seconds without progress after which the first of *servers* in a row has failed.

    Args:
        given_ms: what the one before us says; 0: nothing.
    """
    if given_ms:
        return min(max(given_ms, STALL_MS_MIN), STALL_MS_MAX) / 1000
    return (STALL_MS + STALL_STEP_MS * (servers - 1)) / 1000


def stall_ms_behind(limit_s: float) -> int:
    """What the next server is told when *limit_s* is the limit for it."""
    return max(STALL_MS_MIN, int(limit_s * 1000 * STALL_SHARE))

"""Reads a range of one chunk, going on with another replica wherever one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pydfsnode import limits
from pydfsnode._fast import crc32c_combine
from pydfsnode.client import wire_chunks
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.client.wire_chunks import ChunkStream, Connect
from pydfsnode.errors import (
    ChunkUnavailable,
    CorruptionError,
    InvalidArgument,
    MalformedMessage,
    PydfsError,
    Unavailable,
)
from pydfsnode.rpc.chunk_packets import parse_head, parse_packet

OnBad = Callable[[int, str, str], None]
"""(chunk id, node id, reason): a replica whose bytes failed their checksum."""


async def read_chunk(
    location: ChunkLocation,
    offset: int,
    length: int,
    connect: Connect,
    on_bad: OnBad | None = None,
    stall_ms: int = wire_chunks.STALL_MS,
) -> AsyncIterator[memoryview]:
    """Verified bytes of [offset, offset + length) of a chunk, in packets, from the first of
    `location.replicas` that has them (INV-SUM). A chunk that is read whole is checked against the
    checksum that the masters know (0: they do not) before its last packet is given out.

    Raises:
        ChunkUnavailable: all replicas failed; the message says which and why.
        CorruptionError: the packets are good, but together they are not the chunk of the masters.
        InvalidArgument: the range is not inside the chunk.
    """
    end = offset + length
    if offset < 0 or length < 0 or end > location.length:
        raise InvalidArgument(
            f"chunk {location.chunk_id}: bytes {offset}..{end} are not inside its {location.length}"
        )
    whole = _WholeChunk(location) if (offset, end) == (0, location.length) else None
    tried: list[str] = []
    for replica in location.replicas:
        if offset == end:
            return
        reading = _ReplicaReading(location, replica, connect, stall_ms)
        try:
            await reading.open(offset, end - offset)
            while offset < end:
                view, crc = await reading.next(offset, end)
                if whole is not None:
                    whole.add(offset, len(view), crc, replica)
                offset += len(view)
                yield view
        except (PydfsError, TimeoutError) as error:
            if isinstance(error, CorruptionError) and on_bad is not None:
                on_bad(location.chunk_id, replica.node_id, str(error))
            if whole is not None and whole.is_wrong and offset:
                raise
            tried.append(f"{replica.node_id}: {str(error) or 'no answer in time'}")
        finally:
            await reading.close()
    if offset < end:
        raise ChunkUnavailable(
            f"chunk {location.chunk_id}: no replica could be read from byte {offset} on: "
            + ("; ".join(tried) or "the masters know none"),
            chunk_id=location.chunk_id,
        )


class _WholeChunk:
    """The checksum of a chunk that is read from its first byte to its last."""

    def __init__(self, location: ChunkLocation) -> None:
        self._location = location
        self._crc = 0
        self.is_wrong = False

    def add(self, offset: int, size: int, crc: int, replica: Replica) -> None:
        """Count a packet; raises CorruptionError when it is the last and the sum is another."""
        if offset == 0:
            self._crc, self.is_wrong = 0, False
        self._crc = crc32c_combine(self._crc, crc, size)
        expected = self._location.crc32c
        is_last = offset + size == self._location.length
        if is_last and expected and self._crc != expected:
            self.is_wrong = True
            raise CorruptionError(
                f"chunk {self._location.chunk_id} from {replica.node_id}: crc32c {self._crc:08x}, "
                f"the masters know {expected:08x}",
                chunk_id=self._location.chunk_id,
            )


class _ReplicaReading:
    """One attempt at one replica."""

    def __init__(
        self, location: ChunkLocation, replica: Replica, connect: Connect, stall_ms: int
    ) -> None:
        self._location = location
        self._replica = replica
        self._connect = connect
        self._stall_s = stall_ms / 1000
        self._stream: ChunkStream | None = None

    async def open(self, offset: int, length: int) -> None:
        """Ask for the range; raises what the server or the way to it says, or TimeoutError."""
        peer = self._connect(self._replica.node_id, self._replica.listen)
        async with asyncio.timeout(self._stall_s):
            self._stream = await wire_chunks.open_read(
                peer, self._location.chunk_id, self._location.version, offset, length
            )

    async def next(self, offset: int, end: int) -> tuple[memoryview, int]:
        """The packet that begins at *offset*, verified, and its CRC32C."""
        assert self._stream is not None
        async with asyncio.timeout(self._stall_s):
            packet = await self._stream.receive()
        if packet is None:
            raise Unavailable(f"the stream ended at byte {offset} of {end}")
        _, _, crc = parse_head(packet)
        start, view = parse_packet(packet)
        if start != offset or not 0 < len(view) <= min(end - offset, limits.PACKET_BYTES):
            raise MalformedMessage(
                f"bytes {start}..{start + len(view)} came instead of those from {offset} on"
            )
        return view, crc

    async def close(self) -> None:
        """End the stream, read to its end or not."""
        if self._stream is not None:
            await self._stream.cancel()

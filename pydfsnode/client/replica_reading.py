"""One attempt to read a range of a chunk from one replica."""

from __future__ import annotations

import asyncio

from pydfsnode import limits
from pydfsnode.client import wire_chunks
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.client.replica_choice import NowMs, ServerRecord
from pydfsnode.client.wire_chunks import ChunkStream, Connect
from pydfsnode.errors import MalformedMessage, Unavailable
from pydfsnode.rpc.chunk_packets import parse_head, parse_packet


class ReplicaReading:
    """Asks with `first`, goes on with `next`, must be closed. What it meets goes to *record*."""

    def __init__(
        self,
        location: ChunkLocation,
        replica: Replica,
        record: ServerRecord,
        connect: Connect,
        stall_ms: float,
        now_ms: NowMs,
        timeout_ms: int | None = None,
    ) -> None:
        """Args:
        stall_ms: a server that sends nothing for so long has failed.
        timeout_ms: so long the caller waits for any packet; None: as long as it takes.
        """
        self.replica = replica
        self.record = record
        self.is_abandoned = False
        """Another replica answered before this one."""
        self._location = location
        self._connect = connect
        self._stall_s = stall_ms / 1000
        self._timeout_ms = timeout_ms
        self._now_ms = now_ms
        self._stream: ChunkStream | None = None
        self._asked_bytes = 0
        self._began_ms = self._answered_ms = 0.0
        self._rest_bytes = 0
        self._deadline: asyncio.Timeout | None = None

    @property
    def elapsed_ms(self) -> float:
        """Since the range was asked for."""
        return self._now_ms() - self._began_ms

    @property
    def first_packet_ms(self) -> float:
        """How long the first packet took, once it is here."""
        return self._answered_ms - self._began_ms

    async def first(self, offset: int, end: int) -> tuple[memoryview, int]:
        """Ask for [offset, end) and return the first packet, verified, and its CRC32C.

        Raises:
            PydfsError: what the server or the way to it says.
            TimeoutError: nothing came in time, or `abandon` was called.
        """
        location = self._location
        self._asked_bytes = end - offset
        self._began_ms = self._now_ms()
        self.record.began(self._asked_bytes)
        peer = self._connect(self.replica.node_id, self.replica.listen)
        try:
            async with asyncio.timeout(self._stall_s) as self._deadline:
                self._stream = await wire_chunks.open_read(
                    peer, location.chunk_id, location.version, offset, end - offset,
                    location.capability, timeout_ms=self._whole_ms(end - offset),
                )  # fmt: skip
                packet = await self._stream.receive()
        finally:
            self._deadline = None
        self._answered_ms = self._now_ms()
        self.record.first_packet(self._asked_bytes, self.first_packet_ms)
        return _checked(packet, offset, end)

    async def next(self, offset: int, end: int) -> tuple[memoryview, int]:
        """The packet that begins at *offset*, verified, and its CRC32C; raises as `first`."""
        assert self._stream is not None
        async with asyncio.timeout(self._stall_s):
            packet = await self._stream.receive()
        view, crc = _checked(packet, offset, end)
        self._rest_bytes += len(view)
        return view, crc

    def _whole_ms(self, length: int) -> int | None:
        """After this nobody waits any more: not for the first packet, not for the others."""
        if self._timeout_ms is None:
            return None
        packets = 1 + (length - 1) // limits.PACKET_BYTES
        return min(self._timeout_ms * packets, limits.DEADLINE_MS_MAX)

    def abandon(self) -> None:
        """End the wait for the first packet now: it is not needed any more."""
        self.is_abandoned = True
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(0)

    async def close(self) -> None:
        """End the stream, read to its end or not; harmless twice."""
        if self._asked_bytes:
            self.record.ended(self._asked_bytes)
            self._asked_bytes = 0
            if self._rest_bytes:
                self.record.rest(self._rest_bytes, self._now_ms() - self._answered_ms)
        if self._stream is not None:
            await self._stream.cancel()


def _checked(packet: memoryview | bytes | None, offset: int, end: int) -> tuple[memoryview, int]:
    if packet is None:
        raise Unavailable(f"the stream ended at byte {offset} of {end}")
    _, _, crc = parse_head(packet)
    start, view = parse_packet(packet)
    if start != offset or not 0 < len(view) <= min(end - offset, limits.PACKET_BYTES):
        raise MalformedMessage(
            f"bytes {start}..{start + len(view)} came instead of those from {offset} on"
        )
    return view, crc

"""A chunk that is being written, as its stream and its readers see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydfsnode._fast import crc32c
from pydfsnode.errors import InvalidArgument
from pydfsnode.limits import PACKET_BYTES
from pydfsnode.obs.metrics import metrics
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter

if TYPE_CHECKING:
    from pydfsnode.storage.chunk_store import ChunkStore


class ChunkState(NamedTuple):
    """What is here of a chunk: a replica, or what readers may see of one that is being written."""

    version: int
    length: int
    finished: bool


class Packet(NamedTuple):
    """Verified bytes of a chunk; crc32c is of exactly these."""

    offset: int
    data: memoryview
    crc32c: int


class OpenChunk:
    """A chunk that a stream is writing. Appends are not to overlap; one task drives it."""

    def __init__(self, store: ChunkStore, writer: ChunkFileWriter) -> None:
        self.chunk_id = writer.chunk_id
        self.version = writer.version
        self.revoked = asyncio.Event()
        """Set when a seal or a deletion took the chunk away: the stream should end."""
        self.readable_bytes = 0
        """What readers may see: every server of the pipeline from here on has it."""
        self._store = store
        self._writer = writer

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._writer.length

    async def packets(self, offset: int, length: int) -> AsyncIterator[Packet]:
        """A range of what is readable so far, every block of it verified (INV-SUM).

        Raises:
            InvalidArgument: the range is not inside it.
            StaleChunkVersion: the chunk was taken, or is finished: ask again.
            CorruptionError, StorageError: as `ChunkFileWriter.read`.
        """
        end = offset + length
        if length <= 0 or offset < 0 or end > self.readable_bytes:
            raise InvalidArgument(
                f"chunk {self.chunk_id}: bytes {offset}..{end} are not inside the "
                f"{self.readable_bytes} that it has so far"
            )
        while offset < end:
            size = min(end, (offset // PACKET_BYTES + 1) * PACKET_BYTES) - offset
            view = await self._store.run(self._writer.read, offset, size)
            self._store.foreground_bytes += size
            metrics().counter("chunk_read_bytes_total").inc(size)
            yield Packet(offset, view, crc32c(view))
            offset += size

    async def append(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Write *buffers*; raises as `ChunkReplicas.append`."""
        if self._writer.holds(buffers):
            self._writer.append(buffers)  # into memory: no thread is needed
        else:
            await self._store.append(self._writer, buffers)

    async def finish(self, buffers: Sequence[memoryview | bytes], crc: int | None) -> int:
        """Write the last *buffers*, make the chunk durable and readable; returns its CRC32C.

        *crc* is that of all bytes as they were received; None: not known.

        Raises:
            as `ChunkReplicas.finish`. An empty chunk is refused with InvalidArgument.
        """
        return await self._store.finish(self, self._writer, buffers, crc)

    def keep(self, now_ms: int) -> None:
        """The stream broke: what was written waits for a seal, for a bounded time."""
        self._store.keep(self, self._writer, now_ms)

    async def discard(self, why: str) -> None:
        """Give the chunk up; nothing when it is finished or taken."""
        await self._store.discard(self, self._writer, why)

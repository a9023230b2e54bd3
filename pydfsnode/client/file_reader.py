"""Reads one file: any range, or in order with the next segments already on their way."""

from __future__ import annotations

import asyncio
import io
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.client.chunk_io import ChunkIO, Packet
from pydfsnode.client.model import INLINE, ChunkLocation, FileLocations, FileStatus
from pydfsnode.client.open_tail import with_open_tail
from pydfsnode.client.patience import Patience
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import (
    CapabilityRefused,
    ChunkUnavailable,
    CorruptionError,
    InvalidArgument,
)

SEGMENT_BYTES = 4 * limits.MIB  # limits.py candidate
"""The largest request to a chunkserver in a sequential read."""
SEGMENTS_AHEAD = 4
"""A smaller bound of bytes makes smaller segments, so that several servers still work at once."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of one chunk: `offset` is inside the chunk."""

    chunk: ChunkLocation
    offset: int
    length: int


class AsyncFileReader:
    """A file as it was when opened. Not for several tasks at once, except `read_range`."""

    def __init__(
        self,
        calls: MasterCalls,
        chunks: ChunkIO,
        locations: FileLocations,
        patience: Patience,
    ) -> None:
        """Args: locations: the answer of `locate`.

        Raises:
            CorruptionError: the content that came with it does not match its checksum (INV-SUM).
        """
        self._calls = calls
        self._patience = patience
        self._chunks = chunks
        self._segment_bytes = min(SEGMENT_BYTES, chunks.read_ahead_bytes // SEGMENTS_AHEAD)
        self._locations = locations
        self._inline_content = _inline_content(locations)
        self._moved: dict[int, ChunkLocation] = {}
        self._position = 0
        self._stream: AsyncGenerator[Sequence[Packet], None] | None = None
        self._rest: deque[Packet] = deque()
        self._reads_in_order = 0

    async def __aenter__(self) -> AsyncFileReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def status(self) -> FileStatus:
        """The file's status when it was opened."""
        return self._locations.status

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._locations.status.size

    @property
    def chunks(self) -> Sequence[ChunkLocation]:
        """Those of the file, by offset."""
        return self._locations.chunks

    def tell(self) -> int:
        """Position of the next `read`."""
        return self._position

    async def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position as `io.IOBase.seek` does; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        position = base + offset
        if position < 0:
            raise InvalidArgument(f"cannot seek to {position} in {self.status.path}")
        if position != self._position:
            await self._stop_stream()
            self._position = position
        return position

    async def read(self, size: int = -1) -> bytes:
        """The next *size* bytes, fewer only at the end of the file; -1: all the rest.

        Reads in order are answered from segments fetched ahead; a read after a seek fetches just
        what it asks for.
        """
        parts = await self._parts(size)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    async def readinto(self, buffer: memoryview) -> int:
        """As `read`, into a writable buffer of bytes; how many they are."""
        position = 0
        for part in await self._parts(len(buffer)):
            end = position + len(part)
            buffer[position:end] = part
            position = end
        return position

    async def read_at_hand(self, size: int) -> list[Packet]:
        """As `read`, in parts, and with them what of the bytes behind has arrived already."""
        found = [*await self._parts(size), *self._rest]
        self._position += sum(len(part) for part in self._rest)
        self._rest.clear()
        return found

    async def _parts(self, size: int) -> Sequence[Packet]:
        end = self.size if size < 0 else min(self._position + size, self.size)
        wanted = end - self._position
        if wanted <= 0:
            return ()
        # Who begins with so much of a file's beginning will want the rest.
        begins = self._position == 0 and wanted >= limits.PACKET_BYTES
        in_order = begins or self._reads_in_order > 0 or wanted > self._segment_bytes or size < 0
        self._reads_in_order += 1
        if in_order:
            found = await self._read_ahead(wanted)
        else:
            found = [await self.read_range(self._position, end)]
        self._position = end
        return found

    async def _read_ahead(self, wanted: int) -> list[Packet]:
        parts: list[Packet] = []
        try:
            while wanted:
                if not self._rest:
                    self._rest.extend(await self._next_segment())
                packet = self._rest.popleft()
                if len(packet) > wanted:
                    self._rest.appendleft(packet[wanted:])
                    packet = packet[:wanted]
                parts.append(packet)
                wanted -= len(packet)
        except BaseException:
            # What was taken off the stream is lost with this call: begin again at the position.
            await self._stop_stream()
            raise
        return parts

    async def read_range(self, start: int, end: int) -> bytes:
        """Bytes [start, end), cut at the file's size. The position stays; safe for many tasks."""
        if self._inline_content is not None:
            return self._inline_content[start:end]
        plan = list(islice(self._plan(start, min(end, self.size)), 2))
        if len(plan) < 2:  # most random reads: no task, nothing ahead
            found = await self._fetch(plan[0]) if plan else []
            return bytes(found[0]) if len(found) == 1 else b"".join(found)
        async with aclosing(self.packets(start, end)) as packets:
            return b"".join([packet async for packet in packets])

    async def packets(self, start: int = 0, end: int | None = None) -> AsyncGenerator[Packet, None]:
        """Bytes [start, end) in order as they come, several segments fetched at once.

        At most `read_ahead_bytes` of the client's configuration are in flight or wait here.

        Raises:
            ChunkUnavailable: no replica of a chunk could be read until the timeout, although the
                masters were asked anew where they are.
        """
        async with aclosing(self._segments(start, end)) as segments:
            async for segment in segments:
                for packet in segment:
                    yield packet

    async def _segments(
        self, start: int, end: int | None = None
    ) -> AsyncGenerator[Sequence[Packet], None]:
        """As `packets`, a segment at a time: the one before is consumed once the next is wanted."""
        if self._inline_content is not None:
            yield (memoryview(self._inline_content)[start:end],)
            return
        ahead: deque[tuple[int, asyncio.Task[Sequence[Packet]]]] = deque()
        room = self._chunks.read_ahead_bytes
        try:
            for segment in self._plan(start, self.size if end is None else min(end, self.size)):
                while ahead and room < segment.length:
                    yield await ahead[0][1]
                    room += ahead.popleft()[0]
                room -= segment.length
                ahead.append((segment.length, asyncio.ensure_future(self._fetch(segment))))
            while ahead:
                yield await ahead[0][1]
                ahead.popleft()
        finally:
            tasks = [task for _, task in ahead]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop fetching ahead; the reader may be used again after it."""
        await self._stop_stream()

    async def _next_segment(self) -> Sequence[Packet]:
        if self._stream is None:
            self._stream = self._segments(self._position)
        segment = await anext(self._stream, None)
        if segment is None:
            raise ChunkUnavailable(
                f"{self.status.path}: its chunks hold less than its size of {self.size} bytes: "
                "tell the operator ('pydfsnode cluster status')"
            )
        return segment

    async def _stop_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._rest.clear()
        self._reads_in_order = 0
        if stream is not None:
            await stream.aclose()

    def _plan(self, start: int, end: int) -> Iterator[_Segment]:
        """The segments of [start, end), in order."""
        most = self._segment_bytes
        chunks = self._locations.chunks
        begin = bisect_right(chunks, start, key=_end_of)
        for chunk in islice(chunks, begin, None):
            if chunk.offset >= end:
                return
            first = max(start, chunk.offset) - chunk.offset
            last = min(end, chunk.offset + chunk.length) - chunk.offset
            while first < last:
                length = min(most, last - first)
                yield _Segment(chunk, first, length)
                first += length

    async def _fetch(self, segment: _Segment) -> Sequence[Packet]:
        chunk = self._moved.get(segment.chunk.chunk_id, segment.chunk)
        retries = self._patience.begin()
        is_renewed = False
        while True:
            try:
                return await self._chunks.read(
                    chunk, segment.offset, segment.length, retries.remaining_ms()
                )
            except CapabilityRefused:
                # It was good when the file was opened; who may still read gets another.
                if is_renewed:
                    raise
                is_renewed = True
            except ChunkUnavailable:
                # A new leader may not have heard from all chunkservers yet; a repair may be on.
                if not await retries.pause():
                    raise
            chunk = await self._locate_again(chunk)

    async def _locate_again(self, chunk: ChunkLocation) -> ChunkLocation:
        """Where *chunk* is now: it may have been repaired to other servers meanwhile, or be a
        part of one that its writer made longer.

        Raises:
            ChunkUnavailable: the file does not have these bytes any more.
        """
        found = await with_open_tail(await self._calls.locate(self.status.path), self._chunks)
        self._moved = {candidate.chunk_id: candidate for candidate in found.chunks}
        moved = self._moved.get(chunk.chunk_id)
        if moved is None and found.status.inode_id == self.status.inode_id:
            at_offset = (each for each in found.chunks if each.offset == chunk.offset)
            moved = next(at_offset, None)
        if moved is None or moved.version == INLINE or moved.length < chunk.length:
            raise ChunkUnavailable(
                f"{self.status.path} was changed while it was read: open it again",
                chunk_id=chunk.chunk_id,
            )
        self._moved[chunk.chunk_id] = moved
        return moved


def _end_of(chunk: ChunkLocation) -> int:
    return chunk.offset + chunk.length


def _inline_content(found: FileLocations) -> bytes | None:
    """The content of a small file, verified; None: it lies on chunkservers."""
    chunk = found.chunks[0] if len(found.chunks) == 1 else None
    if chunk is None or chunk.version != INLINE:
        return None
    content = chunk.inline_content
    if len(content) != chunk.length or crc32c(content) != chunk.crc32c:
        raise CorruptionError(
            f"{found.status.path}: its content from the masters does not match its checksum: read "
            "it again, and tell the operator ('pydfsnode cluster status')",
            path=found.status.path,
        )
    return content

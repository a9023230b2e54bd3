"""Writes one file: cuts it into chunks, and goes on with other servers when a pipeline breaks.

All bytes of the chunk in work are kept until that chunk is durable, so that after any failure the
rest can be sent again: what the survivors hold is sealed (a new chunk version fences the failed
server), or, if nothing could be sealed, the chunk is abandoned and sent again as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO, ChunkSink, Packet
from pydfsnode.client.model import AllocatedChunk, ChunkDone, FileStatus
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import (
    ChunkUnavailable,
    InvalidArgument,
    NoChunkservers,
    PipelineBroken,
    PydfsError,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

PIPELINE_BREAKS_MAX = 8  # limits.py candidate
"""Broken pipelines in a row, without one finished chunk between them, before giving up."""


class AsyncFileWriter:
    """A file under construction. Not for several tasks at once.

    Leaving the `async with` block closes the file, or abandons it when an exception goes through.
    """

    def __init__(self, calls: MasterCalls, chunks: ChunkIO, status: FileStatus) -> None:
        """Args: status: the answer of `create`."""
        self.status = status
        self._calls = calls
        self._chunks = chunks
        self._chunk_bytes = status.chunk_bytes or limits.CHUNK_BYTES_DEFAULT
        self._small = bytearray()
        self._position = 0
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._sent = 0
        self._chunk: AllocatedChunk | None = None
        self._sink: ChunkSink | None = None
        self._previous: ChunkDone | None = None
        self._abandoned_chunk_id = 0
        self._excluded: set[str] = set()
        self._breaks = 0
        self._closed = False

    async def __aenter__(self) -> AsyncFileWriter:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    def tell(self) -> int:
        """Bytes written so far."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the file was closed or abandoned."""
        return self._closed

    async def write(self, data: Buffer) -> int:
        """Append *data*; returns its size. Nothing is durable before `close`.

        Raises:
            PipelineBroken: too many servers failed; abort the file.
            ClusterError, DomainError: as the masters answered.
        """
        if self._closed:
            raise InvalidArgument(f"{self.status.path} is closed: open it again to write")
        # Packets outlive this call, so a buffer that its owner may change is copied.
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        size = len(view)
        self._position += size
        if self._small:
            room = limits.PACKET_BYTES - len(self._small)
            self._small += view[:room]
            view = view[room:]
            if len(self._small) == limits.PACKET_BYTES:
                await self._flush_small()
        while len(view) >= limits.PACKET_BYTES:
            await self._append(view[: limits.PACKET_BYTES])
            view = view[limits.PACKET_BYTES :]
        self._small += view
        return size

    async def close(self) -> FileStatus:
        """Make everything durable and the file visible with its size (INV-DUR); idempotent.

        On an error the file stays under construction: call `abort`, or close again.
        """
        if self._closed:
            return self.status
        await self._flush_small()
        if self._kept:
            await self._finish_chunk()
        self.status = await self._calls.complete(
            self.status.inode_id, last=self._previous, abandon_chunk_id=self._abandoned_chunk_id
        )
        self._closed = True
        return self.status

    async def abort(self) -> None:
        """Drop the file and its chunks; with the cluster out of reach it stays, half written, until
        it is overwritten or removed."""
        if self._closed:
            return
        self._closed = True
        self._kept.clear()
        self._small.clear()
        await self._drop_sink()
        try:
            await self._calls.abandon(self.status.inode_id)
        except PydfsError:
            # The caller is on its way out with the error that matters.
            return

    async def _flush_small(self) -> None:
        if self._small:
            packet = bytes(self._small)
            self._small.clear()
            await self._append(memoryview(packet))

    async def _append(self, packet: memoryview) -> None:
        """Add a packet to the file, ending chunks that become full."""
        while packet:
            room = self._chunk_bytes - self._kept_bytes
            piece, packet = packet[:room], packet[room:]
            self._kept.append(piece)
            self._kept_bytes += len(piece)
            if self._kept_bytes == self._chunk_bytes:
                await self._finish_chunk()
            else:
                await self._unbroken(self._catch_up)

    async def _finish_chunk(self) -> None:
        """Make all kept bytes durable as the file's last chunk."""
        await self._unbroken(self._catch_up_and_finish)
        self._kept.clear()
        self._kept_bytes = 0
        self._breaks = 0

    async def _catch_up_and_finish(self) -> None:
        if not self._kept:  # a broken pipeline had acknowledged all: sealed, so durable already
            return
        sink = await self._catch_up()
        self._previous = await sink.finish()
        self._sink = self._chunk = None

    async def _catch_up(self) -> ChunkSink:
        """Hand the kept bytes that it lacks to the open chunk; opens one if there is none."""
        sink = self._sink
        if sink is None:
            self._chunk = await self._allocate()
            self._sent = 0
            sink = self._sink = await self._chunks.open_sink(self._chunk)
        while self._sent < len(self._kept):
            await sink.write(self._kept[self._sent])
            self._sent += 1
        return sink

    async def _unbroken(self, step: Callable[[], Awaitable[object]]) -> None:
        """Repeat *step*, leaving the broken chunk each time, until its pipeline holds."""
        while True:
            try:
                await step()
                return
            except PipelineBroken as broken:
                self._breaks += 1
                if self._breaks > PIPELINE_BREAKS_MAX:
                    raise
                await self._leave_chunk(broken)

    async def _allocate(self) -> AllocatedChunk:
        try:
            chunk = await self._calls.allocate_chunk(
                self.status.inode_id,
                previous=self._previous,
                exclude=self._excluded,
                abandon_chunk_id=self._abandoned_chunk_id,
            )
        except NoChunkservers:
            if not self._excluded:
                raise
            # Everybody failed us once: whoever is back now is better than nobody.
            self._excluded.clear()
            return await self._allocate()
        self._previous = None
        self._abandoned_chunk_id = 0
        return chunk

    async def _leave_chunk(self, broken: PipelineBroken) -> None:
        """Keep what the survivors hold of the open chunk, or abandon it; then none is open."""
        chunk, sink = self._chunk, self._sink
        self._chunk = self._sink = None
        if chunk is None:  # broken without a chunk: nothing to leave
            return
        if failed := str(broken.fields.get("failed_node_id", "")):
            self._excluded.add(failed)
        sealed: ChunkDone | None = None
        if sink is not None:
            try:
                sealed = await self._seal(chunk, sink) if sink.acked_bytes else None
            finally:
                await sink.cancel()
        if sealed is None:
            self._abandoned_chunk_id = chunk.chunk_id
        else:
            self._previous = sealed
            self._forget(sealed.length)

    async def _seal(self, chunk: AllocatedChunk, sink: ChunkSink) -> ChunkDone | None:
        """Seal what was acknowledged on all survivors; None when not one could."""
        try:
            sealed = await sink.seal()
        except ChunkUnavailable:
            self._excluded.update(target.node_id for target in chunk.targets)
            return None
        holders = {server.node_id for server in sealed.servers}
        self._excluded.update(t.node_id for t in chunk.targets if t.node_id not in holders)
        return sealed.done

    def _forget(self, size: int) -> None:
        """Drop the first *size* kept bytes: they are durable."""
        self._kept_bytes -= size
        while size:
            packet = self._kept.popleft()
            if len(packet) > size:
                self._kept.appendleft(packet[size:])
                return
            size -= len(packet)

    async def _drop_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            await sink.cancel()

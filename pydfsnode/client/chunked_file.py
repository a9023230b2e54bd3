"""Cuts one open file into chunks, and goes on with other servers when a pipeline breaks.

All bytes of the chunk in work are kept until that chunk is durable, so that after any failure the
rest can be sent again: what the survivors hold is sealed (a new chunk version fences the failed
server), or, if nothing could be sealed, the chunk is abandoned and sent again as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO, ChunkSink, Packet
from pydfsnode.client.model import AllocatedChunk, ChunkDone, FileStatus
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import ChunkUnavailable, NoChunkservers, PipelineBroken

PIPELINE_BREAKS_MAX = 8  # limits.py candidate
"""Broken pipelines in a row, without one finished chunk between them, before giving up."""


class ChunkedFile:
    """The chunks that one writer adds to a file under construction. For one task at a time."""

    def __init__(self, calls: MasterCalls, chunks: ChunkIO, status: FileStatus) -> None:
        """Args: status: the masters' word on the file, which is open for this client."""
        self._inode_id = status.inode_id
        self._calls = calls
        self._chunks = chunks
        self._chunk_bytes = status.chunk_bytes or limits.CHUNK_BYTES_DEFAULT
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._sent = 0
        self._chunk: AllocatedChunk | None = None
        self._sink: ChunkSink | None = None
        self._previous: ChunkDone | None = None
        self._abandoned_chunk_id = 0
        self._excluded: set[str] = set()
        self._breaks = 0

    async def append(self, packet: memoryview) -> None:
        """Add a packet to the file, ending chunks that become full.

        Raises:
            PipelineBroken: too many servers failed; give the file up.
            ClusterError, DomainError: as the masters answered.
        """
        while packet:
            room = self._chunk_bytes - self._kept_bytes
            piece, packet = packet[:room], packet[room:]
            self._kept.append(piece)
            self._kept_bytes += len(piece)
            if self._kept_bytes == self._chunk_bytes:
                await self._finish_chunk()
            else:
                await self._unbroken(self._catch_up)

    async def close(self) -> FileStatus:
        """Make all kept bytes durable and close the file (INV-DUR). Raises as `append`."""
        if self._kept:
            await self._finish_chunk()
        return await self._calls.complete(
            self._inode_id, last=self._previous, abandon_chunk_id=self._abandoned_chunk_id
        )

    async def close_as_recorded(self) -> FileStatus:
        """Close the file with the chunks that the masters know to be finished; drop the rest."""
        open_chunk_id = self._chunk.chunk_id if self._chunk is not None else 0
        if self._previous is not None:
            open_chunk_id = self._previous.chunk_id
        await self.drop()
        return await self._calls.complete(
            self._inode_id, last=None, abandon_chunk_id=open_chunk_id or self._abandoned_chunk_id
        )

    async def drop(self) -> None:
        """Let go of what was not finished; the file stays under construction."""
        self._kept.clear()
        sink, self._sink = self._sink, None
        if sink is not None:
            await sink.cancel()

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
                self._inode_id,
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

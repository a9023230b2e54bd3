"""Cuts one open file into chunks, and goes on with other servers when a pipeline breaks.

All bytes of the chunk in work that are not another's are kept until that chunk is durable, so that
after any failure the rest can be sent again. What the survivors acknowledged stays: the masters
give the chunk its next version, which fences the failed server, and the survivors, maybe with
another in its place, go on behind it. If nothing was acknowledged, or nobody is left, the chunk is
abandoned and sent again as a whole.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO, ChunkSink, Packet
from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkDone, FileStatus, Replica
from pydfsnode.client.replacement import replacements
from pydfsnode.client.wire import MasterCalls
from pydfsnode.config import ReplaceOnFailure
from pydfsnode.errors import NoChunkservers, PipelineBroken

PIPELINE_BREAKS_MAX = 8  # limits.py candidate
"""Broken pipelines in a row, without one finished chunk between them, before giving up."""


class ChunkedFile:
    """The chunks that one writer adds to a file under construction. For one task at a time."""

    def __init__(
        self,
        calls: MasterCalls,
        chunks: ChunkIO,
        status: FileStatus,
        *,
        first: AllocatedChunk | None = None,
        continues: bool = False,
        policy: ReplaceOnFailure = "default",
    ) -> None:
        """
        Args:
            status: the masters' word on the file, which is open for this client.
            first: the file's first chunk, when the masters have begun it.
            continues: a partly filled last chunk goes on.
            policy: whether a server that fails in the middle of a chunk is replaced.
        """
        self._inode_id = status.inode_id
        self._replication = status.replication
        self._calls = calls
        self._chunks = chunks
        self._policy = policy
        self._chunk_bytes = status.chunk_bytes or limits.CHUNK_BYTES_DEFAULT
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._begun_bytes = 0  # of the chunk in work: what it has of the one that it continues
        self._sent = self._sent_of_next = 0  # packets handed over, and bytes of the one behind them
        self._chunk = first
        self._sink: ChunkSink | None = None
        self._previous: ChunkDone | None = None
        self._abandoned_chunk_id = 0
        self._continues = continues
        self._is_flushed = False
        self._excluded: set[str] = set()
        self._breaks = 0

    async def append(self, packet: memoryview) -> None:
        """Add a packet to the file, ending chunks that become full.

        Raises:
            PipelineBroken: too many servers failed; give the file up.
            ClusterError, DomainError: as the masters answered.
        """
        while packet:
            if self._continues and self._sink is None:  # how much room there is, is not known
                await self._unbroken(self._open)
            room = self._chunk_bytes - self._begun_bytes - self._kept_bytes
            piece, packet = packet[:room], packet[room:]
            self._kept.append(piece)
            self._kept_bytes += len(piece)
            if len(piece) == room:
                await self._finish_chunk()
            else:
                await self._unbroken(self._catch_up)

    async def flush(self) -> None:
        """On return readers find all that was appended; raises as `append`."""
        if self._kept:
            self._is_flushed = True
            await self._unbroken(self._catch_up_and_flush)

    async def sync(self) -> FileStatus | None:
        """Make all that was appended durable, and the length known to the masters.

        Returns:
            The file, still open; None: the masters know all of it already.

        Raises:
            as `append`.
        """
        if self._kept:
            await self._finish_chunk()
        if self._previous is None:
            return None
        status = await self._calls.record_chunk(self._inode_id, self._previous)
        self._continues = self._previous.length < self._chunk_bytes
        self._previous = None
        return status

    async def close(self) -> FileStatus:
        """Make all kept bytes durable and close the file (INV-DUR). Raises as `append`."""
        if self._kept:
            await self._finish_chunk()
        return await self._calls.complete(
            self._inode_id, last=self._previous, abandon_chunk_id=self._left_open_id
        )

    async def close_as_recorded(self) -> FileStatus:
        """Close the file with the chunks that the masters know to be finished; drop the rest."""
        open_chunk_id = self._left_open_id
        if self._previous is not None:
            open_chunk_id = self._previous.chunk_id
        await self.drop()
        return await self._calls.complete(self._inode_id, last=None, abandon_chunk_id=open_chunk_id)

    async def drop(self) -> None:
        """Let go of what was not finished; the file stays under construction."""
        self._kept.clear()
        sink, self._sink = self._sink, None
        if sink is not None:
            await sink.cancel()

    @property
    def _left_open_id(self) -> int:
        """The chunk that the masters believe to be written, of which nothing counts; 0: none."""
        return self._chunk.chunk_id if self._chunk is not None else self._abandoned_chunk_id

    async def _finish_chunk(self) -> None:
        """Make all kept bytes durable as the file's last chunk."""
        await self._unbroken(self._catch_up_and_finish)
        self._kept.clear()
        self._kept_bytes = self._begun_bytes = 0
        self._breaks = 0
        self._continues = self._is_flushed = False

    async def _catch_up_and_finish(self) -> None:
        sink = await self._catch_up()
        self._previous = await sink.finish()
        self._sink = self._chunk = None

    async def _catch_up_and_flush(self) -> None:
        await (await self._catch_up()).flush()

    async def _catch_up(self) -> ChunkSink:
        """Hand the kept bytes that it lacks to the open chunk; opens one if there is none."""
        sink = await self._open()
        while self._sent < len(self._kept):
            await sink.write(self._kept[self._sent][self._sent_of_next :])
            self._sent += 1
            self._sent_of_next = 0
        return sink

    async def _open(self) -> ChunkSink:
        """The chunk in work; begins one if there is none."""
        if self._sink is None:
            if self._chunk is None:
                self._chunk = await self._allocate()
                self._skip(0)
                base = self._chunk.base
                self._begun_bytes = base.length if base is not None else 0
            self._sink = await self._chunks.open_sink(self._chunk)
        return self._sink

    async def _unbroken(self, step: Callable[[], Awaitable[object]]) -> None:
        """Repeat *step*, leaving the broken pipeline each time, until one holds, or nothing went
        on for as long as the caller waits."""
        now = asyncio.get_running_loop().time
        timeout_ms = self._chunks.timeout_ms
        patience_s = math.inf if timeout_ms is None else timeout_ms / 1000
        until, had_bytes = now() + patience_s, self._acked_bytes
        while True:
            try:
                await step()
                return
            except PipelineBroken as broken:
                self._breaks += 1
                if self._acked_bytes > had_bytes:
                    until = now() + patience_s
                if self._breaks > PIPELINE_BREAKS_MAX or now() >= until:
                    raise
                await self._leave_pipeline(broken)
                had_bytes = 0  # the next pipeline begins behind what this one acknowledged

    @property
    def _acked_bytes(self) -> int:
        """What the servers of the pipeline acknowledged, without what they began with."""
        if self._chunk is None or self._sink is None:
            return 0
        base = self._chunk.base
        return self._sink.acked_bytes - (base.length if base is not None else 0)

    async def _allocate(self) -> AllocatedChunk:
        try:
            chunk = await self._calls.allocate_chunk(
                self._inode_id,
                previous=self._previous,
                exclude=self._excluded,
                abandon_chunk_id=self._abandoned_chunk_id,
                continues=self._continues,
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

    # ---- after a failure

    async def _leave_pipeline(self, broken: PipelineBroken) -> None:
        """Have the open chunk go on with who is left, or abandon it."""
        chunk, sink = self._chunk, self._sink
        self._sink = None
        if chunk is None:  # broken without a chunk: nothing to leave
            return
        failed = str(broken.fields.get("failed_node_id", ""))
        if failed:
            self._excluded.add(failed)
        if sink is not None:
            await sink.cancel()
            base = sink.acked_base()
        else:
            base = chunk.base
        left = tuple(target for target in chunk.targets if target.node_id != failed)
        resumed = None
        if base is not None and base.chunk_id == chunk.chunk_id and left:
            resumed = await self._resume(chunk, base, left)
        self._chunk = resumed
        if resumed is None:
            self._abandoned_chunk_id = chunk.chunk_id
            self._skip(0)

    async def _resume(
        self, chunk: AllocatedChunk, base: ChunkBase, left: tuple[Replica, ...]
    ) -> AllocatedChunk | None:
        """The chunk with the servers that hold *base*; None: with too few."""
        count = replacements(
            self._policy,
            self._replication,
            len(left),
            is_kept=self._is_flushed or self._begun_bytes > 0,
        )
        try:
            resumed = await self._calls.resume_chunk(
                self._inode_id,
                chunk.chunk_id,
                survivors=[target.node_id for target in left],
                exclude=self._excluded,
                replacements=count,
            )
        except NoChunkservers:
            return None
        self._skip(base.length - self._begun_bytes)
        return replace(resumed, base=replace(base, sources=left))

    def _skip(self, size: int) -> None:
        """The first *size* kept bytes are on the servers: go on behind them."""
        self._sent = 0
        while size and size >= len(self._kept[self._sent]):
            size -= len(self._kept[self._sent])
            self._sent += 1
        self._sent_of_next = size

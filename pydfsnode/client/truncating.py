"""Makes a file shorter. Chunks never change: a cut inside one needs a new chunk in its place."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.chunked_file import PIPELINE_BREAKS_MAX
from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.file_reader import AsyncFileReader
from pydfsnode.client.file_writer import AsyncFileWriter
from pydfsnode.client.lease import LeaseKeeper
from pydfsnode.client.model import AllocatedChunk, ChunkDone, FileLocations, FileStatus, Reopened
from pydfsnode.client.patience import Patience
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import InvalidArgument, NoChunkservers, PipelineBroken, PydfsError


class Truncation:
    """Cuts files.

    Args of the constructor:
        lease: keeps a file while its new chunk is written.
        patience: of reading what is kept.
        writer_of: a writer for a path, to be reopened.
    """

    def __init__(
        self,
        calls: MasterCalls,
        chunks: ChunkIO,
        lease: LeaseKeeper,
        patience: Patience,
        writer_of: Callable[[str], AsyncFileWriter],
    ) -> None:
        self._calls = calls
        self._chunks = chunks
        self._lease = lease
        self._patience = patience
        self._writer_of = writer_of

    async def truncate(self, path: str, size: int) -> FileStatus:
        """Cut the file *path* to *size* bytes: one request where a chunk ends there.

        Raises:
            InvalidArgument: the file is shorter.
            FileUnderConstruction: somebody writes it.
            ClusterError, DomainError: as the masters answered; the file is as it was then.
        """
        found = await self._calls.locate(path, LINEARIZABLE)
        _require_within(found.status, size)
        if _cut_chunk_start(found, size) is None:
            return await self._calls.truncate(path, size)
        reopened = await self._calls.append(path)
        if reopened.inline_content:
            return await self._cut_inline(path, reopened, size)
        return await self._cut_chunk(path, reopened.status.inode_id, size)

    async def _cut_inline(self, path: str, reopened: Reopened, size: int) -> FileStatus:
        """Close the reopened file with the first *size* bytes of its content."""
        writer = self._writer_of(path)
        writer.reopen(reopened, size=size)
        async with writer:
            _require_within(reopened.status, size)
        return writer.status

    async def _cut_chunk(self, path: str, inode_id: int, size: int) -> FileStatus:
        """Cut the reopened file, as it is now that nobody else can change it."""
        self._lease.hold()
        replacing = _Replacing(self._calls, self._chunks, inode_id)
        try:
            found = await self._calls.locate(path, LINEARIZABLE)
            _require_within(found.status, size)
            tail: ChunkDone | None = None
            start = _cut_chunk_start(found, size)
            if start is not None:
                reader = AsyncFileReader(self._calls, self._chunks, found, self._patience)
                tail = await replacing.write(await reader.read_range(start, size))
            return await self._calls.truncate(path, size, tail=tail)
        except BaseException:
            await replacing.give_up()
            raise
        finally:
            self._lease.release()


def _require_within(status: FileStatus, size: int) -> None:
    if not 0 <= size <= status.size:
        raise InvalidArgument(
            f"{status.path} has {status.size} bytes and cannot be truncated to {size}: truncate "
            "makes a file shorter",
            size=status.size,
        )


def _cut_chunk_start(found: FileLocations, size: int) -> int | None:
    """Where the chunk begins that *size* lies inside of; None: it lies at an edge."""
    for chunk in found.chunks:
        if chunk.offset < size < chunk.offset + chunk.length:
            return chunk.offset
    return None


class _Replacing:
    """Writes one chunk as a whole, with other servers when a pipeline breaks."""

    def __init__(self, calls: MasterCalls, chunks: ChunkIO, inode_id: int) -> None:
        self._calls = calls
        self._chunks = chunks
        self._inode_id = inode_id
        self._excluded: set[str] = set()
        self._open_chunk_id = 0

    async def write(self, content: bytes) -> ChunkDone:
        """*content* as a finished chunk of the file, which the masters have not heard of."""
        breaks = 0
        while True:
            chunk = await self._allocate()
            self._open_chunk_id = chunk.chunk_id
            try:
                return await self._fill(chunk, content)
            except PipelineBroken as broken:
                breaks += 1
                if breaks > PIPELINE_BREAKS_MAX:
                    raise
                if failed := str(broken.fields.get("failed_node_id", "")):
                    self._excluded.add(failed)

    async def _fill(self, chunk: AllocatedChunk, content: bytes) -> ChunkDone:
        view = memoryview(content)
        sink = await self._chunks.open_sink(chunk)
        try:
            for start in range(0, len(view), limits.PACKET_BYTES):
                await sink.write(view[start : start + limits.PACKET_BYTES])
            return await sink.finish()
        except BaseException:
            await sink.cancel()
            raise

    async def _allocate(self) -> AllocatedChunk:
        while True:
            try:
                return await self._calls.allocate_chunk(
                    self._inode_id,
                    exclude=self._excluded,
                    abandon_chunk_id=self._open_chunk_id,
                )
            except NoChunkservers:
                if not self._excluded:
                    raise
                # Everybody failed us once: whoever is back now is better than nobody.
                self._excluded.clear()

    async def give_up(self) -> None:
        """Close the file as it was."""
        try:
            await self._calls.complete(
                self._inode_id, last=None, abandon_chunk_id=self._open_chunk_id
            )
        except PydfsError:
            # The caller is on its way out with the error that matters.
            return

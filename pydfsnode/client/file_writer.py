"""Writes one file: a small one in one request with its creation, others chunk by chunk.

What fits into `inline_bytes_max` is kept back until the writer is closed: then one request creates
the file with its content. So the file of such a writer does not exist before, and what the masters
have against it - it exists, no permission, no quota - is raised by `close`, or by the `write` that
exceeds the limit, instead of when the writer was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.chunked_file import ChunkedFile
from pydfsnode.client.lease import LeaseKeeper
from pydfsnode.client.model import AllocatedChunk, Created, FileStatus, Reopened
from pydfsnode.client.wire import MasterCalls
from pydfsnode.config import ReplaceOnFailure
from pydfsnode.errors import InvalidArgument, PydfsError

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Create(Protocol):
    """Makes the file of a writer, which is under construction then unless it has its content."""

    async def empty(self) -> Created:
        """Without a chunk."""
        ...

    async def chunked(self) -> Created:
        """With a chunk for what is to be written at once, if there are servers for it."""
        ...

    async def whole(self, content: bytes) -> Created:
        """With *content*, if the masters take it."""
        ...


class AsyncFileWriter:
    """A file being written. Not for several tasks at once.

    Leaving the `async with` block closes the file, or gives it up when an exception goes through.
    """

    def __init__(
        self,
        path: str,
        create: Create,
        calls: MasterCalls,
        chunks: ChunkIO,
        lease: LeaseKeeper,
        inline_bytes_max: int,
        policy: ReplaceOnFailure = "default",
    ) -> None:
        """A file that does not exist yet.

        Args:
            path: of the file, for messages.
            create: makes it, when it is known how.
            inline_bytes_max: a content up to this size goes with the creation; 0: none.
            policy: whether servers that fail in the middle of a chunk are replaced.
        """
        self._policy = policy
        self.path = path
        self._create = create
        self._creation: asyncio.Future[Created] | None = None
        self._first_chunk: AllocatedChunk | None = None
        self._calls = calls
        self._chunks = chunks
        self._lease = lease
        self._inline_bytes_max = inline_bytes_max
        self._status: FileStatus | None = None
        self._file: ChunkedFile | None = None
        self._small = bytearray()
        self._position = 0
        self._is_new = True
        self._may_be_inline = inline_bytes_max > 0
        self._holds_lease = False
        self._closed = False

    def reopen(self, reopened: Reopened, *, size: int | None = None) -> None:
        """Go on behind the content of a closed file, or behind its first *size* bytes if inline."""
        self._is_new = False
        self._opened(reopened.status)
        content = reopened.inline_content[:size]
        self._small += content
        self._position = len(content) if reopened.inline_content else reopened.status.size
        # With chunks already, the content cannot go to the masters any more.
        self._may_be_inline = len(reopened.inline_content) == reopened.status.size

    async def create_now(self) -> None:
        """Make the file exist before anything is written; raises what the masters refuse."""
        self._opened(await self._created_by(self._create.empty()))

    def created(self, status: FileStatus) -> None:
        """The masters have made the file, for this client to write as chunks."""
        self._may_be_inline = False
        self._opened(status)

    async def __aenter__(self) -> AsyncFileWriter:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            await self.abort()
            return
        try:
            await self.close()
        except BaseException:
            await self.abort()
            raise

    @property
    def status(self) -> FileStatus:
        """The masters' last word on the file; there is one at the latest once it is closed.

        Raises:
            InvalidArgument: the file was not created yet.
        """
        if self._status is None:
            raise InvalidArgument(f"{self.path} is not created yet: that comes with its content")
        return self._status

    def tell(self) -> int:
        """Where the next byte goes: the size of the file so far."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the file was closed or given up."""
        return self._closed

    async def write(self, data: Buffer) -> int:
        """Append *data*; returns its size. Nothing is durable before `close` or `sync`.

        Raises:
            PipelineBroken: too many servers failed; abort the file.
            ClusterError, DomainError: as the masters answered.
        """
        if self._closed:
            raise InvalidArgument(f"{self.path} is closed: open it again to write")
        # Packets outlive this call, so a buffer that its owner may change is copied.
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        size = len(view)
        if self._file is None and self._fits(len(self._small) + size):
            self._small += view
        else:
            await self._write_chunked(view, self._file or await self._begin_chunks())
        self._position += size
        return size

    async def _write_chunked(self, view: memoryview, file: ChunkedFile) -> None:
        if self._small:
            room = limits.PACKET_BYTES - len(self._small)
            self._small += view[:room]
            view = view[room:]
            if len(self._small) == limits.PACKET_BYTES:
                await self._flush_small(file)
        while len(view) >= limits.PACKET_BYTES:
            await file.append(view[: limits.PACKET_BYTES])
            view = view[limits.PACKET_BYTES :]
        self._small += view

    async def flush(self) -> None:
        """On return whoever opens the file reads everything written so far, as with HDFS's hflush:
        it is in the memory of all servers of the pipeline, and outlives the writer and all of them
        but one, not a power failure of all. A small file goes to chunkservers by it. Raises as
        `write`."""
        file = await self._begin_publishing()
        if file is not None:
            await file.flush()

    async def sync(self) -> None:
        """As `flush`, and on the disks of all servers of the pipeline, with the length known to
        the masters, as with HDFS's hsync and UPDATE_LENGTH. Writing on after it copies the last
        chunk on its servers once. Raises as `write`."""
        file = await self._begin_publishing()
        if file is not None:
            self._status = await file.sync() or self._status
            self._is_new = False  # what was promised stays, even if the rest is given up

    async def _begin_publishing(self) -> ChunkedFile | None:
        """Hand over all that was written; None: nothing was."""
        if self._closed:
            raise InvalidArgument(f"{self.path} is closed: open it again to write")
        if self._status is not None and self._unchanged(self._status):
            return None
        if self._file is None and not self._small:
            await self.create_now()
            return None
        self._may_be_inline = False
        file = self._file or await self._begin_chunks()
        await self._flush_small(file)
        return file

    async def close(self) -> FileStatus:
        """Make everything durable and the file visible with its size (INV-DUR); idempotent.

        On an error call `abort`, or close again. A file that was to be created with its content is
        created by that second request anew: after OutcomeUnknown it may find the first one's file.
        """
        if self._closed:
            return self.status
        if self._status is not None and self._unchanged(self._status):
            self._end(await self._calls.complete(self._status.inode_id, last=None))
        elif self._file is None and self._fits(len(self._small)):
            await self._close_inline()
        if not self._closed:
            file = self._file or await self._begin_chunks()
            await self._flush_small(file)
            self._end(await file.close())
        return self.status

    async def abort(self) -> None:
        """Drop a new file; a reopened one is closed with what was recorded of it so far.

        With the cluster out of reach it stays, half written, until it is recovered or removed.
        """
        if self._closed:
            return
        self._closed = True
        self._small.clear()
        if self._file is not None:
            await self._file.drop()
        try:
            if self._status is None and self._creation is not None:
                self._status = (await self._creation).status
                if not self._status.under_construction:
                    return  # with its content: it is whole
            if self._status is not None:
                await self._give_up(self._status.inode_id)
        except PydfsError:
            # The caller is on its way out with the error that matters.
            return
        finally:
            self._release()

    async def _give_up(self, inode_id: int) -> None:
        if self._is_new:
            await self._calls.abandon(inode_id)
        elif self._file is not None:
            await self._file.close_as_recorded()
        else:
            await self._calls.complete(inode_id, last=None)

    def _fits(self, size: int) -> bool:
        return self._may_be_inline and size <= self._inline_bytes_max

    async def _close_inline(self) -> None:
        """Close the file with its content in one request, unless the masters do not take it."""
        content = bytes(self._small)
        if self._status is None:
            status = await self._created_by(self._create.whole(content))
        else:
            status = await self._calls.complete_inline(self._status.inode_id, content)
        if not status.under_construction:
            self._end(status)
            return
        self.created(status)

    def _unchanged(self, status: FileStatus) -> bool:
        """Whether nothing was written since *status*: contents grow, or are cut."""
        return self._file is None and self._position == status.size

    async def _created_by(self, creation: Coroutine[Any, Any, Created]) -> FileStatus:
        """The answer to the creation; who is cancelled meanwhile has to wait for it in `abort`."""
        self._creation = asyncio.ensure_future(creation)
        created = await asyncio.shield(self._creation)
        self._first_chunk = created.chunk
        return created.status

    async def _begin_chunks(self) -> ChunkedFile:
        if self._status is None:
            self._opened(await self._created_by(self._create.chunked()))
        self._file = ChunkedFile(
            self._calls, self._chunks, self.status, first=self._first_chunk,
            continues=not self._is_new, policy=self._policy,
        )  # fmt: skip
        return self._file

    async def _flush_small(self, file: ChunkedFile) -> None:
        if self._small:
            packet = bytes(self._small)
            self._small.clear()
            await file.append(memoryview(packet))

    def _opened(self, status: FileStatus) -> None:
        """The masters hold the file for this client from now on."""
        self._status = status
        if not self._holds_lease:
            self._holds_lease = True
            self._lease.hold()

    def _end(self, status: FileStatus) -> None:
        self._status = status
        self._closed = True
        self._release()

    def _release(self) -> None:
        if self._holds_lease:
            self._holds_lease = False
            self._lease.release()

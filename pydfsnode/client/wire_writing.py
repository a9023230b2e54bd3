"""The RPCs of whoever writes files."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from pydfsnode._fast import client_requests
from pydfsnode.client.model import AllocatedChunk, ChunkDone, Created, FileStatus, Reopened
from pydfsnode.client.wire_asking import NAMESPACE, Asking
from pydfsnode.client.wire_values import allocated, chunk_done, file_status, status_reader
from pydfsnode.errors import NoChunkservers
from pydfsnode.rpc.pb import dfs_pb2 as pb

_CREATE = NAMESPACE + "Create"
_read_created = status_reader(_CREATE)
_ALLOCATE = pb.CreateRequest(allocate=True).SerializeToString()


class WritingCalls:
    """Part of `MasterCalls`; errors as there."""

    _asking: Asking

    def create(
        self,
        path: str,
        *,
        replication: int = 0,
        chunk_bytes: int = 0,
        mode: int = 0,
        overwrite: bool = False,
        create_parents: bool = True,
        content: bytes | None = None,
    ) -> Coroutine[Any, Any, FileStatus]:
        """Create a file; 0 means the cluster's default.

        Args:
            content: None: the file is empty, and under construction. Else it is closed with this
                content, unless the masters do not keep it: then it is under construction too.
        """
        fields = client_requests.create(
            path, replication, chunk_bytes, mode, overwrite, create_parents, content
        )
        return self._asking.change(_CREATE, fields, _read_created)

    async def create_chunked(
        self,
        path: str,
        *,
        replication: int = 0,
        chunk_bytes: int = 0,
        mode: int = 0,
        overwrite: bool = False,
    ) -> Created:
        """Create a file that the caller has bytes of, and begin its first chunk; 0 as `create`."""
        fields = client_requests.create(path, replication, chunk_bytes, mode, overwrite, True, None)
        answer = await self._asking.change(
            _CREATE, fields + _ALLOCATE, pb.CreateResponse.FromString
        )
        chunk = allocated(answer.chunk) if answer.HasField("chunk") else None
        return Created(file_status(answer.status), chunk)

    async def append(self, path: str) -> Reopened:
        """Reopen a closed file, for this client to write."""
        answer = await self._asking.change_message("Append", pb.AppendRequest(path=path))
        return Reopened(file_status(answer.status), answer.inline_content)

    async def allocate_chunk(
        self,
        inode_id: int,
        *,
        previous: ChunkDone | None = None,
        exclude: Iterable[str] = (),
        abandon_chunk_id: int = 0,
        continues: bool = False,
    ) -> AllocatedChunk:
        """Append a chunk to a file under construction and get its pipeline.

        With *exclude*, NoChunkservers is raised at once: the caller may want to exclude fewer.

        Args:
            inode_id: of the file.
            previous: the chunk just finished; None before the first.
            exclude: node ids of chunkservers that just failed this writer.
            abandon_chunk_id: a chunk of which nothing was acknowledged; 0: none.
            continues: the chunk begins with the last one if that is partly filled, and takes its
                place; see `AllocatedChunk.base`.
        """
        request = pb.AllocateChunkRequest(
            inode_id=inode_id,
            previous=chunk_done(previous),
            exclude=sorted(exclude),
            abandon_chunk_id=abandon_chunk_id,
            continues=continues,
        )
        final = (NoChunkservers,) if request.exclude else ()
        return allocated(await self._asking.change_message("AllocateChunk", request, final))

    async def resume_chunk(
        self,
        inode_id: int,
        chunk_id: int,
        *,
        survivors: Sequence[str],
        exclude: Iterable[str],
        replacements: int,
    ) -> AllocatedChunk:
        """The open chunk's next version, on *survivors* and then up to *replacements* others.

        Raises:
            NoChunkservers: they are fewer than the masters want at least.
        """
        request = pb.ResumeChunkRequest(
            inode_id=inode_id,
            chunk_id=chunk_id,
            survivors=survivors,
            exclude=sorted(exclude),
            replacements=replacements,
        )
        answer = await self._asking.change_message("ResumeChunk", request, (NoChunkservers,))
        return allocated(answer)

    async def record_chunk(self, inode_id: int, last: ChunkDone) -> FileStatus:
        """Have the finished last chunk count; the file stays open."""
        request = pb.RecordChunkRequest(inode_id=inode_id, last=chunk_done(last))
        return file_status((await self._asking.change_message("RecordChunk", request)).status)

    async def complete(
        self, inode_id: int, *, last: ChunkDone | None, abandon_chunk_id: int = 0
    ) -> FileStatus:
        """Close a file; once this returns, it is durable (INV-DUR) and visible with its size."""
        request = pb.CompleteRequest(
            inode_id=inode_id, last=chunk_done(last), abandon_chunk_id=abandon_chunk_id
        )
        return file_status((await self._asking.change_message("Complete", request)).status)

    async def complete_inline(self, inode_id: int, content: bytes) -> FileStatus:
        """Close a file with this whole content; still open when the masters do not keep it."""
        request = pb.CompleteInlineRequest(inode_id=inode_id, content=content)
        return file_status((await self._asking.change_message("CompleteInline", request)).status)

    async def abandon(self, inode_id: int) -> None:
        """Drop a file under construction and its chunks."""
        await self._asking.change_message("Abandon", pb.AbandonRequest(inode_id=inode_id))

    async def truncate(self, path: str, size: int, *, tail: ChunkDone | None = None) -> FileStatus:
        """Cut a file to *size* bytes and close it.

        Args:
            tail: for a cut inside a chunk: a new chunk with the bytes of that one which are kept.
        """
        request = pb.TruncateRequest(path=path, size=size, tail=chunk_done(tail))
        return file_status((await self._asking.change_message("Truncate", request)).status)

    async def renew_lease(self) -> None:
        """Tell the masters that this client goes on writing its open files."""
        await self._asking.change_message("RenewLease", pb.RenewLeaseRequest())

    async def recover_lease(self, path: str) -> FileStatus:
        """Close a file that somebody else left open."""
        answer = await self._asking.change_message(
            "RecoverLease", pb.RecoverLeaseRequest(path=path)
        )
        return file_status(answer.status)

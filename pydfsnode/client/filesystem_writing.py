"""The part of the file system that writes files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydfsnode.client import paths
from pydfsnode.client.file_writer import AsyncFileWriter, Create
from pydfsnode.client.filesystem_base import FILE_MODE, FileSystemBase
from pydfsnode.client.model import Created, FileStatus
from pydfsnode.client.truncating import Truncation
from pydfsnode.client.wire import MasterCalls

if TYPE_CHECKING:
    from typing_extensions import Buffer


class WritingMethods(FileSystemBase):
    """Part of `AsyncFileSystem`; errors as there."""

    async def open_writer(
        self,
        path: str,
        *,
        overwrite: bool = True,
        replication: int = 0,
        chunk_bytes: int = 0,
        mode: int | None = None,
        at_once: bool = False,
    ) -> AsyncFileWriter:
        """The stream that creates *path* and its missing parents, and fills it.

        The file has its content once the writer is closed. A small one does not exist before, and
        the errors below come from the writer: see file_writer.py.

        Args:
            replication, chunk_bytes: 0: as configured, else the cluster's default.
            mode: permission bits, less those of the umask; None: 0o666.
            at_once: the file exists when this returns, and the errors come from here.

        Raises:
            AlreadyExists: there is a file, and not *overwrite*.
            IsADirectory: there is a directory.
            FileUnderConstruction, AccessDenied, QuotaExceeded.
        """
        path = paths.normalize(path)
        create = self._creating(path, overwrite, replication, chunk_bytes, mode)
        writer = self._writer(path, create)
        if at_once or not self._creation.inline_bytes_max:
            await writer.create_now()
        return writer

    def _creating(
        self,
        path: str,
        overwrite: bool,
        replication: int = 0,
        chunk_bytes: int = 0,
        mode: int | None = None,
    ) -> Create:
        return _Creating(
            self._calls,
            path,
            replication or self.replication,
            chunk_bytes or self._creation.chunk_bytes,
            self._masked(mode, FILE_MODE),
            overwrite,
        )

    def _writer(self, path: str, create: Create) -> AsyncFileWriter:
        return AsyncFileWriter(
            path, create, self._calls, self._chunks, self._lease, self._creation.inline_bytes_max,
            self._creation.replace_on_failure,
        )  # fmt: skip

    async def append(self, path: str) -> AsyncFileWriter:
        """Open the closed file *path* to write more behind its end.

        Raises:
            NotFound, IsADirectory: there is no file.
            FileUnderConstruction: somebody writes it.
            AccessDenied.
        """
        path = paths.normalize(path)
        reopened = await self._calls.append(path)
        writer = self._appender(path)
        writer.reopen(reopened)
        return writer

    def _appender(self, path: str) -> AsyncFileWriter:
        """A writer of *path* that is to be reopened."""
        return self._writer(path, self._creating(path, overwrite=False))

    async def truncate(self, path: str, size: int) -> FileStatus:
        """Cut the file *path* to its first *size* bytes.

        Raises:
            InvalidArgument: it is shorter.
            NotFound, IsADirectory, FileUnderConstruction, AccessDenied.
        """
        truncation = Truncation(
            self._calls, self._chunks, self._lease, self._patience, self._appender
        )
        return await truncation.truncate(paths.normalize(path), size)

    async def pipe_file(self, path: str, value: Buffer, *, overwrite: bool = True) -> FileStatus:
        """Make *value* the content of *path*; one request when it is small."""
        path = paths.normalize(path)
        create = self._creating(path, overwrite)
        status = None
        size = len(value) if isinstance(value, bytes) else memoryview(value).nbytes
        if size <= self._creation.inline_bytes_max:
            status = (await create.whole(bytes(value))).status
            if not status.under_construction:
                return status
        writer = self._writer(path, create)
        if status is not None:
            writer.created(status)
        async with writer:
            await writer.write(value)
        return writer.status

    async def concat(self, target: str, sources: Sequence[str]) -> FileStatus:
        """Move the content of *sources* to the end of *target*, in order, without copying it.

        All are closed files in one directory; the sources disappear.

        Raises:
            InvalidArgument: a file is in another directory, twice there, or stored inline.
        """
        return await self._calls.concat(
            paths.normalize(target), [paths.normalize(source) for source in sources]
        )

    async def recover_lease(self, path: str) -> FileStatus:
        """Close a file that its writer left open, with what was recorded of it.

        Raises:
            FileUnderConstruction: its writer was heard of lately, and the file is another user's.
        """
        return await self._calls.recover_lease(paths.normalize(path))


class _Creating(NamedTuple):
    """A `Create` by the masters; 0: the cluster's."""

    calls: MasterCalls
    path: str
    replication: int
    chunk_bytes: int
    mode: int
    overwrite: bool

    async def empty(self) -> Created:
        """See Create."""
        return Created(await self._create(None), None)

    async def chunked(self) -> Created:
        """See Create."""
        return await self.calls.create_chunked(
            self.path,
            replication=self.replication,
            chunk_bytes=self.chunk_bytes,
            mode=self.mode,
            overwrite=self.overwrite,
        )

    async def whole(self, content: bytes) -> Created:
        """See Create."""
        return Created(await self._create(content), None)

    async def _create(self, content: bytes | None) -> FileStatus:
        return await self.calls.create(
            self.path,
            replication=self.replication,
            chunk_bytes=self.chunk_bytes,
            mode=self.mode,
            overwrite=self.overwrite,
            content=content,
        )

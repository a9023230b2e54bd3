"""The part of the file system that reads files, and that reads and writes them as values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, overload

from pydfsnode import limits
from pydfsnode.client import paths
from pydfsnode.client.consistency import Reads
from pydfsnode.client.file_reader import AsyncFileReader
from pydfsnode.client.file_writer import AsyncFileWriter
from pydfsnode.client.filesystem_attributes import AttributeMethods
from pydfsnode.client.filesystem_writing import WritingMethods
from pydfsnode.client.model import FileLocations, FileStatus
from pydfsnode.client.open_tail import with_open_tail
from pydfsnode.errors import AlreadyExists, InvalidArgument, IsADirectory, NotFound

if TYPE_CHECKING:
    from typing_extensions import Buffer

ENDS_BYTES = 1024
"""What `head` and `tail` read unless told."""


class ContentMethods(WritingMethods, AttributeMethods):
    """Part of `AsyncFileSystem`; errors as there."""

    @overload
    async def open(
        self, path: str, mode: Literal["rb"] = "rb", *, consistency: Reads = None
    ) -> AsyncFileReader: ...

    @overload
    async def open(
        self, path: str, mode: Literal["wb", "xb", "ab"], *, consistency: Reads = None
    ) -> AsyncFileWriter: ...

    @overload
    async def open(
        self, path: str, mode: str, *, consistency: Reads = None
    ) -> AsyncFileReader | AsyncFileWriter: ...

    async def open(
        self, path: str, mode: str = "rb", *, consistency: Reads = None
    ) -> AsyncFileReader | AsyncFileWriter:
        """Open a file to read ("rb"), write ("wb", "xb": must not exist) or append ("ab") bytes.

        What is returned is an asynchronous context manager; a writer abandons its file when its
        block is left by an exception. What the masters have against a new small file is raised
        when it is closed; with "xb" here.

        Raises:
            InvalidArgument: another mode; text has the synchronous file system only.
        """
        if mode == "rb":
            return await self.open_reader(path, consistency=consistency)
        if mode == "wb":
            return await self.open_writer(path)
        if mode == "xb":  # whoever asks for it wants to know now
            return await self.open_writer(path, overwrite=False, at_once=True)
        if mode != "ab":
            raise InvalidArgument(f"mode '{mode}' is not supported here: use rb, wb, xb or ab")
        try:
            return await self.append(path)
        except NotFound:
            return await self.open_writer(path, overwrite=False)

    async def open_reader(self, path: str, *, consistency: Reads = None) -> AsyncFileReader:
        """Open a file for reading; *consistency* is of which content it has.

        Of one that is being written there is what its writer flushed, and maybe more.

        Raises:
            NotFound, IsADirectory: there is no file at *path*.
        """
        found = await self.locations(path, consistency=consistency)
        found = await with_open_tail(found, self._chunks)
        return AsyncFileReader(self._calls, self._chunks, found, self._patience)

    async def locations(self, path: str, *, consistency: Reads = None) -> FileLocations:
        """The chunks of a file and the chunkservers that have them.

        Raises:
            NotFound, IsADirectory: there is no file at *path*.
        """
        found = await self._calls.locate(paths.normalize(path), self._wanted(consistency))
        if found.status.is_directory:
            raise IsADirectory(f"{found.status.path} is a directory")
        return found

    async def cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        *,
        consistency: Reads = None,
    ) -> bytes:
        """The bytes [start, end) of a file; negative positions count from its end."""
        async with await self.open_reader(path, consistency=consistency) as reader:
            return await reader.read_range(
                _position(start, reader.size, 0), _position(end, reader.size, reader.size)
            )

    async def cat(self, path_list: Sequence[str], *, consistency: Reads = None) -> dict[str, bytes]:
        """The contents of several files by the paths given, several read at once."""
        given = list(dict.fromkeys(path_list))
        room = asyncio.Semaphore(limits.CLIENT_COPY_FILES_MAX)

        async def content(path: str) -> bytes:
            async with room:
                return await self.cat_file(path, consistency=consistency)

        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(content(path)) for path in given]
        return {path: task.result() for path, task in zip(given, reading, strict=True)}

    async def pipe(self, contents: Mapping[str, Buffer]) -> None:
        """Make each value the content of the file at its path, several at once."""
        room = asyncio.Semaphore(limits.CLIENT_COPY_FILES_MAX)

        async def write(path: str, value: Buffer) -> None:
            async with room:
                await self.pipe_file(path, value)

        async with asyncio.TaskGroup() as group:
            for path, value in contents.items():
                group.create_task(write(path, value))

    async def head(self, path: str, size: int = ENDS_BYTES) -> bytes:
        """The first *size* bytes of a file."""
        return await self.cat_file(path, 0, size)

    async def tail(self, path: str, size: int = ENDS_BYTES) -> bytes:
        """The last *size* bytes of a file."""
        return await self.cat_file(path, -size) if size else b""

    async def read_bytes(self, path: str) -> bytes:
        """All of a file."""
        return await self.cat_file(path)

    async def write_bytes(self, path: str, value: Buffer) -> FileStatus:
        """As `pipe_file`."""
        return await self.pipe_file(path, value)

    async def read_text(self, path: str, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of a file as text; line ends stay as they are."""
        return (await self.cat_file(path)).decode(encoding, errors)

    async def write_text(
        self, path: str, value: str, encoding: str = "utf-8", errors: str = "strict"
    ) -> FileStatus:
        """Make *value* the content of *path*; line ends stay as they are."""
        return await self.pipe_file(path, value.encode(encoding, errors))

    async def touch(self, path: str, truncate: bool = False) -> FileStatus:
        """Make an empty file, or set the times of the one there is to now.

        Args:
            truncate: a file that is there loses its content. fsspec's own `touch` does so unless
                told otherwise; here it has to be asked for.

        Raises:
            IsADirectory: *truncate*, and a directory is there.
        """
        if truncate:
            return await self.pipe_file(path, b"")
        now_ms = self._patience.clock.wall_ms()
        try:
            return await self.set_times(path, mtime_ms=now_ms, atime_ms=now_ms)
        except NotFound:
            pass
        try:
            return await self.pipe_file(path, b"", overwrite=False)
        except AlreadyExists:  # somebody made it meanwhile
            return await self.set_times(path, mtime_ms=now_ms, atime_ms=now_ms)


def _position(given: int | None, size: int, default: int) -> int:
    if given is None:
        return default
    return max(0, size + given) if given < 0 else min(given, size)

"""Paths as objects for the asynchronous file system: pathlib's names, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from pydfsnode.client.pure_path import PurePath

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.copy import CopyReport
    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus


class AsyncPath(PurePath):
    """A path of an `AsyncFileSystem`; made by its `path`. Errors as there."""

    __slots__ = ("_fs",)

    def __init__(self, fs: AsyncFileSystem, path: str | PurePosixPath) -> None:
        super().__init__(path)
        self._fs = fs

    def _with(self, path: PurePosixPath) -> Self:
        return type(self)(self._fs, path)

    async def stat(self) -> FileStatus:
        """What the namespace knows of it; raises NotFound."""
        return await self._fs.info(str(self))

    async def exists(self) -> bool:
        """Whether there is a file or a directory."""
        return await self._fs.exists(str(self))

    async def is_dir(self) -> bool:
        """Whether there is a directory."""
        return await self._fs.isdir(str(self))

    async def is_file(self) -> bool:
        """Whether there is a file."""
        return await self._fs.isfile(str(self))

    async def open(self, mode: str = "rb") -> AsyncFileReader | AsyncFileWriter:
        """See AsyncFileSystem.open."""
        return await self._fs.open(str(self), mode)

    async def read_bytes(self) -> bytes:
        """All of the file."""
        return await self._fs.cat_file(str(self))

    async def write_bytes(self, data: Buffer) -> int:
        """Make *data* the file's content; its size."""
        return (await self._fs.pipe_file(str(self), data)).size

    async def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of the file as text."""
        return await self._fs.read_text(str(self), encoding, errors)

    async def write_text(self, data: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        """Make *data* the file's content; its letters."""
        await self._fs.write_text(str(self), data, encoding, errors)
        return len(data)

    async def iterdir(self) -> AsyncIterator[Self]:
        """The entries of the directory, in order of names.

        Raises:
            NotADirectory: it is a file.
        """
        await self._fs.require_directory(str(self))
        async for entry in self._fs.scandir(str(self)):
            yield self._with(PurePosixPath(entry.path))

    async def glob(self, pattern: str) -> AsyncIterator[Self]:
        """What is below and matches; see AsyncFileSystem.glob."""
        for found in await self._fs.glob(str(self / pattern)):
            yield self._with(PurePosixPath(found))

    async def rglob(self, pattern: str) -> AsyncIterator[Self]:
        """As `glob`, at any depth."""
        async for found in self.glob(f"**/{pattern}"):
            yield found

    async def walk(self, top_down: bool = True) -> AsyncIterator[tuple[Self, list[str], list[str]]]:
        """See AsyncFileSystem.walk."""
        async for directory, directories, files in self._fs.walk(str(self), topdown=top_down):
            yield self._with(PurePosixPath(directory)), directories, files

    async def mkdir(
        self, mode: int | None = None, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Make the directory; raises AlreadyExists, and NotFound unless *parents*."""
        if exist_ok and await self.is_dir():
            return
        await self._fs.mkdir(str(self), create_parents=parents, mode=mode)

    async def touch(self, exist_ok: bool = True) -> None:
        """Make an empty file, or set its times to now; raises AlreadyExists."""
        if exist_ok:
            await self._fs.touch(str(self))
        else:
            await self._fs.pipe_file(str(self), b"", overwrite=False)

    async def rmdir(self) -> None:
        """Remove the empty directory; raises NotADirectory, DirectoryNotEmpty."""
        await self._fs.rmdir(str(self))

    async def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file; raises IsADirectory, and NotFound unless *missing_ok*."""
        if not missing_ok or await self.exists():
            await self._fs.rm_file(str(self))

    async def rename(self, target: Self | str) -> Self:
        """Move it to *target*, which must not exist; returns that."""
        return await self._moved(target, overwrite=False)

    async def replace(self, target: Self | str) -> Self:
        """Move it to *target*, in the place of a file there; returns that."""
        return await self._moved(target, overwrite=True)

    async def copy(self, target: Self | str) -> CopyReport:
        """Copy the file or tree to *target*, or into it when that is a directory."""
        return await self._fs.copy(str(self), str(target))

    async def _moved(self, target: Self | str, overwrite: bool) -> Self:
        status = await self._fs.rename(str(self), str(target), overwrite=overwrite)
        return self._with(PurePosixPath(status.path))

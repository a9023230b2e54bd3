"""What fsspec's `open` and `open_async` return beside the file objects of sync_files.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.asyn import AbstractAsyncStreamedFile

from pydfsnode.client import paths
from pydfsnode.client.builtin_errors import as_builtin
from pydfsnode.client.file_reader import AsyncFileReader
from pydfsnode.client.sync_files import BufferedWriter, RawWriter
from pydfsnode.errors import PydfsError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.loop_thread import LoopThread


def temporary_path(path: str, mark: str) -> str:
    """Beside *path*, where nobody looks for a file."""
    return paths.join(paths.parent(path), f".{paths.name(path)[:200]}.{mark}.part")


class DeferredWriter(BufferedWriter):
    """A file of a transaction: written beside its place, and moved there by `commit`."""

    flush_shows = False

    def __init__(
        self, raw: RawWriter, buffer_bytes: int, thread: LoopThread, fs: AsyncFileSystem, path: str
    ) -> None:
        """Args: raw: writes the temporary file; path: where it is to be."""
        super().__init__(raw, buffer_bytes)
        self._thread = thread
        self._fs = fs
        self._temporary = raw.name
        self.path = path

    def commit(self) -> None:
        """Give it its place; a file there is replaced."""
        self.close()
        self._thread.run(self._fs.rename(self._temporary, self.path, overwrite=True))

    def discard(self) -> None:
        """Remove it; nothing when its block was left by an exception."""
        if self.raw.aborted:
            return
        if self.closed:
            self._thread.run(self._fs.rm(self._temporary))
        else:
            self.abort()


class StreamedFile(AbstractAsyncStreamedFile):
    """An open file of an asynchronous fsspec file system."""

    # The base's constructor would ask for the size; this has none of its state but these.
    def __init__(self, opened: AsyncFileReader | AsyncFileWriter, path: str, mode: str) -> None:
        self._opened = opened
        self.path = path
        self.mode = mode
        self.closed = False
        if isinstance(opened, AsyncFileReader):
            self.size = opened.size

    def tell(self) -> int:
        """Position of the next byte."""
        return self._opened.tell()

    def readable(self) -> bool:
        """Whether it was opened to be read."""
        return isinstance(self._opened, AsyncFileReader)

    def writable(self) -> bool:
        """Whether it was opened to be written."""
        return not self.readable()

    seekable = readable

    async def seek(self, loc: int, whence: int = 0) -> int:
        """See AsyncFileReader; raises ValueError for a file being written."""
        return await self._reader().seek(loc, whence)

    async def read(self, length: int = -1) -> bytes:
        """See AsyncFileReader; raises ValueError for a file being written."""
        reader = self._reader()
        try:
            return await reader.read(length)
        except PydfsError as error:
            raise as_builtin(error) from None

    async def write(self, data: Buffer) -> int:
        """See AsyncFileWriter; raises ValueError for a file being read."""
        if self.closed or isinstance(self._opened, AsyncFileReader):
            raise ValueError(f"{self.path} is not open to be written")
        try:
            return await self._opened.write(data)
        except PydfsError as error:
            raise as_builtin(error) from None

    async def flush(self, force: bool = False) -> None:
        """Nothing: what is written is on its way."""

    async def close(self) -> None:
        """Make what was written durable; it is dropped when that fails."""
        if self.closed:
            return
        self.closed = True
        try:
            await self._opened.close()
        except PydfsError as error:
            if not isinstance(self._opened, AsyncFileReader):
                await self._opened.abort()
            raise as_builtin(error) from None

    async def __aenter__(self) -> StreamedFile:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None and not isinstance(self._opened, AsyncFileReader):
            self.closed = True
            await self._opened.abort()
        await self.close()

    def _reader(self) -> AsyncFileReader:
        if self.closed or not isinstance(self._opened, AsyncFileReader):
            raise ValueError(f"{self.path} is not open to be read")
        return self._opened

    def __del__(self) -> None:
        """Nothing: the base would call what has to be awaited."""

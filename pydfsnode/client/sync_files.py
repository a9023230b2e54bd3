"""File objects of the standard `io` kind over the asynchronous readers and writers."""

from __future__ import annotations

import io
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from typing_extensions import Buffer

    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.loop_thread import LoopThread


class RawReader(io.RawIOBase):
    """Seekable, unbuffered."""

    def __init__(self, thread: LoopThread, reader: AsyncFileReader) -> None:
        self._thread = thread
        self._reader = reader
        self.name = reader.status.path

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        return self._reader.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase."""
        return self._thread.run(self._reader.seek(offset, whence))

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See io.RawIOBase."""
        view = memoryview(buffer).cast("B")
        found = self._thread.run(self._reader.read(len(view)))
        view[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        """Everything from the position on."""
        return self._thread.run(self._reader.read())

    def close(self) -> None:
        """Stop reading ahead."""
        if not self.closed:
            super().close()
            self._thread.run(self._reader.close())


class RawWriter(io.RawIOBase):
    """Sequential; the content is durable and visible once it is closed."""

    def __init__(self, thread: LoopThread, writer: AsyncFileWriter) -> None:
        self._thread = thread
        self._writer = writer
        self._aborted = False
        self.name = writer.path

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes written."""
        return self._writer.tell()

    def write(self, data: Buffer) -> int:
        """See io.RawIOBase; takes all of *data*."""
        if self._aborted:  # a buffer above us flushes what it has left
            return memoryview(data).nbytes
        return self._thread.run(self._writer.write(data))

    def abort(self) -> None:
        """Drop the file instead of closing it; later writes go nowhere."""
        self._aborted = True
        self._thread.run(self._writer.abort())

    def close(self) -> None:
        """Make the content durable; raises when that failed, and the file is dropped."""
        if self.closed:
            return
        super().close()
        if self._aborted:
            return
        try:
            self._thread.run(self._writer.close())
        except BaseException:
            self._thread.run(self._writer.abort())
            raise


class _BufferedWriter(io.BufferedWriter):
    """Abandons the file when its `with` block is left by an exception."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _abort_on_error(self.raw, kind)
        super().__exit__(kind, error, trace)


class _TextWriter(io.TextIOWrapper):
    """As _BufferedWriter, for text."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        buffer = self.buffer
        if isinstance(buffer, io.BufferedWriter):
            _abort_on_error(buffer.raw, kind)
        super().__exit__(kind, error, trace)


def _abort_on_error(raw: object, kind: type[BaseException] | None) -> None:
    if kind is not None and isinstance(raw, RawWriter):
        raw.abort()


def open_file(thread: LoopThread, fs: AsyncFileSystem, path: str, mode: str) -> IO[Any]:
    """See FileSystem.open.

    Raises:
        InvalidArgument: another mode.
    """
    kind, binary = mode.replace("b", ""), "b" in mode
    if kind == "r":
        reader = io.BufferedReader(
            RawReader(thread, thread.run(fs.open_reader(path))), limits.PACKET_BYTES
        )
        return reader if binary else io.TextIOWrapper(reader, encoding="utf-8")
    if kind in ("w", "x", "a"):
        opened = thread.run(_open_writer(fs, path, kind))
        writer = _BufferedWriter(RawWriter(thread, opened), limits.PACKET_BYTES)
        return writer if binary else _TextWriter(writer, encoding="utf-8")
    raise InvalidArgument(f"mode '{mode}' is not supported: use rb, wb, xb, ab, r, w, x or a")


async def _open_writer(fs: AsyncFileSystem, path: str, kind: str) -> AsyncFileWriter:
    if kind == "w":
        return await fs.open_writer(path)
    if kind == "x":  # whoever asks for it wants to know now
        return await fs.open_writer(path, overwrite=False, at_once=True)
    try:
        return await fs.append(path)
    except NotFound:
        return await fs.open_writer(path, overwrite=False)

"""File objects of the standard `io` kind over the asynchronous readers and writers."""

from __future__ import annotations

import codecs
import io
from collections import deque
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from pydfsnode import limits
from pydfsnode.client.builtin_errors import InvalidArgument

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from typing_extensions import Buffer

    from pydfsnode.client.chunk_io import Packet
    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.loop_thread import LoopThread

BUFFER_BYTES = limits.PACKET_BYTES
READ_BUFFER_BYTES = 256 * limits.KIB
"""What is larger than this is read past the buffer, without another copy."""
FIRST_READ_BYTES = 64 * 1024  # limits.py candidate
"""At most fetched for the buffer by the first read behind a seek: the next may be elsewhere."""

_MARKS = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}
"""What a text of these encodings begins with."""


class RawReader(io.RawIOBase):
    """Seekable, unbuffered."""

    mode = "rb"

    def __init__(self, thread: LoopThread, reader: AsyncFileReader) -> None:
        self._thread = thread
        self._reader = reader
        self._in_order = False
        self._held: deque[Packet] = deque()
        """What came with the bytes before, so that not every read has to wait for the thread."""
        self._held_bytes = 0
        self.name = reader.status.path
        self.size = reader.size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position of the next byte."""
        self._require_open()
        return self._reader.tell() - self._held_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase."""
        before = self.tell()
        position = {io.SEEK_SET: 0, io.SEEK_CUR: before, io.SEEK_END: self.size}[whence] + offset
        if position != before:
            self._thread.run(self._reader.seek(position))
            self._in_order = False
            self._drop_held()
        return position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See io.RawIOBase."""
        self._require_open()
        view = memoryview(buffer).cast("B")
        if not self._in_order and len(view) <= READ_BUFFER_BYTES:
            view = view[:FIRST_READ_BYTES]
        self._in_order = True
        copied = 0
        while copied < len(view):
            if not self._held:
                self._held.extend(self._thread.run(self._reader.read_at_hand(len(view) - copied)))
                self._held_bytes = sum(len(part) for part in self._held)
                if not self._held:
                    break
            copied += self._take_held(view[copied:])
        return copied

    def _take_held(self, into: memoryview) -> int:
        part = self._held.popleft()
        fits = min(len(part), len(into))
        into[:fits] = part[:fits]
        if fits < len(part):
            self._held.appendleft(part[fits:])
        self._held_bytes -= fits
        return fits

    def readall(self) -> bytes:
        """Everything from the position on."""
        self._require_open()
        parts = [*self._held, *self._thread.run(self._reader.read_at_hand(-1))]
        self._drop_held()
        return b"".join(parts)

    def close(self) -> None:
        """Stop reading ahead."""
        if not self.closed:
            super().close()
            self._drop_held()
            self._thread.run(self._reader.close())

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.name}: read of a closed file")


class RawWriter(io.RawIOBase):
    """Sequential; the content is durable and visible once it is closed."""

    def __init__(self, thread: LoopThread, writer: AsyncFileWriter, mode: str) -> None:
        self._thread = thread
        self._writer = writer
        self.aborted = False
        self.name = writer.path
        self.mode = mode

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._writer.tell()

    def write(self, data: Buffer) -> int:
        """See io.RawIOBase; takes all of *data*."""
        if self.aborted:  # a buffer above us flushes what it has left
            return memoryview(data).nbytes
        return self._thread.run(self._writer.write(data))

    def publish(self, *, durable: bool) -> None:
        """See AsyncFileWriter.flush and sync; nothing once it is given up."""
        if not self.aborted:
            writer = self._writer
            self._thread.run(writer.sync() if durable else writer.flush())

    def abort(self) -> None:
        """Drop the file instead of closing it; later writes go nowhere."""
        self.aborted = True
        self._thread.run(self._writer.abort())

    def close(self) -> None:
        """Make the content durable; raises when that failed, and the file is dropped."""
        if self.closed:
            return
        super().close()
        if self.aborted:
            return
        try:
            self._thread.run(self._writer.close())
        except BaseException:
            self._thread.run(self._writer.abort())
            raise


class BufferedReader(io.BufferedReader):
    """What `open` with "rb" returns."""

    raw: RawReader

    @property
    def size(self) -> int:
        """Bytes of the file, as it was opened."""
        return self.raw.size


class BufferedWriter(io.BufferedWriter):
    """What `open` with "wb", "xb" or "ab" returns.

    It abandons the file when its `with` block is left by an exception.
    """

    raw: RawWriter
    flush_shows = True
    """Whether `flush` shows readers what was written, or hands over what is buffered only."""
    _is_closing = False

    def write(self, data: Buffer) -> int:
        """See io.BufferedIOBase. Large `bytes` are not copied."""
        if type(data) is bytes and len(data) >= BUFFER_BYTES:
            super().flush()
            return self.raw.write(data)
        return super().write(data)

    def flush(self) -> None:
        """Hand over what is buffered; then readers find it: see AsyncFileWriter.flush."""
        super().flush()
        if self.flush_shows and not self._is_closing:
            self.raw.publish(durable=False)

    def sync(self) -> None:
        """As `flush`, and durable: see AsyncFileWriter.sync."""
        super().flush()
        self.raw.publish(durable=True)

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._is_closing = True
        super().close()

    def abort(self) -> None:
        """Give the file up: it is not there, or with "ab" as it was."""
        self.raw.abort()
        self.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and not self.closed:
            self.raw.abort()
        super().__exit__(kind, error, trace)


class TextReader(io.TextIOWrapper):
    """What `open` with "r" returns: io.TextIOWrapper with the mode that was asked for."""

    mode = "r"


class TextWriter(io.TextIOWrapper):
    """As BufferedWriter, for text."""

    def __init__(self, buffer: BufferedWriter, mode: str, **how: Any) -> None:
        super().__init__(buffer, **how)
        self._mode = mode

    @property
    def mode(self) -> str:
        """That it was opened with."""
        return self._mode

    def sync(self) -> None:
        """See BufferedWriter."""
        self.flush()
        self._buffered().sync()

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._buffered()._is_closing = True
        super().close()

    def abort(self) -> None:
        """See BufferedWriter."""
        self._raw().abort()
        self.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and not self.closed:
            self._raw().abort()
        super().__exit__(kind, error, trace)

    def _raw(self) -> RawWriter:
        return self._buffered().raw

    def _buffered(self) -> BufferedWriter:
        buffer = self.buffer
        assert isinstance(buffer, BufferedWriter)
        return buffer


def open_file(
    thread: LoopThread,
    fs: AsyncFileSystem,
    path: str,
    mode: str = "rb",
    *,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    consistency: Reads = None,
    flush_shows: bool = True,
) -> IO[Any]:
    """See FileSystem.open; *flush_shows* as of BufferedWriter.

    Raises:
        InvalidArgument: another mode, or arguments that do not go with it.
    """
    kind, binary = parsed_mode(mode)
    if binary and (encoding or errors or newline):
        raise InvalidArgument(f"mode '{mode}' is binary: it takes no encoding, errors or newline")
    if buffering == 0 and not binary:
        raise InvalidArgument("text cannot be unbuffered: open it in binary, or with buffering=1")
    text: dict[str, Any] = {
        "encoding": encoding or "utf-8",
        "errors": errors,
        "newline": newline,
        "line_buffering": buffering == 1,
    }
    if kind == "r":
        raw = RawReader(thread, thread.run(fs.open(path, "rb", consistency=consistency)))
        if buffering == 0:
            return raw  # type: ignore[return-value]  # typeshed has no IO among the raw ones
        reader = BufferedReader(raw, buffering if buffering > 1 else READ_BUFFER_BYTES)
        return reader if binary else TextReader(reader, **text)
    opened = RawWriter(thread, thread.run(_writer(fs, path, kind)), kind + "b")
    if buffering == 0:
        return opened  # type: ignore[return-value]
    writer = BufferedWriter(opened, buffering if buffering > 1 else BUFFER_BYTES)
    writer.flush_shows = flush_shows
    if binary:
        return writer
    if opened.tell() == 0:  # TextIOWrapper writes it for what is seekable only
        writer.write(_MARKS.get(codecs.lookup(text["encoding"]).name, b""))
    return TextWriter(writer, kind, **text)


async def _writer(fs: AsyncFileSystem, path: str, kind: str) -> AsyncFileWriter:
    if kind == "w":
        return await fs.open(path, "wb")
    return await (fs.open(path, "xb") if kind == "x" else fs.open(path, "ab"))


def parsed_mode(mode: str) -> tuple[str, bool]:
    """One of r, w, x, a; and whether it is binary.

    Raises:
        InvalidArgument: it is none that there is.
    """
    kind = mode.replace("b", "", 1).replace("t", "", 1)
    if kind not in ("r", "w", "x", "a") or ("b" in mode and "t" in mode):
        raise InvalidArgument(f"mode '{mode}' is not supported: use rb, wb, xb, ab, r, w, x or a")
    return kind, "b" in mode

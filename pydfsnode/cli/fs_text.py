"""`fs text`: files as text, unpacked on the way."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pydfsnode.cli.fs_cat import unchecked_option
from pydfsnode.cli.fs_paths import for_each, paths_argument
from pydfsnode.cli.options import client_config_option, consistency_option
from pydfsnode.errors import InvalidArgument

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

_MAGIC_BYTES = 6
_REFUSED = {b"SEQ": "a Hadoop sequence file", b"Obj\x01": "an Avro file"}


class _Unpacker(NamedTuple):
    """A stream with `decompress`, `eof` and `unused_data`, and what it raises for broken data."""

    stream: Any
    errors: tuple[type[Exception], ...]


def _gzip() -> _Unpacker:
    import zlib

    return _Unpacker(zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), (zlib.error,))


def _bzip2() -> _Unpacker:
    import bz2

    return _Unpacker(bz2.BZ2Decompressor(), (OSError, EOFError))


def _xz() -> _Unpacker:
    import lzma

    return _Unpacker(lzma.LZMADecompressor(), (lzma.LZMAError, EOFError))


def _zstd() -> _Unpacker:
    import zstandard

    return _Unpacker(zstandard.ZstdDecompressor().decompressobj(), (zstandard.ZstdError,))


_PACKED = {
    b"\x1f\x8b": _gzip,
    b"BZh": _bzip2,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
}


class Unpacked:
    """Unpacks a stream of any packing known by its first bytes; several behind each other too."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._begun = b""
        self._unpacker: _Unpacker | None = None
        self._is_known = False

    def add(self, data: bytes, *, last: bool = False) -> bytes:
        """What *data* adds to the text.

        Raises:
            InvalidArgument: it is broken, or of a kind that has no text.
        """
        if not self._is_known:
            self._begun += data
            if len(self._begun) < _MAGIC_BYTES and not last:
                return b""
            data, self._begun, self._is_known = self._begun, b"", True
            self._unpacker = self._new(data)
        return data if self._unpacker is None else self._unpacked(self._unpacker, data, last)

    def _new(self, data: bytes) -> _Unpacker | None:
        """An unpacker for what begins with *data*; None: it is plain."""
        for magic, what in _REFUSED.items():
            if data.startswith(magic):
                raise InvalidArgument(f"'{self._path}' is {what}: 'fs get' it and use its own tool")
        for magic, make in _PACKED.items():
            if data.startswith(magic):
                return make()
        return None

    def _unpacked(self, unpacker: _Unpacker, data: bytes, last: bool) -> bytes:
        stream, text = unpacker.stream, b""
        try:
            while data:
                if stream.eof:
                    following = self._new(data)  # packed pieces behind one another
                    if following is None:
                        return text  # padding
                    self._unpacker = unpacker = following
                    stream = unpacker.stream
                text += stream.decompress(data)
                data = stream.unused_data if stream.eof else b""
        except unpacker.errors as error:
            raise InvalidArgument(
                f"'{self._path}' is packed and cannot be unpacked: {error}"
            ) from None
        if last and not stream.eof:
            raise InvalidArgument(f"'{self._path}' is packed and ends too early")
        return text


@click.command(epilog="Example: pydfsnode fs text '/logs/2026-*.gz' | grep error")
@paths_argument
@unchecked_option
@consistency_option
@client_config_option
def text(paths: tuple[str, ...]) -> None:
    """Print files to standard output, unpacked: gzip, bzip2, xz, zstd, or plain as they are.

    What they are is told by their first bytes, not by their names.
    """
    for_each(paths, _print)


async def _print(fs: AsyncFileSystem, path: str) -> None:
    unpacked = Unpacked(path)
    async with await fs.open_reader(path) as reader, aclosing(reader.packets()) as packets:
        async for packet in packets:
            sys.stdout.buffer.write(unpacked.add(bytes(packet)))
    sys.stdout.buffer.write(unpacked.add(b"", last=True))
    sys.stdout.buffer.flush()

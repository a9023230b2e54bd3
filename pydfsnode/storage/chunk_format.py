"""The bytes of a chunk file: data, a checksum per block, the footer (FORMAT-chunks.md)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.errors import CorruptionError
from pydfsnode.limits import BLOCK_BYTES

MAGIC = b"PDFSCHNK"
FORMAT_VERSION = 1
CHECKSUM_BYTES = 4

_FOOTER = struct.Struct("<8sIIQQQII")
_SEAL = struct.Struct("<I")
FOOTER_BYTES = _FOOTER.size


class Tail(NamedTuple):
    """What follows the data: the checksum of the whole chunk and one u32 LE per block."""

    crc32c: int
    checksums: bytes


def block_count(length: int) -> int:
    """How many blocks *length* bytes of data make; the last one may be short."""
    return -(-length // BLOCK_BYTES)


def tail_bytes(length: int) -> int:
    """Size of trailer and footer behind *length* bytes of data."""
    return block_count(length) * CHECKSUM_BYTES + FOOTER_BYTES


def data_bytes(file_bytes: int) -> int | None:
    """Length of the data in a file of *file_bytes*; None when no chunk file has that size."""
    rest = file_bytes - FOOTER_BYTES
    if rest <= 0:
        return None
    length = rest - CHECKSUM_BYTES * -(-rest // (BLOCK_BYTES + CHECKSUM_BYTES))
    return length if length > 0 and length + tail_bytes(length) == file_bytes else None


def fold_checksums(checksums: bytes | bytearray, length: int) -> int:
    """CRC32C of the whole data from the CRC32C of its blocks, without reading the data again."""
    whole = 0
    left = length
    for (crc,) in struct.iter_unpack("<I", checksums):
        size = min(left, BLOCK_BYTES)
        whole = crc32c_combine(whole, crc, size)
        left -= size
    return whole


def encode_tail(chunk_id: int, version: int, length: int, tail: Tail) -> bytes:
    """Trailer and footer of a chunk of *length* bytes."""
    whole, checksums = tail
    unsealed = _FOOTER.pack(
        MAGIC, FORMAT_VERSION, BLOCK_BYTES, chunk_id, version, length, whole, 0
    )[: -_SEAL.size]
    return checksums + unsealed + _SEAL.pack(crc32c(unsealed, crc32c(checksums)))


def decode_tail(tail: bytes, chunk_id: int, version: int, length: int) -> Tail:
    """Check a tail read from disk against what the file's name and size say.

    Raises:
        CorruptionError: it is short, damaged, of another format or of another chunk.
    """
    if len(tail) != tail_bytes(length):
        raise _broken(chunk_id, f"its tail has {len(tail)} bytes, not {tail_bytes(length)}")
    checksums, footer = tail[:-FOOTER_BYTES], tail[-FOOTER_BYTES:]
    magic, form, block, its_id, its_version, its_length, whole, seal = _FOOTER.unpack(footer)
    if magic != MAGIC:
        raise _broken(chunk_id, f"its footer begins with {magic!r}")
    if seal != crc32c(footer[: -_SEAL.size], crc32c(checksums)):
        raise _broken(chunk_id, "the checksum of its tail does not match")
    if (form, block) != (FORMAT_VERSION, BLOCK_BYTES):
        raise _broken(chunk_id, f"format {form} with blocks of {block} bytes is not known here")
    if (its_id, its_version, its_length) != (chunk_id, version, length):
        raise _broken(
            chunk_id,
            f"its footer names chunk {its_id} version {its_version} of {its_length} bytes, "
            f"the file is chunk {chunk_id} version {version} of {length} bytes",
        )
    return Tail(whole, checksums)


def _broken(chunk_id: int, what: str) -> CorruptionError:
    return CorruptionError(
        f"chunk {chunk_id}: the file is damaged: {what}; another replica is used and this one is "
        "made again",
        chunk_id=chunk_id,
    )

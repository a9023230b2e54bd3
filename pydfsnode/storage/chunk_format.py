"""The bytes of a chunk file: data, a checksum per block, the footer (FORMAT-chunks.md).

A file that is sealed at rest has sealed data and, for the checksums, what `sealed_chunk` encodes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.errors import CorruptionError
from pydfsnode.limits import BLOCK_BYTES

MAGIC = b"PDFSCHNK"
FORMAT_VERSION = 1
FORMAT_SEALED = 3
FORMAT_KEYED = 4
"""Sealed, with the key of its file too."""
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
    return data_within(file_bytes, FOOTER_BYTES, CHECKSUM_BYTES)


def data_within(file_bytes: int, fixed_bytes: int, block_extra_bytes: int) -> int | None:
    """As `data_bytes`, for a file with so much beside its data, and beside each block of it."""
    rest = file_bytes - fixed_bytes
    if rest <= 0:
        return None
    blocks = -(-rest // (BLOCK_BYTES + block_extra_bytes))
    length = rest - block_extra_bytes * blocks
    return length if length > 0 and block_count(length) == blocks else None


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
    return encode_trailer(FORMAT_VERSION, checksums, chunk_id, version, length, whole)


def encode_trailer(
    form: int, trailer: bytes, chunk_id: int, version: int, length: int, whole: int = 0
) -> bytes:
    """*trailer* and the footer of a file of format *form*."""
    unsealed = _FOOTER.pack(MAGIC, form, BLOCK_BYTES, chunk_id, version, length, whole, 0)
    unsealed = unsealed[: -_SEAL.size]
    return trailer + unsealed + _SEAL.pack(crc32c(unsealed, crc32c(trailer)))


def decode_tail(tail: bytes, chunk_id: int, version: int, length: int) -> Tail:
    """Check a tail read from disk against what the file's name and size say.

    Raises:
        CorruptionError: it is short, damaged, of another format or of another chunk.
    """
    if len(tail) != tail_bytes(length):
        raise _broken(chunk_id, f"its tail has {len(tail)} bytes, not {tail_bytes(length)}")
    whole = check_footer(FORMAT_VERSION, tail, chunk_id, version, length)
    return Tail(whole, tail[:-FOOTER_BYTES])


def form_of(tail: bytes) -> int:
    """The format that the footer at the end of *tail* names, unchecked; 0: there is none."""
    footer = tail[-FOOTER_BYTES:]
    return int(_FOOTER.unpack(footer)[1]) if len(footer) == FOOTER_BYTES else 0


def check_footer(form: int, tail: bytes, chunk_id: int, version: int, length: int) -> int:
    """Check the footer at the end of *tail*; returns the CRC32C in it.

    Raises:
        CorruptionError: as `decode_tail`.
    """
    checksums, footer = tail[:-FOOTER_BYTES], tail[-FOOTER_BYTES:]
    if len(footer) != FOOTER_BYTES:
        raise _broken(chunk_id, f"its tail has {len(tail)} bytes")
    magic, its_form, block, its_id, its_version, its_length, whole, seal = _FOOTER.unpack(footer)
    if magic != MAGIC:
        raise _broken(chunk_id, f"its footer begins with {magic!r}")
    if seal != crc32c(footer[: -_SEAL.size], crc32c(checksums)):
        raise _broken(chunk_id, "the checksum of its tail does not match")
    if (its_form, block) != (form, BLOCK_BYTES):
        raise _broken(chunk_id, f"format {its_form} with blocks of {block} bytes is not known here")
    if (its_id, its_version, its_length) != (chunk_id, version, length):
        raise _broken(
            chunk_id,
            f"its footer names chunk {its_id} version {its_version} of {its_length} bytes, "
            f"the file is chunk {chunk_id} version {version} of {length} bytes",
        )
    return int(whole)


def _broken(chunk_id: int, what: str) -> CorruptionError:
    return CorruptionError(
        f"chunk {chunk_id}: the file is damaged: {what}; another replica is used and this one is "
        "made again",
        chunk_id=chunk_id,
    )

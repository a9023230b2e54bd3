"""The bytes of a segment file: many small chunks one behind the other (FORMAT-chunks.md).

    header, records, [index of the records, footer]

The records are the truth. The index only saves a start from walking over them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError
from pydfsnode.storage.chunk_format import CHECKSUM_BYTES, Tail, block_count
from pydfsnode.storage.sealed_chunk import sealing_bytes

FORMAT_VERSION = 2
CHUNK = 1
TOMBSTONE = 2
SEALED = 3
"""A chunk that is sealed at rest."""
KEYED = 4
"""One that is sealed with the key of its file too."""
ALL_SEALED = (SEALED, KEYED)
CHUNKS = (CHUNK, *ALL_SEALED)
RECORD_MAGIC = b"PREC"
ALIGN = 8

_HEADER = struct.Struct("<8sIIQQII")
_HEADER_MAGIC = b"PDFSSEGM"
_RECORD = struct.Struct("<4sIQQQQIIII")
_ENTRY = struct.Struct("<QQQIIII")
_FOOTER = struct.Struct("<8sIIQQQII")
_FOOTER_MAGIC = b"PDFSSGIX"
_SEAL = struct.Struct("<I")
_NO_DATA = Tail(0, b"")
HEADER_BYTES = _HEADER.size
RECORD_HEADER_BYTES = _RECORD.size
FOOTER_BYTES = _FOOTER.size


class SegmentName(NamedTuple):
    """Which segment: its number, and what nobody can guess who only writes data into it."""

    number: int
    salt: int


class Entry(NamedTuple):
    """A record: a chunk, or the end of one in segment *target*, where it began at *length*."""

    chunk_id: int
    version: int
    target: int
    offset: int
    length: int
    kind: int


class Record(NamedTuple):
    """A chunk to be written; *buffers* hold its data.

    Of a sealed one they hold sealed blocks, *sealing* is what `sealed_chunk` encodes beside them,
    and *sealed_crc32c* the checksum of the sealed data.
    """

    chunk_id: int
    version: int
    length: int
    tail: Tail
    buffers: Sequence[memoryview | bytes | bytearray]
    sealing: bytes = b""
    sealed_crc32c: int = 0
    is_keyed: bool = False

    @property
    def kind(self) -> int:
        """CHUNK, SEALED or KEYED."""
        if not self.sealing:
            return CHUNK
        return KEYED if self.is_keyed else SEALED

    @property
    def stored_tail(self) -> Tail:
        """What is written before the data: of a sealed chunk nothing that tells of its content."""
        return Tail(self.sealed_crc32c, self.sealing) if self.sealing else self.tail


def aligned(size: int) -> int:
    """*size* or a little more: records begin at such offsets."""
    return -(-size // ALIGN) * ALIGN


def head_bytes(length: int, kind: int = CHUNK) -> int:
    """What comes before *length* bytes of data in a record."""
    if kind == TOMBSTONE:
        return RECORD_HEADER_BYTES
    if kind in ALL_SEALED:
        return RECORD_HEADER_BYTES + sealing_bytes(length)
    return RECORD_HEADER_BYTES + block_count(length) * CHECKSUM_BYTES


def record_bytes(entry: Entry) -> int:
    """The whole record with what follows it up to the next one."""
    if entry.kind == TOMBSTONE:
        return RECORD_HEADER_BYTES
    return aligned(head_bytes(entry.length, entry.kind) + entry.length)


def encode_header(name: SegmentName) -> bytes:
    """The beginning of a segment."""
    head = _HEADER.pack(_HEADER_MAGIC, FORMAT_VERSION, 0, name.number, name.salt, 0, 0)[:32]
    return head + struct.pack("<II", crc32c(head), 0)


def decode_header(header: bytes, number: int) -> SegmentName | None:
    """None when it is damaged, of another format or of another segment."""
    if len(header) != HEADER_BYTES:
        return None
    magic, form, _, its_number, salt, crc, _ = _HEADER.unpack(header)
    if (magic, form, its_number) != (_HEADER_MAGIC, FORMAT_VERSION, number):
        return None
    return SegmentName(number, salt) if crc == crc32c(header[:32]) else None


def encode_head(salt: int, entry: Entry, tail: Tail = _NO_DATA) -> bytes:
    """Header of a record and its block checksums, or its sealing; the data follows."""
    unsealed = _RECORD.pack(
        RECORD_MAGIC, entry.kind, salt, entry.chunk_id, entry.version, entry.target, entry.offset,
        entry.length, tail.crc32c, 0,
    )[: -_SEAL.size]  # fmt: skip
    return unsealed + _SEAL.pack(crc32c(unsealed, crc32c(tail.checksums))) + tail.checksums


def decode_head(head: bytes | memoryview, salt: int, offset: int) -> tuple[Entry, Tail] | None:
    """The record at *offset* of its segment; *head* may be longer than it needs to be.

    None when there is none, or a damaged one.
    """
    if len(head) < RECORD_HEADER_BYTES:
        return None
    magic, kind, its_salt, chunk_id, version, target, its_offset, length, whole, seal = (
        _RECORD.unpack_from(head)
    )
    if (magic, its_salt, its_offset) != (RECORD_MAGIC, salt, offset):
        return None
    if kind not in (*CHUNKS, TOMBSTONE) or (kind != TOMBSTONE and not length):
        return None
    stop = head_bytes(length, kind)
    checksums = bytes(head[RECORD_HEADER_BYTES:stop])
    unsealed = head[: RECORD_HEADER_BYTES - _SEAL.size]
    if len(head) < stop or seal != crc32c(unsealed, crc32c(checksums)):
        return None
    return Entry(chunk_id, version, target, offset, length, kind), Tail(whole, checksums)


def record_starts(salt: int) -> list[bytes]:
    """What every record of a segment begins with."""
    return [RECORD_MAGIC + struct.pack("<IQ", kind, salt) for kind in (*CHUNKS, TOMBSTONE)]


def encode_index(name: SegmentName, entries: Sequence[Entry], offset: int) -> bytes:
    """Index and footer, to be written at *offset*, behind the last record."""
    index = b"".join(
        _ENTRY.pack(e.chunk_id, e.version, e.target, e.offset, e.length, e.kind, 0) for e in entries
    )
    unsealed = _FOOTER.pack(
        _FOOTER_MAGIC, FORMAT_VERSION, len(entries), name.number, name.salt, offset,
        crc32c(index), 0,
    )[: -_SEAL.size]  # fmt: skip
    return index + unsealed + _SEAL.pack(crc32c(unsealed))


def decode_footer(footer: bytes, number: int, file_bytes: int) -> tuple[SegmentName, int] | None:
    """(segment, offset of its index); None when there is no good footer of this segment."""
    if len(footer) != FOOTER_BYTES:
        return None
    magic, form, count, its_number, salt, offset, _, seal = _FOOTER.unpack(footer)
    if (magic, form, its_number) != (_FOOTER_MAGIC, FORMAT_VERSION, number):
        return None
    if seal != crc32c(footer[: -_SEAL.size]):
        return None
    if offset + count * _ENTRY.size + FOOTER_BYTES != file_bytes:
        return None
    return SegmentName(number, salt), offset


def decode_index(index: bytes, footer: bytes, offset: int) -> list[Entry] | None:
    """The entries; None when they are damaged. *footer* was accepted by `decode_footer`."""
    if crc32c(index) != _FOOTER.unpack(footer)[6]:
        return None
    entries = [Entry(*fields[:6]) for fields in _ENTRY.iter_unpack(index)]
    if any(e.offset + record_bytes(e) > offset for e in entries):
        return None
    return entries


def broken(chunk_id: int, what: str) -> CorruptionError:
    """The refusal of a damaged record."""
    return CorruptionError(
        f"chunk {chunk_id}: {what}; another replica is used and this one is made again",
        chunk_id=chunk_id,
    )

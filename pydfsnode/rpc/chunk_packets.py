"""Packets of a chunk stream: head (offset u64, length u32, crc32c u32, little-endian), bytes."""

from __future__ import annotations

import struct

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, MalformedMessage

_HEAD = struct.Struct("<QII")
HEAD_BYTES = _HEAD.size
Buffer = bytes | bytearray | memoryview


def pack_head(offset: int, length: int, crc: int) -> bytes:
    """The head before *length* bytes that lie at *offset* of the chunk and have CRC32C *crc*."""
    return _HEAD.pack(offset, length, crc)


def make_packet(offset: int, data: Buffer) -> tuple[bytes, Buffer]:
    """Head and bytes of one packet, to be sent as one frame without joining them."""
    return _HEAD.pack(offset, len(data), crc32c(data)), data


def parse_head(packet: Buffer) -> tuple[int, int, int]:
    """(offset, length, crc32c) of *packet*, checked against its size but not its bytes.

    Raises:
        MalformedMessage: shorter than a head, a wrong length, or more than PACKET_BYTES.
    """
    if len(packet) < HEAD_BYTES:
        raise MalformedMessage(f"chunk packet of {len(packet)} bytes, a head has {HEAD_BYTES}")
    offset, length, crc = _HEAD.unpack_from(packet)
    if length != len(packet) - HEAD_BYTES or length > limits.PACKET_BYTES:
        raise MalformedMessage(
            f"chunk packet at offset {offset} says {length} bytes and has "
            f"{len(packet) - HEAD_BYTES}; at most {limits.PACKET_BYTES}"
        )
    return offset, length, crc


def parse_packet(packet: Buffer) -> tuple[int, memoryview]:
    """(offset, bytes) of *packet*; the bytes are a view, verified with the head's CRC32C (INV-SUM).

    Raises:
        MalformedMessage: as `parse_head`.
        CorruptionError: the bytes do not have the checksum that the head says.
    """
    offset, length, crc = parse_head(packet)
    data = memoryview(packet)[HEAD_BYTES:]
    found = crc32c(data)
    if found != crc:
        raise CorruptionError(
            f"chunk packet at offset {offset}, {length} bytes: crc32c {found:08x}, sent {crc:08x}",
            offset=offset,
        )
    return offset, data

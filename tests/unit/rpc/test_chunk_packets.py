"""Chunk packets: the published head, and no byte past a wrong checksum (INV-SUM)."""

from __future__ import annotations

import struct

import pytest

from pydfsnode import limits
from pydfsnode.errors import CorruptionError, MalformedMessage
from pydfsnode.rpc.chunk_packets import (
    HEAD_BYTES,
    make_packet,
    pack_head,
    parse_head,
    parse_packet,
)
from tests.reference.crc32c import crc32c


def test_the_head_is_offset_length_and_checksum_in_little_endian() -> None:
    data = b"123456789"
    head = pack_head(0x0102030405060708, len(data), 0xE3069283)
    assert head == struct.pack("<QII", 0x0102030405060708, 9, 0xE3069283)
    assert crc32c(data) == 0xE3069283  # the published check value
    assert parse_head(head + data) == (0x0102030405060708, 9, 0xE3069283)
    offset, view = parse_packet(head + data)
    assert (offset, bytes(view)) == (0x0102030405060708, data)


def test_a_made_packet_is_two_buffers_and_the_data_is_not_copied() -> None:
    data = memoryview(b"x" * 1000)
    head, same = make_packet(4096, data)
    assert same is data
    assert parse_packet(head + bytes(data))[0] == 4096


def test_the_parsed_bytes_are_a_view_of_the_packet() -> None:
    packet = bytearray(b"".join(make_packet(0, b"hello")))
    _, view = parse_packet(packet)
    packet[HEAD_BYTES] = ord("J")
    assert bytes(view) == b"Jello"


def test_an_empty_packet_is_one() -> None:
    assert parse_packet(b"".join(make_packet(7, b"")))[0] == 7


@pytest.mark.parametrize("position", [HEAD_BYTES, HEAD_BYTES + 4, 12])
def test_a_flipped_bit_is_corruption(position: int) -> None:
    packet = bytearray(b"".join(make_packet(512, b"hello")))
    packet[position] ^= 0x10
    with pytest.raises(CorruptionError, match="offset 512") as raised:
        parse_packet(packet)
    assert raised.value.fields["offset"] == 512


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x" * (HEAD_BYTES - 1),
        pack_head(0, 5, 0) + b"four",
        pack_head(0, 3, 0) + b"four",
        pack_head(0, limits.PACKET_BYTES + 1, 0) + bytes(limits.PACKET_BYTES + 1),
    ],
    ids=["nothing", "half a head", "too short", "too long", "over the limit"],
)
def test_a_packet_whose_sizes_do_not_agree_is_malformed(packet: bytes) -> None:
    with pytest.raises(MalformedMessage, match="packet"):
        parse_packet(packet)

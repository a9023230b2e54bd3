"""The encoded log entry, written with struct for reading."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.reference.crc32c import crc32c

HEAD = struct.Struct("<IIQQBBH")  # crc32c, payload_size, index, term, kind, flags, reserved
KINDS = (0, 1, 2, 3)  # noop, operation, configuration, compressed operation


def encode_entry(index: int, term: int, kind: int, payload: bytes) -> bytes:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind}")
    unsummed = HEAD.pack(0, len(payload), index, term, kind, 0, 0) + payload
    return crc32c(unsummed[4:]).to_bytes(4, "little") + unsummed[4:]


def scan_entries(data: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < HEAD.size:
            raise ValueError(f"cut at offset {offset}")
        head = HEAD.unpack_from(data, offset)
        checksum, payload_size, index, term, kind, flags, reserved = head
        entry = data[offset : offset + HEAD.size + payload_size]
        if len(entry) < HEAD.size + payload_size:
            raise ValueError(f"cut at offset {offset}")
        if crc32c(entry[4:]) != checksum:
            raise ValueError(f"corrupt at offset {offset}")
        if kind not in KINDS or flags or reserved:
            raise ValueError(f"unknown at offset {offset}")
        found.append((index, term, kind, entry))
        offset += len(entry)
    return found


def assemble_entries(
    entries: Sequence[bytes], start: int, stop: int, bytes_max: int
) -> tuple[bytes, int]:
    if start < 0:
        raise ValueError(f"negative start {start}")
    chosen: list[bytes] = []
    for entry in list(entries)[start : max(start, stop)]:
        if chosen and sum(map(len, chosen)) + len(entry) > bytes_max:
            break
        chosen.append(entry)
    return b"".join(chosen), len(chosen)

"""Large operations are compressed once, at admission; log and followers carry the same bytes."""

from __future__ import annotations

import threading

import zstandard

from pydfsnode import limits
from pydfsnode._fast import ENTRY_HEAD_BYTES, entry_kind, entry_payload
from pydfsnode.errors import CorruptionError
from pydfsnode.raft.types import KIND_COMPRESSED, KIND_OPERATION

COMPRESS_FROM_BYTES = 1024
"""Smaller operations shrink little and would cost each write its share of time."""
LEVEL = 1

_local = threading.local()


def pack(payload: bytes) -> tuple[int, bytes]:
    """(kind, payload) of the entry that holds *payload*: compressed when that saves an eighth."""
    if len(payload) < COMPRESS_FROM_BYTES:
        return KIND_OPERATION, payload
    packed = _compressor().compress(payload)
    if len(packed) > len(payload) - len(payload) // 8:
        return KIND_OPERATION, payload
    return KIND_COMPRESSED, packed


def unpack(entry: bytes) -> bytes | None:
    """The operation in an encoded *entry*, None when it holds none.

    Raises:
        CorruptionError: what was compressed cannot be read.
    """
    kind = entry_kind(entry)
    if kind == KIND_OPERATION:
        return entry[ENTRY_HEAD_BYTES:]
    if kind != KIND_COMPRESSED:
        return None
    packed = entry_payload(entry)
    try:
        if zstandard.frame_content_size(packed) > limits.ENTRY_BYTES_MAX:
            raise CorruptionError("a compressed log entry is larger than an entry may be")
        return zstandard.ZstdDecompressor().decompress(
            packed, max_output_size=limits.ENTRY_BYTES_MAX
        )
    except zstandard.ZstdError as error:
        raise CorruptionError(f"a compressed log entry cannot be read: {error}") from None


def _compressor() -> zstandard.ZstdCompressor:
    found: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if found is None:
        found = _local.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return found

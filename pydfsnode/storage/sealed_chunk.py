"""What a chunk that is sealed at rest has beside its blocks: key, tags, checksums (formats 3, 4).

    head       key epoch u32 | key id 8 | salt 16
    seals      of each block: number u32 | tag 16
    sums       number u32 | tag 16 | sealed: CRC32C of the whole data u32, CRC32C u32 of each block

Blocks are sealed in place, so data of a sealed chunk has the offsets and sizes of the plain data.
The checksums are sealed, as they would tell whose content is equal. Their seal binds chunk,
version, length and every block's seal: of a chunk that is cut, renamed or put together from two
they do not open. In format 4 the key of its file is needed too; the bytes are the same.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydfsnode._fast import WarmBuffer
from pydfsnode.errors import CorruptionError, SealBroken
from pydfsnode.limits import PACKET_BYTES
from pydfsnode.security.chunk_cipher import (
    KEY_ID_BYTES,
    SALT_BYTES,
    SEAL_BYTES,
    TAG_BYTES,
    ChunkCipher,
    SealHead,
)
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_file import WARM_BYTES_MIN, bad_block
from pydfsnode.storage.chunk_format import CHECKSUM_BYTES, FOOTER_BYTES, Tail, block_count

_HEAD = struct.Struct(f"<I{KEY_ID_BYTES}s{SALT_BYTES}s")
_WHOLE = struct.Struct("<I")
_BOUND = struct.Struct("<17sQQQ")
_BOUND_MAGIC = b"pydfsnode sums 1\0"


class Sealing(NamedTuple):
    """What opens the blocks of a sealed chunk: its key and, one behind the other, their seals."""

    cipher: ChunkCipher
    seals: bytes


_FIXED_BYTES = _HEAD.size + SEAL_BYTES + _WHOLE.size
_OF_BLOCK_BYTES = SEAL_BYTES + CHECKSUM_BYTES


def sealing_bytes(length: int) -> int:
    """Size of what `encode_sealing` gives for *length* bytes of data."""
    return _FIXED_BYTES + block_count(length) * _OF_BLOCK_BYTES


def tail_bytes(length: int) -> int:
    """Size of what follows *length* bytes of data in a sealed chunk file."""
    return sealing_bytes(length) + FOOTER_BYTES


def data_bytes(file_bytes: int) -> int | None:
    """Length of the data in a sealed file of *file_bytes*; None: no such file has that size."""
    return chunk_format.data_within(file_bytes, _FIXED_BYTES + FOOTER_BYTES, _OF_BLOCK_BYTES)


def encode_tail(sealing: Sealing, chunk_id: int, version: int, length: int, tail: Tail) -> bytes:
    """What follows the sealed blocks in a chunk file."""
    found = encode_sealing(sealing, chunk_id, version, length, tail)
    form = chunk_format.FORMAT_KEYED if sealing.cipher.is_keyed else chunk_format.FORMAT_SEALED
    return chunk_format.encode_trailer(form, found, chunk_id, version, length)


def decode_tail(
    found: bytes, keys: ChunkKeys, chunk_id: int, version: int, length: int
) -> tuple[Tail, Sealing]:
    """Check what follows the blocks against what the file's name and size say.

    Raises:
        KeyUnavailable, CorruptionError: as `decode_sealing`.
    """
    is_keyed = chunk_format.form_of(found) == chunk_format.FORMAT_KEYED
    form = chunk_format.FORMAT_KEYED if is_keyed else chunk_format.FORMAT_SEALED
    chunk_format.check_footer(form, found, chunk_id, version, length)
    return decode_sealing(found[:-FOOTER_BYTES], keys, chunk_id, version, length, is_keyed)


def encode_sealing(sealing: Sealing, chunk_id: int, version: int, length: int, tail: Tail) -> bytes:
    """What is written beside the sealed blocks."""
    cipher, seals = sealing
    head = _HEAD.pack(*cipher.head)
    bound = _BOUND.pack(_BOUND_MAGIC, chunk_id, version, length) + head + seals
    sums = cipher.seal_sums(bound, _WHOLE.pack(tail.crc32c) + tail.checksums)
    return head + seals + sums


def decode_sealing(
    found: bytes, keys: ChunkKeys, chunk_id: int, version: int, length: int, is_keyed: bool = False
) -> tuple[Tail, Sealing]:
    """The checksums, and what opens the blocks; if *is_keyed* with the key of its file too.

    Raises:
        KeyUnavailable: the key of its epoch is not here.
        FileKeyMissing: that of its file is not.
        CorruptionError: it is of another chunk, version or length, or damaged.
    """
    if len(found) != sealing_bytes(length):
        raise CorruptionError(
            f"chunk {chunk_id}: its seals have {len(found)} bytes, not {sealing_bytes(length)}",
            chunk_id=chunk_id,
        )
    head = found[: _HEAD.size]
    stop = _HEAD.size + block_count(length) * SEAL_BYTES
    seals = found[_HEAD.size : stop]
    cipher = keys.for_sealed(chunk_id, SealHead(*_HEAD.unpack(head)), is_keyed)
    bound = _BOUND.pack(_BOUND_MAGIC, chunk_id, version, length) + head + seals
    try:
        sums = cipher.open_sums(bound, found[stop:])
    except SealBroken:
        raise CorruptionError(
            f"chunk {chunk_id} version {version}: its checksums were sealed for other data or "
            "another chunk; another replica is used and this one is made again",
            chunk_id=chunk_id,
        ) from None
    (whole,) = _WHOLE.unpack_from(sums)
    return Tail(whole, sums[_WHOLE.size :]), Sealing(cipher, seals)


def seal_blocks(cipher: ChunkCipher, plain: bytes) -> tuple[bytearray, bytes]:
    """All blocks of a small chunk sealed, and their seals."""
    sealed = bytearray(len(plain) + TAG_BYTES)
    with memoryview(plain) as source, memoryview(sealed) as into:
        seals = cipher.seal_blocks(0, source, into)
    del sealed[len(plain) :]
    return sealed, seals


def open_blocks(
    sealing: Sealing, chunk_id: int, first: int, sealed: bytes | bytearray | memoryview
) -> memoryview:
    """The plain bytes of the blocks from number *first* on; the last of *sealed* may be short.

    What *sealed* holds is lost if it can be written to.

    Raises:
        CorruptionError: one is not what was sealed in its place.
    """
    size = len(sealed)
    # New memory of a packet's size costs a page fault for every 4 KiB of it.
    warm = WarmBuffer(size) if WARM_BYTES_MIN <= size <= PACKET_BYTES else None
    into = memoryview(bytearray(size) if warm is None else warm)
    stop = first + block_count(size)
    seals = sealing.seals[first * SEAL_BYTES : stop * SEAL_BYTES]
    with memoryview(sealed) as source:
        bad = sealing.cipher.open_blocks(first, source, seals, into)
    if bad is not None:
        raise bad_block(chunk_id, bad)
    if warm is None:
        return into
    into.release()
    return warm.frozen_view()

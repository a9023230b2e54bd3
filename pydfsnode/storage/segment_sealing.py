"""Small chunks that are sealed at rest, in segments."""

from __future__ import annotations

from pydfsnode._fast import crc32c
from pydfsnode.security.chunk_cipher import ChunkCipher
from pydfsnode.storage.sealed_chunk import Sealing, encode_sealing, seal_blocks
from pydfsnode.storage.segment_format import Record


def seal_record(record: Record, cipher: ChunkCipher) -> Record:
    """*record*, whose data is plain, as it is written sealed.

    The checksum of the sealed data lets a walk over the segment tell a torn record without a key.
    """
    sealed, seals = seal_blocks(cipher, b"".join(record.buffers))
    chunk_id, version, length, tail, *_ = record
    sealing = encode_sealing(Sealing(cipher, seals), chunk_id, version, length, tail)
    return record._replace(
        buffers=[sealed], sealing=sealing, sealed_crc32c=crc32c(sealed), is_keyed=cipher.is_keyed
    )

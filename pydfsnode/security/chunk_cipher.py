"""Seals the blocks of one chunk at rest with AES-256-GCM, each block by itself.

    chunk key = HKDF-SHA256(key of the epoch, salt of the chunk, "pydfsnode chunk 1\\0" | chunk id)
                of a file with a key of its own: of (key of the epoch | key of the file), and "2"
    nonce     = u32 LE number of the sealing | 8 zero bytes

Every chunk has a random salt and thus a key of its own. A number is used once under that key: one
`ChunkCipher` seals everything of a chunk and counts, so a block that is sealed again (a growing
chunk's last one) never meets an old nonce. Only the process that drew the salt seals with it; who
goes on with a finished chunk draws another.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from pydfsnode.errors import SealBroken, invariant

KEY_BYTES = 32
SALT_BYTES = 16
KEY_ID_BYTES = 8
TAG_BYTES = 16
SEAL_BYTES = 4 + TAG_BYTES
"""What is kept of each sealing: its number and its tag."""

_NUMBER = struct.Struct("<I")
_NONCE_REST = bytes(8)
_BLOCK_AAD = struct.Struct("<18sQQ")
_BLOCK_MAGIC = b"pydfsnode block 1\0"
_INFO = struct.Struct("<18sQ")
_INFO_MAGIC = b"pydfsnode chunk 1\0"
_KEYED_INFO_MAGIC = b"pydfsnode chunk 2\0"

Bytes = bytes | bytearray | memoryview


class SealHead(NamedTuple):
    """Which key a chunk is sealed with; no secret."""

    epoch: int
    key_id: bytes
    """Tells two keys of one epoch apart: those of a cluster that was made anew."""
    salt: bytes


class ChunkCipher:
    """One chunk's key. Not for several threads at once while it seals; any may open."""

    def __init__(
        self, head: SealHead, chunk_id: int, epoch_key: bytes, file_key: bytes = b""
    ) -> None:
        self.head = head
        self.is_keyed = bool(file_key)
        """Whether the key of its file is needed too."""
        self._chunk_id = chunk_id
        self._algorithm = AES(chunk_key(epoch_key, head.salt, chunk_id, file_key))
        self._numbers = itertools.count(1)

    def seal_block(self, block: int, plain: Bytes, into: memoryview) -> bytes:
        """Write *plain*, the bytes of block number *block*, sealed to *into*, of the same size.

        Returns:
            SEAL_BYTES that `open_block` needs.
        """
        return self._seal(_BLOCK_AAD.pack(_BLOCK_MAGIC, self._chunk_id, block), plain, into)

    def open_block(self, block: int, sealed: Bytes, seal: Bytes, into: memoryview) -> None:
        """Write what was sealed as block number *block* to *into*, of the same size.

        Raises:
            SealBroken: it is not what was sealed as this block of this chunk. What *into* holds
                then is nothing.
        """
        self._open(_BLOCK_AAD.pack(_BLOCK_MAGIC, self._chunk_id, block), sealed, seal, into)

    def seal_sums(self, bound: bytes, plain: bytes) -> bytes:
        """SEAL_BYTES, then *plain* sealed; *bound* is needed again to open it."""
        into = memoryview(bytearray(len(plain)))
        return self._seal(bound, plain, into) + into

    def open_sums(self, bound: bytes, sealed: bytes) -> bytes:
        """Undo `seal_sums`.

        Raises:
            SealBroken: it is not what was sealed with *bound* under this key.
        """
        into = bytearray(len(sealed) - SEAL_BYTES)
        self._open(bound, sealed[SEAL_BYTES:], sealed[:SEAL_BYTES], memoryview(into))
        return bytes(into)

    def _seal(self, bound: bytes, plain: Bytes, into: memoryview) -> bytes:
        number = next(self._numbers)
        invariant(number < 1 << 32, "a chunk was sealed too often under one key")
        nonce = _NUMBER.pack(number)
        sealer = Cipher(self._algorithm, GCM(nonce + _NONCE_REST)).encryptor()
        sealer.authenticate_additional_data(bound)
        sealer.update_into(plain, into)
        sealer.finalize()
        return nonce + sealer.tag

    def _open(self, bound: bytes, sealed: Bytes, seal: Bytes, into: memoryview) -> None:
        nonce, tag = bytes(seal[:4]) + _NONCE_REST, bytes(seal[4:])
        opener = Cipher(self._algorithm, GCM(nonce, tag)).decryptor()
        opener.authenticate_additional_data(bound)
        opener.update_into(sealed, into)
        try:
            opener.finalize()
        except InvalidTag:
            raise SealBroken(
                "what was sealed was changed, moved or replaced", chunk_id=self._chunk_id
            ) from None


def chunk_key(epoch_key: bytes, salt: bytes, chunk_id: int, file_key: bytes = b"") -> bytes:
    """The key of one chunk, as RFC 5869 derives 32 bytes with SHA-256.

    *file_key* is that of its file, if it has one of its own.
    """
    extracted = hmac.digest(salt, epoch_key + file_key, hashlib.sha256)
    magic = _KEYED_INFO_MAGIC if file_key else _INFO_MAGIC
    return hmac.digest(extracted, _INFO.pack(magic, chunk_id) + b"\x01", hashlib.sha256)


def key_id(epoch_key: bytes) -> bytes:
    """Tells which key is meant without telling anything about it."""
    return hmac.digest(epoch_key, b"pydfsnode chunk key id", hashlib.sha256)[:KEY_ID_BYTES]

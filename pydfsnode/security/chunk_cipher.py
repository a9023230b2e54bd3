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
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pydfsnode.errors import SealBroken, invariant
from pydfsnode.limits import BLOCK_BYTES

KEY_BYTES = 32
SALT_BYTES = 16
KEY_ID_BYTES = 8
TAG_BYTES = 16
SEAL_BYTES = 4 + TAG_BYTES
"""What is kept of each sealing: its number and its tag."""
IN_PLACE = hasattr(AESGCM, "decrypt_into")
"""Whether blocks go from buffer to buffer, with cryptography from 47 on; else they are copied."""

_NUMBER = struct.Struct("<I")
_NONCE_REST = bytes(8)
_BLOCK_AAD = struct.Struct("<18sQQ")
_BLOCK_MAGIC = b"pydfsnode block 1\0"
_INFO = struct.Struct("<18sQ")
_INFO_MAGIC = b"pydfsnode chunk 1\0"
_KEYED_INFO_MAGIC = b"pydfsnode chunk 2\0"


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
        # Expanded once; an operation copies what it changes, so threads do not meet in it.
        self._aead = AESGCM(chunk_key(epoch_key, head.salt, chunk_id, file_key))
        self._numbers = itertools.count(1)

    def seal_blocks(self, first: int, plain: memoryview, into: memoryview) -> bytes:
        """Seal *plain*, the blocks from number *first* on, to the start of *into*.

        The last block may be short. Where *into* has TAG_BYTES more than *plain*, they are
        overwritten, which saves a copy of the last block.

        Returns:
            SEAL_BYTES for each block, one behind the other, that `open_blocks` needs.
        """
        seals = bytearray()
        for start in range(0, len(plain), BLOCK_BYTES):
            block = plain[start : start + BLOCK_BYTES]
            end = start + len(block)
            number = self._next_number()
            nonce, bound = number + _NONCE_REST, self._bound(first + start // BLOCK_BYTES)
            if IN_PLACE and end + TAG_BYTES <= len(into):
                # Its tag lies where the next block goes.
                sealed = into[start : end + TAG_BYTES]
                self._aead.encrypt_into(nonce, block, bound, sealed)
            else:
                sealed = memoryview(self._aead.encrypt(nonce, block, bound))
                into[start:end] = sealed[:-TAG_BYTES]
            seals += number
            seals += sealed[-TAG_BYTES:]
        return bytes(seals)

    def open_blocks(
        self, first: int, sealed: memoryview, seals: bytes, into: memoryview
    ) -> int | None:
        """Undo `seal_blocks`: write the plain bytes of *sealed* to *into*, of the same size.

        What *sealed* holds is lost if it can be written to, which saves copies of blocks.

        Args:
            seals: of these blocks alone.

        Returns:
            The number of the first block that is not what was sealed as this block of this chunk;
            what *into* holds then is nothing. None: all are.
        """
        bad = None
        # From the last to the first: a tag goes behind its block, over what is done with.
        for start in reversed(range(0, len(sealed), BLOCK_BYTES)):
            at = start // BLOCK_BYTES
            end = min(start + BLOCK_BYTES, len(sealed))
            seal = seals[at * SEAL_BYTES : (at + 1) * SEAL_BYTES]
            found: bytes | memoryview
            if sealed.readonly or end + TAG_BYTES > len(sealed):
                found = b"".join((sealed[start:end], seal[4:]))
            else:
                sealed[end : end + TAG_BYTES] = seal[4:]
                found = sealed[start : end + TAG_BYTES]
            try:
                self._open(seal[:4], found, self._bound(first + at), into[start:end])
            except InvalidTag:
                bad = first + at
        return bad

    def seal_sums(self, bound: bytes, plain: bytes) -> bytes:
        """SEAL_BYTES, then *plain* sealed; *bound* is needed again to open it."""
        number = self._next_number()
        sealed = self._aead.encrypt(number + _NONCE_REST, plain, bound)
        return number + sealed[-TAG_BYTES:] + sealed[:-TAG_BYTES]

    def open_sums(self, bound: bytes, sealed: bytes) -> bytes:
        """Undo `seal_sums`.

        Raises:
            SealBroken: it is not what was sealed with *bound* under this key.
        """
        number, tag, content = sealed[:4], sealed[4:SEAL_BYTES], sealed[SEAL_BYTES:]
        try:
            return self._aead.decrypt(number + _NONCE_REST, content + tag, bound)
        except InvalidTag:
            raise SealBroken(
                "what was sealed was changed, moved or replaced", chunk_id=self._chunk_id
            ) from None

    def _open(
        self, number: bytes, sealed: bytes | memoryview, bound: bytes, into: memoryview
    ) -> None:
        """*sealed* with its tag behind it."""
        if IN_PLACE:
            self._aead.decrypt_into(number + _NONCE_REST, sealed, bound, into)
        else:
            into[:] = self._aead.decrypt(number + _NONCE_REST, sealed, bound)

    def _bound(self, block: int) -> bytes:
        return _BLOCK_AAD.pack(_BLOCK_MAGIC, self._chunk_id, block)

    def _next_number(self) -> bytes:
        number = next(self._numbers)
        invariant(number < 1 << 32, "a chunk was sealed too often under one key")
        return _NUMBER.pack(number)


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

"""The key that seals one backup file, and how it lies in the file: wrapped by a master's KEK.

Each backup has a key of its own, drawn for it, so that nonces may count from 0 and no file tells
anything about another. Whoever has the key-encryption key (KEK) of the master that wrote the file
can read it, whatever became of that master's data directory and of its data keys.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pydfsnode.errors import SealBroken
from pydfsnode.security.key_file import KEY_BYTES, NONCE_BYTES, kek_id_of
from pydfsnode.security.key_sources import Kek


class BackupKek:
    """A key-encryption key, as backups use it.

    `kek_id` and `wrapped` are what `key_sources.KekSource.load` needs to find it again.
    """

    def __init__(self, kek: Kek) -> None:
        self._cipher = AESGCM(kek.key)
        self.kek_id = kek_id_of(kek.key)
        self.wrapped = kek.wrapped

    def new_key(self, aad: bytes) -> tuple[bytes, bytes]:
        """A key for a new backup, and the same wrapped and bound to *aad*."""
        key = AESGCM.generate_key(KEY_BYTES * 8)
        nonce = os.urandom(NONCE_BYTES)
        return key, nonce + self._cipher.encrypt(nonce, key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Undo `new_key`.

        Raises:
            SealBroken: it was changed, or is of another KEK.
        """
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)
        except (InvalidTag, ValueError):
            raise SealBroken(
                "the wrapped key in the head of the backup does not open: the head was changed; "
                "use another copy of the file"
            ) from None


class BackupCipher:
    """Seals the records of one backup; each (kind, number) once."""

    def __init__(self, key: bytes, aad: bytes) -> None:
        """*aad* is bound to every record: what the file begins with."""
        self._cipher = AESGCM(key)
        self._aad = aad

    def seal(self, kind: int, number: int, plaintext: bytes) -> bytes:
        """The record *number* of the file, of *kind*."""
        return self._cipher.encrypt(_nonce(kind, number), plaintext, self._aad)

    def unseal(self, kind: int, number: int, sealed: bytes) -> bytes:
        """Undo `seal`.

        Raises:
            SealBroken: it was changed, or stands in another place than it was written for.
        """
        try:
            return self._cipher.decrypt(_nonce(kind, number), sealed, self._aad)
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"record {number} of the backup was changed or moved: use another copy of the file"
            ) from None


def _nonce(kind: int, number: int) -> bytes:
    return kind.to_bytes(4, "big") + number.to_bytes(8, "big")

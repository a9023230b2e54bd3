"""`keyring.json`: the data keys of a node, wrapped by its key-encryption key (KEK)."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pydfsnode.errors import SealBroken, StorageError
from pydfsnode.security.files import replace_file

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it lies on disk."""

    epoch: int
    wrapped: str  # hex: nonce | ciphertext and tag


class KeyringFile(msgspec.Struct, frozen=True):
    """The whole file.

    `wrapped_kek` is what a command made of the KEK, in hex; "": the KEK is in a file or the
    environment. `rotation` is the replicated rotation that was followed last; 0: none.
    `forgotten`: the last order to forget keys of files for which a new data key was taken.
    """

    format: int
    cluster_id: str
    node_id: str
    kek_id: str
    keys: list[WrappedKey]
    wrapped_kek: str = ""
    rotation: int = 0
    forgotten: int = 0


def kek_id_of(kek: bytes) -> str:
    """Tells which KEK is meant without telling anything about it."""
    return hmac.new(kek, b"pydfsnode kek id", hashlib.sha256).hexdigest()[:16]


def wrapped_all(stored: KeyringFile, kek: bytes, keys: Mapping[int, bytes]) -> KeyringFile:
    """*stored* with exactly *keys*, by epoch, each wrapped by *kek*."""
    wrapped = [WrappedKey(epoch, _wrap(stored, kek, epoch, keys[epoch])) for epoch in sorted(keys)]
    return msgspec.structs.replace(stored, kek_id=kek_id_of(kek), keys=wrapped)


def unwrapped_all(stored: KeyringFile, kek: bytes, path: Path) -> dict[int, bytes]:
    """The data keys by epoch.

    Raises:
        SealBroken: a wrapped key was changed.
    """
    return {key.epoch: _unwrap(kek, stored, key, path) for key in stored.keys}


def _wrap(stored: KeyringFile, kek: bytes, epoch: int, key: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)  # random is right here: one for each time a key is wrapped
    return (nonce + AESGCM(kek).encrypt(nonce, key, _aad(stored, epoch))).hex()


def _unwrap(kek: bytes, stored: KeyringFile, key: WrappedKey, path: Path) -> bytes:
    try:
        wrapped = bytes.fromhex(key.wrapped)
        return AESGCM(kek).decrypt(
            wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _aad(stored, key.epoch)
        )
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"{path}: the wrapped key of epoch {key.epoch} was changed: "
            "restore the file from a backup"
        ) from None


def _aad(stored: KeyringFile, epoch: int) -> bytes:
    return f"pydfsnode keyring 1|{stored.cluster_id}|{stored.node_id}|{epoch}".encode()


def load_keyring(path: Path) -> KeyringFile:
    """Read and check the file.

    Raises:
        SealBroken: it is damaged or holds no key.
        StorageError: it cannot be read, or its format is not known.
    """
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=KeyringFile)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SealBroken(f"{path}: is damaged ({error}): restore the file from a backup") from None
    if stored.format != FORMAT:
        raise StorageError(
            f"{path}: format {stored.format} is not known to this version, which reads {FORMAT}: "
            "use the version that wrote it, or a newer one"
        )
    if not stored.keys or any(not 0 < key.epoch < 2**32 for key in stored.keys):
        raise SealBroken(f"{path}: holds no usable key: restore the file from a backup")
    return stored


def store_keyring(path: Path, stored: KeyringFile) -> None:
    """Put *stored* in the place of what is there, at once and durably.

    Raises:
        StorageError: nothing has changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(stored) + b"\n", mode=0o600)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None

"""The keys that seal a master's records: data keys, wrapped by a key-encryption key (KEK).

`keyring.json` in the data directory holds the data keys, each wrapped with AES-256-GCM under the
KEK; the KEK lies in a file of its own. A sealed record is

    key_epoch u32 LE | nonce 12 | ciphertext and 16-byte tag

with AES-256-GCM. A nonce is 6 random bytes, drawn once for each opened keyring, and a counter of 6
bytes: drawing each nonce at random would reach NIST's bound of 2^32 messages a key in days at full
speed (SP 800-38D, 8.3), and a counter kept on disk would repeat after a restored backup.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
import struct
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pydfsnode.errors import KeyUnavailable, SealBroken, StorageError, WrongCluster
from pydfsnode.security.files import replace_file, write_new

KEYRING_FILE = "keyring.json"
FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12
PREFIX_BYTES = 6
HEAD_BYTES = 4 + NONCE_BYTES
OVERHEAD_BYTES = HEAD_BYTES + 16
"""How much longer a sealed record is than its content."""
_EPOCH = struct.Struct("<I")


class _WrappedKey(msgspec.Struct, frozen=True):
    epoch: int
    wrapped: str  # hex: nonce | ciphertext and tag


class _KeyringFile(msgspec.Struct, frozen=True):
    format: int
    cluster_id: str
    node_id: str
    kek_id: str
    keys: list[_WrappedKey]


class Keyring:
    """The opened data keys of one node; any thread may seal and unseal."""

    def __init__(self, path: Path, kek: bytes, stored: _KeyringFile) -> None:
        self._path = path
        self._kek = kek
        self._stored = stored
        self._ciphers = {key.epoch: AESGCM(_unwrap(kek, stored, key, path)) for key in stored.keys}
        self._rotating = threading.Lock()
        self._prefix = os.urandom(PREFIX_BYTES)
        self._counter = itertools.count()  # next() is atomic: no lock on the hot path
        self._use(max(self._ciphers))

    @classmethod
    def open(cls, directory: Path, kek_file: Path, cluster_id: str, node_id: str) -> Keyring:
        """Open the keyring in *directory*; the first time, make it (and the KEK, when absent).

        Args:
            kek_file: 32 bytes as 64 hex digits, readable by the owner only.
        Returns:
            the keyring; it and a KEK made here are on disk, synced.
        Raises:
            KeyUnavailable: the KEK is missing though keys exist, is another one, is malformed, or
                others can read it.
            SealBroken: the KEK is right and a wrapped key was changed.
            WrongCluster: the keyring is another cluster's or node's.
            StorageError: a file cannot be read or written.
        """
        path = directory / KEYRING_FILE
        if not path.exists():
            kek = _read_kek(kek_file) if kek_file.exists() else _make_kek(kek_file)
            empty = _KeyringFile(FORMAT, cluster_id, node_id, _kek_id(kek), [])
            stored = _with_new_key(empty, kek, epoch=1)
            _store(path, stored)
            return cls(path, kek, stored)
        stored = _load(path)
        if (stored.cluster_id, stored.node_id) != (cluster_id, node_id):
            raise WrongCluster(
                f"{path} holds the keys of node '{stored.node_id}' of cluster "
                f"'{stored.cluster_id}', this is '{node_id}' of '{cluster_id}': "
                "use its own data directory"
            )
        if not kek_file.exists():
            raise KeyUnavailable(
                f"{kek_file}: the key-encryption key is missing; without it the data of this node "
                "cannot be read: restore the file, or set kek_file to where it is"
            )
        kek = _read_kek(kek_file)
        if _kek_id(kek) != stored.kek_id:
            raise KeyUnavailable(
                f"{kek_file} is not the key-encryption key of {path} (key id {_kek_id(kek)}, "
                f"{stored.kek_id} is needed): set kek_file to the one this node was started with"
            )
        return cls(path, kek, stored)

    @property
    def epoch(self) -> int:
        """The key epoch that new records are sealed with."""
        return self._epoch

    def seal(self, aad: bytes, plaintext: bytes) -> bytes:
        """*plaintext* encrypted, with *aad* bound to it: the same *aad* is needed to unseal."""
        head, cipher = self._current
        nonce = self._prefix + next(self._counter).to_bytes(NONCE_BYTES - PREFIX_BYTES, "big")
        return head + nonce + cipher.encrypt(nonce, plaintext, aad)

    def seal_all(
        self, aad_head: bytes, rows: Iterable[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes | None]]:
        """As `seal` for each (key, value), bound to *aad_head* and the key; a value None stays.

        The log thread does this for every entry and row: one call for a group of them.
        """
        head, cipher = self._current
        encrypt, counter, prefix = cipher.encrypt, self._counter, self._prefix
        rest_bytes = NONCE_BYTES - PREFIX_BYTES
        sealed: list[tuple[bytes, bytes | None]] = []
        add = sealed.append
        for key, value in rows:
            if value is None:
                add((key, None))
            else:
                nonce = prefix + next(counter).to_bytes(rest_bytes, "big")
                add((key, head + nonce + encrypt(nonce, value, aad_head + key)))
        return sealed

    def unseal(self, aad: bytes, sealed: bytes) -> bytes:
        """The plaintext of a sealed record.

        Raises:
            SealBroken: it was changed, cut, sealed with other *aad*, or with a key not held.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise SealBroken(
                f"a sealed record of {len(sealed)} bytes is cut: {OVERHEAD_BYTES} is the least; "
                "restore this node from its peers"
            )
        epoch = int.from_bytes(sealed[:4], "little")
        cipher = self._ciphers.get(epoch)
        if cipher is None:
            raise SealBroken(
                f"a record is sealed with key epoch {epoch}, {self._path} holds "
                f"{sorted(self._ciphers)}: restore that file or this node from its peers"
            )
        try:
            return cipher.decrypt(sealed[4:HEAD_BYTES], sealed[HEAD_BYTES:], aad)
        except InvalidTag:
            raise SealBroken(
                "a sealed record was changed or moved: restore this node from its peers",
                epoch=epoch,
            ) from None

    def rotate(self) -> int:
        """Seal from now on with a new key, which is on disk before it is used; returns its epoch.

        Records of earlier epochs can still be unsealed.

        Raises:
            StorageError: the keyring cannot be written; the old key stays in use.
        """
        with self._rotating:
            stored = _with_new_key(self._stored, self._kek, max(self._ciphers) + 1)
            _store(self._path, stored)
            added = stored.keys[-1]
            self._stored = stored
            self._ciphers[added.epoch] = AESGCM(_unwrap(self._kek, stored, added, self._path))
            self._use(added.epoch)
            return added.epoch

    def _use(self, epoch: int) -> None:
        self._epoch = epoch
        self._current = (_EPOCH.pack(epoch), self._ciphers[epoch])  # one attribute: swapped at once


def _with_new_key(stored: _KeyringFile, kek: bytes, epoch: int) -> _KeyringFile:
    nonce = os.urandom(NONCE_BYTES)  # random is right here: one for each key ever made
    wrapped = nonce + AESGCM(kek).encrypt(
        nonce, AESGCM.generate_key(KEY_BYTES * 8), _wrap_aad(stored, epoch)
    )
    keys = [*stored.keys, _WrappedKey(epoch, wrapped.hex())]
    return msgspec.structs.replace(stored, keys=keys)


def _unwrap(kek: bytes, stored: _KeyringFile, key: _WrappedKey, path: Path) -> bytes:
    try:
        wrapped = bytes.fromhex(key.wrapped)
        return AESGCM(kek).decrypt(
            wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _wrap_aad(stored, key.epoch)
        )
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"{path}: the wrapped key of epoch {key.epoch} was changed: "
            "restore the file from a backup"
        ) from None


def _wrap_aad(stored: _KeyringFile, epoch: int) -> bytes:
    return f"pydfsnode keyring 1|{stored.cluster_id}|{stored.node_id}|{epoch}".encode()


def _kek_id(kek: bytes) -> str:
    """Tells which KEK is meant without telling anything about it."""
    return hmac.new(kek, b"pydfsnode kek id", hashlib.sha256).hexdigest()[:16]


def _make_kek(kek_file: Path) -> bytes:
    kek = secrets.token_bytes(KEY_BYTES)
    try:
        kek_file.parent.mkdir(parents=True, exist_ok=True)
        write_new(kek_file, kek.hex().encode() + b"\n", mode=0o600)
    except OSError as error:
        raise KeyUnavailable(
            f"{kek_file}: the key-encryption key cannot be made: {error.strerror}"
        ) from None
    return kek


def _read_kek(kek_file: Path) -> bytes:
    try:
        mode = kek_file.stat().st_mode & 0o777
        text = kek_file.read_text(encoding="ascii").strip()
        kek = bytes.fromhex(text)
    except OSError as error:
        raise KeyUnavailable(f"{kek_file}: cannot be read: {error.strerror}") from None
    except ValueError:
        kek = b""
    if mode & 0o077:
        raise KeyUnavailable(
            f"{kek_file}: mode {mode:04o} lets others read the key: run 'chmod 600 {kek_file}'"
        )
    if len(kek) != KEY_BYTES:
        raise KeyUnavailable(
            f"{kek_file}: must hold {KEY_BYTES} bytes as {KEY_BYTES * 2} hex digits"
        )
    return kek


def _load(path: Path) -> _KeyringFile:
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_KeyringFile)
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


def _store(path: Path, stored: _KeyringFile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(stored) + b"\n", mode=0o600)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None

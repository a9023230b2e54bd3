"""The keys that seal a master's records: data keys, wrapped by a key-encryption key (KEK).

`keyring.json` in the data directory holds the data keys, each wrapped with AES-256-GCM under the
KEK, which comes from somewhere else (`key_sources`). A sealed record is

    key_epoch u32 LE | nonce 12 | ciphertext and 16-byte tag

with AES-256-GCM. A nonce is 6 random bytes, drawn once for each opened keyring, and a counter of 6
bytes: drawing each nonce at random would reach NIST's bound of 2^32 messages a key in days at full
speed (SP 800-38D, 8.3), and a counter kept on disk would repeat after a restored backup.
"""

from __future__ import annotations

import itertools
import os
import struct
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pydfsnode.errors import SealBroken, WrongCluster
from pydfsnode.security.key_file import (
    FORMAT,
    KEY_BYTES,
    NONCE_BYTES,
    KeyringFile,
    load_keyring,
    store_keyring,
    unwrapped_all,
    wrapped_all,
)
from pydfsnode.security.key_sources import Kek, KekFile, KekSource

KEYRING_FILE = "keyring.json"
PREFIX_BYTES = 6
HEAD_BYTES = 4 + NONCE_BYTES
OVERHEAD_BYTES = HEAD_BYTES + 16
"""How much longer a sealed record is than its content."""
_EPOCH = struct.Struct("<I")


class Keyring:
    """The opened data keys of one node; any thread may use it."""

    def __init__(self, path: Path, source: KekSource, kek: Kek, stored: KeyringFile) -> None:
        self._path = path
        self._source = source
        self._kek = kek
        self._stored = stored
        self._keys = unwrapped_all(stored, kek.key, path)
        self._ciphers = {epoch: AESGCM(key) for epoch, key in self._keys.items()}
        self._changing = threading.Lock()
        self._prefix = os.urandom(PREFIX_BYTES)
        self._counter = itertools.count()  # next() is atomic: no lock on the hot path
        self._use(max(self._ciphers))

    @classmethod
    def open(cls, directory: Path, kek: Path | KekSource, cluster_id: str, node_id: str) -> Keyring:
        """Open the keyring in *directory*; the first time, make it (and the KEK, when absent).

        Args:
            kek: where the KEK comes from; a path is that of a file with 64 hex digits.
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
        source = KekFile(kek) if isinstance(kek, Path) else kek
        if not path.exists():
            first = source.first()
            empty = KeyringFile(FORMAT, cluster_id, node_id, "", [], first.wrapped)
            stored = wrapped_all(empty, first.key, {1: os.urandom(KEY_BYTES)})
            store_keyring(path, stored)
            return cls(path, source, first, stored)
        stored = load_keyring(path)
        if (stored.cluster_id, stored.node_id) != (cluster_id, node_id):
            raise WrongCluster(
                f"{path} holds the keys of node '{stored.node_id}' of cluster "
                f"'{stored.cluster_id}', this is '{node_id}' of '{cluster_id}': "
                "use its own data directory"
            )
        keyring = cls(path, source, source.load(stored.kek_id, stored.wrapped_kek), stored)
        newer = source.newer(stored.kek_id)
        if newer is not None:
            keyring._rewrap(newer)
        return keyring

    @property
    def epoch(self) -> int:
        """The key epoch that new records are sealed with."""
        return self._epoch

    @property
    def wrapping(self) -> Kek:
        """The KEK that wraps the data keys now. Backups are sealed under it too."""
        return self._kek

    @property
    def epochs(self) -> list[int]:
        """Every epoch whose key is held."""
        return sorted(self._ciphers)

    @property
    def rotation(self) -> int:
        """The replicated rotation that was followed last; 0: none was."""
        return self._stored.rotation

    @property
    def forgotten(self) -> int:
        """The last order to forget keys of files for which a new data key was taken; 0: none."""
        return self._stored.forgotten

    @property
    def kek(self) -> tuple[str, str]:
        """(where the KEK comes from, its id), for people."""
        return self._source.name, self._stored.kek_id

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

    def rotate(self, rotation: int | None = None, forgotten: int | None = None) -> int:
        """Seal from now on with a new key, which is on disk before it is used; returns its epoch.

        Records of earlier epochs can still be unsealed.

        Args:
            rotation: what `rotation` says from now on.
            forgotten: the same of `forgotten`.

        Raises:
            StorageError: the keyring cannot be written; the old key stays in use.
        """
        with self._changing:
            epoch = max(self._keys) + 1
            self._store({**self._keys, epoch: os.urandom(KEY_BYTES)}, rotation, forgotten)
            self._use(epoch)
            return epoch

    def follow(self, rotation: int) -> None:
        """Note *rotation* as followed without a new key: this keyring is younger than it.

        Raises:
            StorageError: the keyring cannot be written.
        """
        with self._changing:
            self._store(self._keys, rotation)

    def destroy(self, epochs: Iterable[int]) -> list[int]:
        """Forget the keys of *epochs*, on disk and in memory; what they sealed is lost for ever.

        The newest is never among them. Returns which were.

        Raises:
            StorageError: the keyring cannot be written; all keys are still held.
        """
        with self._changing:
            gone = sorted(set(epochs) & set(self._keys) - {self._epoch})
            if gone:
                self._store({e: key for e, key in self._keys.items() if e not in gone})
            return gone

    def rotate_kek(self) -> str:
        """Wrap all data keys by a new KEK; returns its id. No record is touched.

        The keyring and the KEK fit together at every moment: a crash leaves the old or the new.

        Raises:
            KeyUnavailable: the source gives no other KEK, or could not put it in its place.
            StorageError: the keyring cannot be written; the old KEK stays.
        """
        with self._changing:
            self._rewrap(self._source.draw(self._stored.kek_id))
            self._source.settle()
            return self._stored.kek_id

    def _rewrap(self, kek: Kek) -> None:
        stored = msgspec.structs.replace(self._stored, wrapped_kek=kek.wrapped)
        stored = wrapped_all(stored, kek.key, self._keys)
        store_keyring(self._path, stored)
        self._stored, self._kek = stored, kek

    def _store(
        self, keys: dict[int, bytes], rotation: int | None = None, forgotten: int | None = None
    ) -> None:
        """Hold exactly *keys*, when that is on disk."""
        stored = self._stored
        if rotation is not None:
            stored = msgspec.structs.replace(stored, rotation=rotation)
        if forgotten is not None:
            stored = msgspec.structs.replace(stored, forgotten=forgotten)
        stored = wrapped_all(stored, self._kek.key, keys)
        store_keyring(self._path, stored)
        self._stored, self._keys = stored, dict(keys)
        self._ciphers = {e: self._ciphers.get(e) or AESGCM(key) for e, key in keys.items()}

    def _use(self, epoch: int) -> None:
        self._epoch = epoch
        self._current = (_EPOCH.pack(epoch), self._ciphers[epoch])  # one attribute: swapped at once

"""The keys that chunks are sealed with, by epoch: in memory only, as the masters handed them over.

A chunkserver never writes them down. Until it got them it can list its chunks and not read them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping

from pydfsnode.errors import InvalidArgument, KeyUnavailable
from pydfsnode.security.chunk_cipher import (
    KEY_BYTES,
    SALT_BYTES,
    ChunkCipher,
    SealHead,
    key_id,
)
from pydfsnode.security.file_keys import FileKeys, missing


class ChunkKeys:
    """Any thread may use it."""

    def __init__(
        self,
        new_salt: Callable[[], bytes] = lambda: os.urandom(SALT_BYTES),
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*seconds* is a clock that only goes forward: keys of files are kept for minutes."""
        self._new_salt = new_salt
        self.files = FileKeys(seconds)
        """Those of files that have one of their own."""
        self._lock = threading.Lock()
        self._keys: dict[int, tuple[bytes, bytes]] = {}
        self._epoch = 0
        self._sealing: weakref.WeakSet[ChunkCipher] = weakref.WeakSet()
        """Given out to seal new chunks; gone when those are finished or given up."""

    def __repr__(self) -> str:
        return f"ChunkKeys(epochs={self.epochs})"

    @property
    def epoch(self) -> int:
        """What new chunks are sealed with; 0: there is no key."""
        return self._epoch

    @property
    def epochs(self) -> list[int]:
        """Every epoch whose key is here."""
        return sorted(self._keys)

    @property
    def oldest(self) -> int:
        """The lowest epoch whose key is here; 0: there is none."""
        return min(self._keys, default=0)

    def seals_with_older(self, epoch: int) -> bool:
        """Whether a chunk is being written that is sealed with a key of before *epoch*."""
        with self._lock:
            return any(cipher.head.epoch < epoch for cipher in self._sealing)

    def key(self, epoch: int) -> bytes | None:
        """The key of *epoch*; None: it is not here."""
        found = self._keys.get(epoch)
        return None if found is None else found[0]

    def learn(self, keys: Mapping[int, bytes]) -> None:
        """From now on exactly *keys* hold, by epoch; the highest one seals. Older news is ignored.

        Raises:
            InvalidArgument: a key has the wrong size, or an epoch is none.
        """
        if any(len(key) != KEY_BYTES for key in keys.values()) or min(keys, default=1) < 1:
            raise InvalidArgument(f"chunk keys have {KEY_BYTES} bytes and epochs from 1")
        with self._lock:
            if max(keys, default=0) >= self._epoch:
                self._keys = {epoch: (key, key_id(key)) for epoch, key in keys.items()}
                self._epoch = max(keys, default=0)

    def for_new(self, chunk_id: int, is_keyed: bool = False) -> ChunkCipher:
        """What seals a new chunk, or one that is written anew.

        Args:
            is_keyed: with the key of its file too.

        Raises:
            KeyUnavailable: the masters gave no key yet.
            FileKeyMissing: that of the file is to be asked for first.
        """
        file_key = self._of_file(chunk_id) if is_keyed else b""
        with self._lock:  # with `learn`: nobody begins with the old key after the new one is here
            epoch = self._epoch
            found = self._keys.get(epoch)
            if found is not None:
                head = SealHead(epoch, found[1], self._new_salt())
                cipher = ChunkCipher(head, chunk_id, found[0], file_key)
                self._sealing.add(cipher)
                return cipher
        raise KeyUnavailable(
            f"chunk {chunk_id}: it is to be sealed, and this server has no key yet: it gets "
            "them from the masters as soon as it reaches one",
            chunk_id=chunk_id,
        )

    def for_sealed(self, chunk_id: int, head: SealHead, is_keyed: bool = False) -> ChunkCipher:
        """What opens a chunk that is sealed as *head* says, if *is_keyed* with its file's key too.

        Raises:
            KeyUnavailable: that key is not here. The chunk is as good as before.
            FileKeyMissing: that of the file is to be asked for first.
        """
        found = self._keys.get(head.epoch)
        if found is None or found[1] != head.key_id:
            have = ", ".join(map(str, self.epochs)) or "none"
            which = "of that epoch another key is here" if found else f"here are: {have}"
            raise KeyUnavailable(
                f"chunk {chunk_id} is sealed with the key of epoch {head.epoch} "
                f"({head.key_id.hex()}), {which}; this server gets keys from the masters: see that "
                "it reaches them, and that they have their own data",
                chunk_id=chunk_id,
                epoch=head.epoch,
            )
        file_key = self._of_file(chunk_id) if is_keyed else b""
        return ChunkCipher(head, chunk_id, found[0], file_key)

    def _of_file(self, chunk_id: int) -> bytes:
        found = self.files.get(chunk_id)
        if found is None:
            raise missing(chunk_id)
        return found


NO_KEYS = ChunkKeys()
"""For stores that hold no sealed chunks."""

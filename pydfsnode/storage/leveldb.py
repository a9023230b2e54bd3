"""`KeyValue` on LevelDB by plyvel: one directory, locked by LevelDB itself.

Blocks are not compressed: values are sealed, and ciphertext does not shrink.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import plyvel

from pydfsnode import limits
from pydfsnode.errors import CorruptionError, DirectoryLocked, DiskFull, StorageError
from pydfsnode.storage.kv import Batch

WRITE_BUFFER_BYTES = 32 * limits.MIB
"""Larger than LevelDB's 4 MiB: fewer compactions stand in the way of the log's synced writes."""
CACHE_BYTES = 32 * limits.MIB
OPEN_FILES_MAX = 512

_FULL_SIGNS = ("No space left on device", "Disk quota exceeded")
_LOCK_SIGNS = ("already held by process", "Resource temporarily unavailable")


class LevelDb:
    """An open LevelDB directory."""

    def __init__(self, path: Path) -> None:
        """Open *path*, creating it (not its parents) when absent.

        Raises:
            DirectoryLocked: another process has it open.
            CorruptionError: LevelDB's own files are damaged.
            DiskFull, StorageError: anything else that keeps it from opening.
        """
        self.path = path
        try:
            self._db = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                compression=None,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=CACHE_BYTES,
                max_open_files=OPEN_FILES_MAX,
                bloom_filter_bits=10,
            )
        except (plyvel.Error, OSError) as error:
            raise _translated(error, path, "cannot be opened") from error

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValue.get`."""
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise _translated(error, self.path, "cannot be read") from error
        return value

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValue.scan`."""
        rows = self._db.iterator(start=first, stop=end, verify_checksums=True, fill_cache=False)
        return self._checked(rows)

    def _checked(self, rows: plyvel.Iterator) -> Iterator[tuple[bytes, bytes]]:
        try:
            with rows:
                yield from rows
        except plyvel.Error as error:
            raise _translated(error, self.path, "cannot be read") from error

    def write(self, batch: Batch, sync: bool) -> None:
        """See `KeyValue.write`."""
        group = self._db.write_batch(sync=sync)
        put, delete = group.put, group.delete
        for key, value in batch:
            if value is None:
                delete(key)
            else:
                put(key, value)
        try:
            group.write()
        except plyvel.Error as error:
            raise _translated(error, self.path, "cannot be written") from error

    def close(self) -> None:
        """See `KeyValue.close`."""
        self._db.close()


def _translated(error: Exception, path: Path, what: str) -> Exception:
    """*error* of plyvel as ours. LevelDB gives texts, not codes, so the texts decide."""
    first = error.args[0] if error.args else error
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    if any(sign in text for sign in _LOCK_SIGNS) and "lock" in text:
        return DirectoryLocked(
            f"{path}: another process has this directory open; stop it, or use another data_dir"
        )
    if any(sign in text for sign in _FULL_SIGNS):
        return DiskFull(f"{path}: {what}: the disk is full ({text}); free space on it")
    if isinstance(error, plyvel.CorruptionError):
        return CorruptionError(
            f"{path}: {what}, its files are damaged ({text}); "
            "check the disk and restore this directory from a backup"
        )
    return StorageError(f"{path}: {what}: {text}")

"""`KeyValue` on LevelDB by plyvel: one directory, locked by LevelDB itself.

Blocks are not compressed: values are sealed, and ciphertext does not shrink.

LevelDB goes on to a new write-ahead file without syncing the one before. So that a synced write
holds all earlier ones too, a write with `sync` after unsynced ones first syncs the files of these.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
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
        self._has_unsynced = False
        self._lock = threading.Lock()
        self._open_views = 0
        self._closing = False

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
        return _checked(rows, self.path)

    def view(self) -> LevelDbView:
        """See `KeyValue.view`; a snapshot of LevelDB."""
        with self._lock:
            if self._closing:
                raise StorageError(f"{self.path}: cannot be read: it is closed")
            self._open_views += 1
            return LevelDbView(self._db.snapshot(), self.path, self._view_closed)

    def _view_closed(self) -> None:
        with self._lock:
            self._open_views -= 1
            if self._closing and not self._open_views:
                self._db.close()

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
            if sync and self._has_unsynced:
                self._sync_write_ahead_files()
            group.write()
        except (plyvel.Error, OSError) as error:
            raise _translated(error, self.path, "cannot be written") from error
        self._has_unsynced = not sync

    def _sync_write_ahead_files(self) -> None:
        """See the module. A file that vanishes meanwhile was made a synced table file."""
        for file in self.path.glob("*.log"):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """See `KeyValue.close`."""
        with self._lock:
            self._closing = True
            if not self._open_views:
                self._db.close()


class LevelDbView:
    """A snapshot of a `LevelDb`, made by its `view`."""

    def __init__(self, snapshot: plyvel.Snapshot, path: Path, on_close: Callable[[], None]) -> None:
        self._snapshot = snapshot
        self._path = path
        self._on_close = on_close
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValueReader.get`."""
        self._require_open()
        try:
            value: bytes | None = self._snapshot.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise _translated(error, self._path, "cannot be read") from error
        return value

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValueReader.scan`."""
        self._require_open()
        rows = self._snapshot.iterator(
            start=first, stop=end, verify_checksums=True, fill_cache=False
        )
        for row in _checked(rows, self._path):
            yield row
            self._require_open()

    def close(self) -> None:
        """See `KeyValueView.close`."""
        if not self._closed:
            self._closed = True
            self._snapshot.close()
            self._on_close()

    def _require_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self._path}: a view of it was used after it was closed")


def _checked(rows: plyvel.Iterator, path: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        with rows:
            yield from rows
    except plyvel.Error as error:
        raise _translated(error, path, "cannot be read") from error


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

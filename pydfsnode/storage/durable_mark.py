"""A few bytes beside the log that say how far it was durable: the witness against a lost tail.

LevelDB takes a damaged last block of its write-ahead file for a write that was under way at the
crash, and opens without it. A vote or an acknowledged entry would be gone without a word. So the
number of the last synced group is also kept here, overwritten in place after the sync. It needs no
sync of its own: a mark that is too old only proves less.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, StorageError
from pydfsnode.security.files import sync_directory

_HEAD = struct.Struct("<8sQ")
_CRC = struct.Struct("<I")
_MAGIC = b"pydfsMK1"


class DurableMark:
    """The mark file at *path*; `create` or `load` before `advance`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def create(self) -> None:
        """Write a mark of group 0, synced with its directory entry; replaces what is there.

        Raises:
            StorageError: the file cannot be written.
        """
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            self.advance(0)
            os.fsync(self._descriptor)
            sync_directory(self.path.parent)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be created: {error.strerror}") from error

    def load(self) -> int | None:
        """The group that the mark names, None when there is no mark.

        Raises:
            CorruptionError: the file is not a mark, or damaged.
        """
        try:
            self._descriptor = os.open(self.path, os.O_RDWR)
            content = os.pread(self._descriptor, _HEAD.size + _CRC.size + 1, 0)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from error
        if len(content) == _HEAD.size + _CRC.size:
            magic, group = _HEAD.unpack_from(content)
            (crc,) = _CRC.unpack_from(content, _HEAD.size)
            if magic == _MAGIC and crc == crc32c(content[: _HEAD.size]):
                return int(group)
        raise CorruptionError(
            f"{self.path}: the durable mark is damaged; check the disk and restore this node's "
            "data directory from its own backup"
        )

    def advance(self, group: int) -> None:
        """Note that everything up to *group* is durable.

        Raises:
            StorageError: the file cannot be written.
        """
        head = _HEAD.pack(_MAGIC, group)
        try:
            os.pwrite(self._descriptor, head + _CRC.pack(crc32c(head)), 0)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

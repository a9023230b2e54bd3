"""The local side of a copy: blocking file work, each function made for one hop into a thread."""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydfsnode.client.chunk_io import Packet


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A file or directory found below a local directory; size in bytes, 0 for a directory."""

    path: Path
    size: int
    is_directory: bool
    identity: tuple[int, int]
    """Device and inode: tells a directory that contains itself by a symbolic link."""


def look(path: Path) -> LocalEntry:
    """What is at *path*, symbolic links followed.

    Raises:
        OSError: nothing is there, or something that is neither file nor directory.
    """
    found = path.stat()
    is_directory = stat.S_ISDIR(found.st_mode)
    if not is_directory and not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is neither a file nor a directory")
    size = 0 if is_directory else found.st_size
    return LocalEntry(path, size, is_directory, (found.st_dev, found.st_ino))


def names_in(directory: Path) -> list[str]:
    """The names in *directory*, sorted."""
    return sorted(os.listdir(directory))


def open_and_read(path: Path, size: int) -> tuple[BinaryIO, bytes]:
    """Open *path* and read its first *size* bytes."""
    file = path.open("rb", buffering=0)
    try:
        return file, file.read(size) or b""
    except BaseException:
        file.close()
        raise


class PartFile:
    """A local file being received under a temporary name beside its final one.

    A cancelled copy discards it while a thread may still be writing: what comes late goes nowhere.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO | None = None
        self._working = threading.Lock()
        self._discarded = False

    def write(self, packets: Iterable[Packet]) -> None:
        """Append *packets*; the temporary file appears with the first call."""
        with self._working:
            if not self._discarded:
                self._append(packets)

    def _append(self, packets: Iterable[Packet]) -> None:
        if self._file is None:
            self._file = self._part.open("xb", buffering=0)
        for packet in packets:
            view = memoryview(packet)
            while view:
                view = view[self._file.write(view) :]

    def commit(self, packets: Iterable[Packet] = ()) -> None:
        """Append the last *packets* and give the file its name, replacing another one."""
        with self._working:
            if self._discarded:
                return
            self._append(packets)
            if self._file is not None:
                self._file.close()
            os.replace(self._part, self._path)

    def discard(self) -> None:
        """Remove what was received; harmless after `commit`."""
        with self._working:
            self._discarded = True
            if self._file is not None:
                self._file.close()
                self._part.unlink(missing_ok=True)

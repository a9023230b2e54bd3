"""The local side of a copy: blocking file work, each function made for one hop into a thread."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


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

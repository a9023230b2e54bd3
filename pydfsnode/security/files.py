"""Writing small files that must never be half there: made exclusively or replaced atomically."""

from __future__ import annotations

import os
from pathlib import Path


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Make *path* with *mode* from its first moment; synced, as is the directory entry.

    Raises:
        FileExistsError: it exists; it is not touched.
        OSError: it cannot be written; what was begun is removed.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put *content* at *path* atomically and durably: after a crash it is the old or the new file.

    Raises:
        OSError: nothing has changed.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)  # of an attempt that was interrupted
    write_new(beside, content, mode)
    os.replace(beside, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make creations and renames in *directory* durable; raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

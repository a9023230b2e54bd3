"""One data directory of a chunkserver: its room, whether it still works, how fast it is. Blocking.

Which replicas lie on it, and of which version, is `ChunkReplicas`' to know.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from pydfsnode.errors import DurabilityFailure, PydfsError, StorageError
from pydfsnode.storage.answered_soon import AnsweredSoon
from pydfsnode.storage.chunk_latency import DiskLatency
from pydfsnode.storage.chunk_layout import CHUNKS_NAME, ChunkLayout, FoundFile
from pydfsnode.storage.segments import SEGMENTS_NAME, FoundRecord, Segments

READ_ERRORS_MAX = 8
"""Reads that a disk may refuse: a bad sector costs a replica, many cost the disk."""

_PROBE_NAME = "probe"
_BROKEN = frozenset(
    {errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
    | {errno.EUCLEAN, errno.ENOTCONN, errno.EREMOTEIO, errno.ENOMEDIUM}
)


class FreeSpace(Protocol):
    """What `os.statvfs` answers."""

    @property
    def f_bavail(self) -> int: ...

    @property
    def f_frsize(self) -> int: ...


StatVfs = Callable[[Path], FreeSpace]


class FoundChunks(NamedTuple):
    """What a disk holds at the start."""

    files: list[FoundFile]
    records: list[FoundRecord]


class ChunkDisk:
    """A directory with chunk files and segments; `open` it before anything else."""

    def __init__(
        self,
        directory: Path,
        reserved_bytes: int = 0,
        statvfs: StatVfs = os.statvfs,
        number: int = 0,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            reserved_bytes: stay free on it.
            number: its place in the configuration.
            seconds: a clock, so that not everybody asks anew how much is free; None: all do.
        """
        self.directory = directory
        self.layout = ChunkLayout(directory)
        self.segments = Segments(directory / SEGMENTS_NAME)
        self.latency = DiskLatency(number)
        self.failure = ""
        """Why it is not used any more; "" while it is."""
        self.device = 0
        """Disks with the same number share their free space."""
        self.read_errors = 0
        self._reserved_bytes = reserved_bytes
        self._statvfs = statvfs
        self._room = AnsweredSoon(seconds=seconds)
        self._identity = (0, 0)

    def open(self) -> FoundChunks:
        """Make it usable and list what it holds; raises as its layout and segments do."""
        files = self.layout.prepare()
        records = self.segments.open()
        self._identity = self._stat_chunks()
        self.device = self._identity[0]
        return FoundChunks(files, records)

    def free_bytes(self) -> int:
        """Bytes free, less the reserve; as it said last when it does not answer at once.

        Raises:
            OSError: the disk does not say.
        """
        return max(0, self._room.measure(self._measure) - self._reserved_bytes)

    def _measure(self) -> int:
        found = self._statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def check(self) -> None:
        """See that the directory is still the one that was opened, and may be written.

        Raises:
            OSError: it is gone, another one, or read-only.
        """
        path = str(self.directory / CHUNKS_NAME)
        if self._stat_chunks() != self._identity:
            raise OSError(errno.ESTALE, "another directory took its place", path)
        if not os.access(path, os.W_OK):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def probe(self) -> None:
        """`check`, then write, sync and read a small file: for a disk that failed a read.

        Raises:
            OSError: it does not work.
        """
        self.check()
        path = self.layout.tmp_path(0, 0).with_name(_PROBE_NAME)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, b"probe", 0)
            os.fsync(fd)
            if os.pread(fd, 5, 0) != b"probe":
                raise OSError(errno.EIO, "it reads other bytes than were written", str(path))
        finally:
            os.close(fd)
        os.unlink(path)

    def note_read_error(self) -> str:
        """A read was refused; why the disk must not be used any more, "" when it may."""
        self.read_errors += 1
        if self.read_errors >= READ_ERRORS_MAX:
            return f"{self.read_errors} of its reads failed"
        try:
            self.probe()
        except OSError as error:
            if error.errno in _BROKEN:
                return f"{error.strerror}"
        return ""

    def _stat_chunks(self) -> tuple[int, int]:
        found = os.stat(self.directory / CHUNKS_NAME)
        return found.st_dev, found.st_ino


def is_broken(error: BaseException) -> bool:
    """Whether *error* says that the disk, not only one file, must not be used any more."""
    if isinstance(error, DurabilityFailure):
        return True
    cause = error.__cause__ if isinstance(error, PydfsError) else error
    return isinstance(cause, OSError) and cause.errno in _BROKEN


def disk_failed(directory: Path, reason: str) -> StorageError:
    """The refusal of what was asked of a disk that failed."""
    return StorageError(
        f"{directory}: this disk failed ({reason}) and is not used any more; its chunks are made "
        "again elsewhere: replace it and restart the chunkserver",
        path=str(directory),
    )

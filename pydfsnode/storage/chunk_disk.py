"""A chunkserver's chunks on its disk, blocking and thread-safe: room, versions, sealing, deleting.

A chunk has one replica here, of the newest version; an older version is refused (INV-FENCE).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydfsnode import limits
from pydfsnode.errors import (
    AlreadyExists,
    CorruptionError,
    InvalidArgument,
    ReplicaNotFound,
    StaleChunkVersion,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_file import (
    ChunkFileReader,
    ChunkFileWriter,
    disk_full,
    durability_failure,
    sync_directory,
)
from pydfsnode.storage.chunk_growing import GrowingChunks
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.chunk_layout import ChunkLayout, FoundFile

_STRIPES = 1024
_log = get_logger("storage.chunk_disk")


class FreeSpace(Protocol):
    """What `os.statvfs` answers."""

    @property
    def f_bavail(self) -> int: ...

    @property
    def f_frsize(self) -> int: ...


StatVfs = Callable[[Path], FreeSpace]


class ChunkDisk:
    """The chunks below one directory; `open` it before anything else."""

    def __init__(
        self,
        directory: Path,
        reserved_bytes: int,
        on_change: Callable[[], None],
        statvfs: StatVfs = os.statvfs,
    ) -> None:
        """*reserved_bytes* stay free on the disk; *on_change* is called, in any thread, after each
        change of the index."""
        self.directory = directory
        self.index = ChunkIndex(on_change)
        self.growing = GrowingChunks()
        self._layout = ChunkLayout(directory)
        self._reserved_bytes = reserved_bytes
        self._statvfs = statvfs
        # Renames, removals and seals of one chunk never run at the same time.
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]

    def open(self) -> None:
        """Take over what is there, by names and sizes; raises as `ChunkLayout.prepare`."""
        for file in self._layout.prepare():
            self._adopt(file)

    def _adopt(self, file: FoundFile) -> None:
        held = self.index.get(file.chunk_id)
        if held is not None:
            # A crash came between the rename of the newer version and the removal of the older.
            older = file.path
            if file.version > held.version:
                older = self._layout.path(held.chunk_id, held.version)
            with contextlib.suppress(OSError):
                older.unlink()
            if older == file.path:
                return
        length = chunk_format.data_bytes(file.file_bytes)
        replica = Replica(file.chunk_id, file.version, length or 0)
        self.index.put(replica)
        if length is None:
            # Kept, as a corrupt replica, so that the masters learn of it and have it replaced.
            _log.error("a chunk file has an impossible size", path=str(file.path))
            self.index.mark_corrupt(replica)

    def free_bytes(self) -> int:
        """Bytes that new chunks may take: free, less the reserve and what is promised to others."""
        try:
            found = self._statvfs(self.directory)
        except OSError as error:
            _log.error("the disk does not say how much is free", error=str(error))
            return 0
        free = found.f_bavail * found.f_frsize - self._reserved_bytes
        return max(0, free - self.growing.promised_bytes())

    # ---- writing

    def create(self, chunk_id: int, version: int, bytes_expected: int) -> ChunkFileWriter:
        """Begin a chunk for which *bytes_expected* are set aside until it is finished or dropped.

        Raises:
            StaleChunkVersion: a newer version is here (INV-FENCE).
            AlreadyExists: this version is here, or is being written.
            DiskFull: there is no room; nothing was begun.
        """
        held = self.index.get(chunk_id)
        if held is not None and held.version > version:
            raise _stale(held, version)
        if held is not None and held.version == version and not self.index.is_corrupt(chunk_id):
            raise AlreadyExists(f"chunk {chunk_id} version {version} is here already")
        if self.free_bytes() < bytes_expected + chunk_format.tail_bytes(bytes_expected):
            raise disk_full(self.directory)
        writer = ChunkFileWriter(self._layout.tmp_path(chunk_id, version), chunk_id, version)
        replaced = self.growing.add(writer, bytes_expected)
        if replaced is not None:
            replaced.discard(f"version {version} is being written")
        return writer

    def drop(self, writer: ChunkFileWriter, why: str) -> None:
        """Give up a chunk that is being written, file and all."""
        self.growing.remove(writer)
        writer.discard(why)

    def finish(self, writer: ChunkFileWriter, crc: int | None = None) -> int:
        """Make a written chunk durable and readable; returns its CRC32C.

        Raises:
            as `ChunkFileWriter.finish`; DurabilityFailure stops the node (INV-STOP).
        """
        with self._stripe(writer.chunk_id):
            try:
                whole = writer.finish(crc)
                self._publish(writer.path, Replica(writer.chunk_id, writer.version, writer.length))
            finally:
                self.growing.remove(writer)
            return whole

    def _publish(self, path: Path, replica: Replica) -> None:
        held = self.index.get(replica.chunk_id)
        target = self._layout.path(replica.chunk_id, replica.version)
        try:
            path.rename(target)
        except OSError as error:
            raise durability_failure(path, error) from error
        sync_directory(target.parent)
        self.index.put(replica)
        if held is not None and held.version != replica.version:
            with contextlib.suppress(OSError):  # removed at the next start
                self._layout.path(held.chunk_id, held.version).unlink()

    # ---- sealing

    def seal(self, chunk_id: int, version: int, new_version: int, length: int) -> int:
        """End *version* at *length* bytes, durable as *new_version*; a second time changes nothing.

        Whoever writes *version* can do nothing more from then on. A length of 0 gives the chunk up.

        Returns:
            CRC32C of the chunk, 0 when it was given up.

        Raises:
            StaleChunkVersion: a newer version is here, or it was sealed at another length.
            ReplicaNotFound: this version is not here, or has fewer bytes.
            CorruptionError: what is here failed its verification.
            DiskFull, DurabilityFailure: as `finish`.
        """
        if new_version <= version or length < 0:
            raise InvalidArgument(
                f"chunk {chunk_id}: version {version} cannot be sealed as {new_version} "
                f"at {length} bytes"
            )
        with self._stripe(chunk_id):
            held = self.index.get(chunk_id)
            if held is not None and held.version == new_version and held.length == length:
                with self.reader(self.find(chunk_id, new_version)) as reader:
                    return reader.tail.crc32c
            if held is not None and held.version > version:
                raise _stale(held, version)
            if not length:
                self._remove(chunk_id, version)
                return 0
            heir = self._take(chunk_id, version, length)
            try:
                heir.truncate(length)
                heir.rename(self._layout.tmp_path(chunk_id, new_version), new_version)
                whole = heir.finish()
            finally:
                heir.discard("its seal failed")  # nothing after a success
            self._publish(heir.path, Replica(chunk_id, new_version, length))
            return whole

    def _take(self, chunk_id: int, version: int, length: int) -> ChunkFileWriter:
        """The bytes of *version* in a file that is ours alone to cut."""
        growing = self.growing.get(chunk_id)
        if growing is not None and growing.version == version:
            if growing.length < length:
                raise _too_short(chunk_id, version, growing.length, length)
            heir = growing.take("it was sealed")
            self.growing.remove(growing)
            return heir
        held = self.find(chunk_id, version)
        if held.length < length:
            raise _too_short(chunk_id, version, held.length, length)
        return self._copy(held)

    def _copy(self, held: Replica) -> ChunkFileWriter:
        """A verified copy: the finished file must stay whole until the sealed one is durable."""
        if self.free_bytes() < held.length:
            raise disk_full(self.directory)
        path = self._layout.tmp_path(held.chunk_id, held.version)
        copy = ChunkFileWriter(path, held.chunk_id, held.version)
        try:
            with self.reader(held) as reader:
                for offset in range(0, held.length, limits.PACKET_BYTES):
                    size = min(limits.PACKET_BYTES, held.length - offset)
                    copy.append([reader.read(offset, size)])
        except CorruptionError:
            self.index.mark_corrupt(held)
            copy.discard("its source is corrupt")
            raise
        return copy

    # ---- reading and deleting

    def find(self, chunk_id: int, version: int) -> Replica:
        """The readable replica of exactly this version.

        Raises:
            ReplicaNotFound: it is not here.
            StaleChunkVersion: a newer one is.
            CorruptionError: it is known to be bad.
        """
        held = self.index.get(chunk_id)
        if held is None or held.version < version:
            raise _not_here(chunk_id, version)
        if held.version > version:
            raise _stale(held, version)
        if self.index.is_corrupt(chunk_id):
            raise CorruptionError(
                f"chunk {chunk_id}: its copy on this server is corrupt; read another replica",
                chunk_id=chunk_id,
            )
        return held

    def reader(self, held: Replica) -> ChunkFileReader:
        """Open a replica that `find` gave.

        Raises:
            CorruptionError: its tail is damaged; it is marked as corrupt.
            ReplicaNotFound: the file was removed since, or behind our back.
        """
        path = self._layout.path(held.chunk_id, held.version)
        try:
            return ChunkFileReader(path, held.chunk_id, held.version, held.length)
        except FileNotFoundError:
            if self.index.remove(held):
                _log.error("a chunk file is gone", path=str(path))
            raise _not_here(held.chunk_id, held.version) from None
        except CorruptionError:
            self.index.mark_corrupt(held)
            raise

    def delete(self, chunk_id: int, version: int) -> None:
        """Remove what is here of a chunk up to *version*; nothing is fine too.

        Raises:
            StaleChunkVersion: a newer version is here; nothing was removed (INV-FENCE).
            StorageError: the disk refused.
        """
        with self._stripe(chunk_id):
            held = self.index.get(chunk_id)
            if held is not None and held.version > version:
                raise _stale(held, version)
            self._remove(chunk_id, version)

    def _remove(self, chunk_id: int, version: int) -> None:
        growing = self.growing.get(chunk_id)
        if growing is not None and growing.version <= version:
            self.drop(growing, "it was deleted")
        held = self.index.get(chunk_id)
        if held is not None and held.version <= version:
            # A removal that a crash undoes shows in the next full report and is ordered again.
            self.index.remove(held)
            with contextlib.suppress(FileNotFoundError):
                self._layout.path(chunk_id, held.version).unlink()

    def close(self) -> None:
        """Drop what is being written."""
        for writer in self.growing.all():
            self.drop(writer, "the node stops")

    def _stripe(self, chunk_id: int) -> threading.Lock:
        return self._stripes[chunk_id % _STRIPES]


def _stale(held: Replica, version: int) -> StaleChunkVersion:
    return StaleChunkVersion(
        f"chunk {held.chunk_id}: version {held.version} is here, version {version} is out of date: "
        "ask the masters again",
        chunk_id=held.chunk_id,
        version=held.version,
    )


def _not_here(chunk_id: int, version: int) -> ReplicaNotFound:
    return ReplicaNotFound(
        f"chunk {chunk_id} version {version} is not on this server", chunk_id=chunk_id
    )


def _too_short(chunk_id: int, version: int, have: int, wanted: int) -> ReplicaNotFound:
    return ReplicaNotFound(
        f"chunk {chunk_id} version {version}: {have} bytes are here, {wanted} were asked for",
        chunk_id=chunk_id,
    )

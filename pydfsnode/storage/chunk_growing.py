"""The chunks that are being written here, and the room that is promised to them. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

from pydfsnode.errors import AlreadyExists, StaleChunkVersion
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter


class Growing(NamedTuple):
    """Who writes a chunk, on which disk, and how large its file is going to be at most."""

    writer: ChunkFileWriter
    disk: ChunkDisk
    bytes_expected: int


class GrowingChunks:
    """One writer a chunk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._growing: dict[int, Growing] = {}
        self._counted: dict[int, int] = {}
        """What each was promised when it was looked at last, and is not less now."""
        self._promised: Counter[int] = Counter()
        """The sum of that, by device."""
        self._asked = 0
        """How often since all were looked at."""

    def __len__(self) -> int:
        return len(self._growing)

    def get(self, chunk_id: int) -> ChunkFileWriter | None:
        """Who writes *chunk_id*."""
        found = self._growing.get(chunk_id)
        return found.writer if found is not None else None

    def disk(self, writer: ChunkFileWriter) -> ChunkDisk | None:
        """Where *writer* writes; None when it does not any more."""
        found = self._growing.get(writer.chunk_id)
        return found.disk if found is not None and found.writer is writer else None

    def all(self) -> list[Growing]:
        """Every one."""
        with self._lock:
            return list(self._growing.values())

    def count(self, disk: ChunkDisk) -> int:
        """How many are written on *disk*."""
        return sum(growing.disk is disk for growing in self.all())

    def check(self, chunk_id: int, version: int) -> None:
        """Whether *version* may be begun.

        Raises:
            AlreadyExists, StaleChunkVersion: this version, or a newer one, is being written.
        """
        other = self.get(chunk_id)
        if other is not None and other.version >= version:
            kind = AlreadyExists if other.version == version else StaleChunkVersion
            raise kind(
                f"chunk {chunk_id}: version {other.version} is being written here, "
                f"version {version} cannot be begun"
            )

    def add(self, growing: Growing) -> ChunkFileWriter | None:
        """Enter a writer; returns that of an older version, which it replaced; raises as `check`"""
        writer = growing.writer
        with self._lock:
            self.check(writer.chunk_id, writer.version)
            other = self._take(writer.chunk_id)
            self._put(growing)
            return other.writer if other is not None else None

    def release_room(self, writer: ChunkFileWriter) -> None:
        """*writer* will not grow any more: promise it nothing, but keep it."""
        with self._lock:
            found = self._growing.get(writer.chunk_id)
            if found is not None and found.writer is writer:
                self._take(writer.chunk_id)
                self._put(found._replace(bytes_expected=0))

    def remove(self, writer: ChunkFileWriter) -> bool:
        """Forget *writer*; whether it was there."""
        with self._lock:
            found = self._growing.get(writer.chunk_id)
            if found is None or found.writer is not writer:
                return False
            self._take(writer.chunk_id)
            return True

    def promised_bytes(self, device: int, *, exact: bool = True) -> int:
        """What the writers may still take of *device*.

        Args:
            exact: False: perhaps more than that: each writer is not looked at for every new chunk,
                but at times. Many grow at once, small ones above all.
        """
        with self._lock:
            self._asked += 1
            if exact or self._asked >= len(self._growing):
                self._asked = 0
                for chunk_id, (writer, disk, expected) in self._growing.items():
                    left = max(0, expected - writer.written_bytes)
                    self._promised[disk.device] += left - self._counted[chunk_id]
                    self._counted[chunk_id] = left
            return self._promised[device]

    def _put(self, growing: Growing) -> None:
        chunk_id = growing.writer.chunk_id
        self._growing[chunk_id] = growing
        self._counted[chunk_id] = growing.bytes_expected
        self._promised[growing.disk.device] += growing.bytes_expected

    def _take(self, chunk_id: int) -> Growing | None:
        found = self._growing.pop(chunk_id, None)
        if found is not None:
            self._promised[found.disk.device] -= self._counted.pop(chunk_id)
        return found

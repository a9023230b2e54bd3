"""The chunks that are being written here, and the room that is promised to them. Thread-safe."""

from __future__ import annotations

import threading

from pydfsnode.errors import AlreadyExists, StaleChunkVersion
from pydfsnode.storage.chunk_file import ChunkFileWriter


class GrowingChunks:
    """One writer a chunk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[int, ChunkFileWriter] = {}
        self._expected: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._writers)

    def get(self, chunk_id: int) -> ChunkFileWriter | None:
        """Who writes *chunk_id*."""
        with self._lock:
            return self._writers.get(chunk_id)

    def all(self) -> list[ChunkFileWriter]:
        """Every writer."""
        with self._lock:
            return list(self._writers.values())

    def add(self, writer: ChunkFileWriter, bytes_expected: int) -> ChunkFileWriter | None:
        """Enter *writer*, for which *bytes_expected* are set aside.

        Returns:
            The writer of an older version, which it replaced.

        Raises:
            AlreadyExists, StaleChunkVersion: this version, or a newer one, is being written.
        """
        with self._lock:
            other = self._writers.get(writer.chunk_id)
            if other is not None and other.version >= writer.version:
                kind = AlreadyExists if other.version == writer.version else StaleChunkVersion
                raise kind(
                    f"chunk {writer.chunk_id}: version {other.version} is being written here, "
                    f"version {writer.version} cannot be begun"
                )
            self._writers[writer.chunk_id] = writer
            self._expected[writer.chunk_id] = bytes_expected
            return other

    def release_room(self, writer: ChunkFileWriter) -> None:
        """*writer* will not grow any more: promise it nothing, but keep it."""
        with self._lock:
            if self._writers.get(writer.chunk_id) is writer:
                self._expected[writer.chunk_id] = 0

    def remove(self, writer: ChunkFileWriter) -> bool:
        """Forget *writer*; whether it was there."""
        with self._lock:
            if self._writers.get(writer.chunk_id) is not writer:
                return False
            del self._writers[writer.chunk_id]
            del self._expected[writer.chunk_id]
            return True

    def promised_bytes(self) -> int:
        """What the writers may still take."""
        with self._lock:
            return sum(
                max(0, expected - self._writers[chunk_id].length)
                for chunk_id, expected in self._expected.items()
            )

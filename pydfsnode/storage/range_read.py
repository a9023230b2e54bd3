"""A range of a finished chunk being read. Blocking; from any thread, one packet at a time.

The file is opened with the first packet and closed with the last: a job of its own for either costs
a server more than checking the packet, and a small read is all three (ADR 10).
"""

from __future__ import annotations

import threading

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, FileKeyMissing, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.first_touch import FirstTouch
from pydfsnode.storage.open_chunk import Packet

_log = get_logger("storage.chunk_store")


class RangeRead:
    """Gives the packets of [offset, end) of *held* with `next`; `close` unless it came to the end.

    Packets end at multiples of PACKET_BYTES, so that all but the edges are whole blocks.
    """

    def __init__(
        self, replicas: ChunkReplicas, touched: FirstTouch, held: Replica, offset: int, end: int
    ) -> None:
        self._replicas = replicas
        self._touched = touched
        self._held = held
        self._offset = offset
        self._end = end
        # A read may be given up while a packet of it is still to be read in a thread.
        self._lock = threading.Lock()
        self._reader: ChunkFileReader | None = None
        self.closed = False
        """Nothing is open any more, and nothing will be."""

    def next(self) -> Packet:
        """The next packet, every block that it touches verified (INV-SUM).

        Raises:
            CorruptionError: a block, or the tail of the file, is bad; the replica is marked.
            KeyUnavailable, ReplicaNotFound, StorageError: as `ChunkReplicas.reader` and `read`.
            Unavailable: it was closed.
            FileKeyMissing: get that, then call it again.
        """
        with self._lock:
            if self.closed:
                raise Unavailable(f"chunk {self._held.chunk_id}: this read was given up")
            try:
                packet = self._read()
            except FileKeyMissing:
                raise  # nothing is open: it can be asked for once more
            except BaseException:
                self._close()
                raise
            if self._offset == self._end:
                self._close()
            return packet

    def close(self) -> None:
        """Close the file, after a packet that is being read; a second time does nothing."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self.closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self) -> Packet:
        held, offset = self._held, self._offset
        reader = self._reader
        if reader is None:
            reader = self._reader = self._replicas.reader(held)
        boundary = (offset // limits.PACKET_BYTES + 1) * limits.PACKET_BYTES
        size = min(self._end, boundary) - offset
        first = self._touched.is_first(held.chunk_id, held.version, offset, size)
        try:
            view = self._replicas.read(reader, held, offset, size, past_cache=first)
        except CorruptionError as error:
            _log.error("a replica is corrupt", chunk_id=held.chunk_id, error=str(error))
            metrics().counter("chunk_corrupt_total").inc()
            raise
        self._offset += size
        # What was verified just now has these checksums.
        crc = reader.checksum(offset, size)
        return Packet(offset, view, crc32c(view) if crc is None else crc)

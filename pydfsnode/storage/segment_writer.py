"""The one segment of a disk that is written: records go behind each other, one sync for many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from pydfsnode.limits import MIB
from pydfsnode.storage import segment_format
from pydfsnode.storage.direct_sink import write_all
from pydfsnode.storage.segment_format import (
    HEADER_BYTES,
    Entry,
    Record,
    SegmentName,
    head_bytes,
    record_bytes,
)

WRITE_BYTES = MIB
"""Records are joined up to about this size before they are written."""


class SegmentWriter:
    """Not thread-safe. Every method raises OSError as the disk does; then only `abandon` is left,
    as it is unknown what the file holds behind the last sync."""

    def __init__(self, path: Path, name: SegmentName) -> None:
        """Make the file; its name is not durable yet."""
        self.path = path
        self.name = name
        self.end = 0
        """Behind the last record."""
        self._entries: list[Entry] = []
        self._synced_end = HEADER_BYTES
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write([segment_format.encode_header(name)])
        except OSError:
            self.abandon()
            raise

    def write(self, records: Sequence[Record], ended: Sequence[Entry]) -> list[Entry]:
        """Put chunks and then tombstones behind what is there; their entries."""
        entries: list[Entry] = []
        waiting: list[bytes | memoryview | bytearray] = []
        size = 0
        for record in records:
            chunk_id, version, length, kind = (
                record.chunk_id, record.version, record.length, record.kind,
            )  # fmt: skip
            entry = Entry(chunk_id, version, 0, self.end + size, length, kind)
            used = head_bytes(length, kind) + length
            waiting.append(segment_format.encode_head(self.name.salt, entry, record.stored_tail))
            waiting += record.buffers
            waiting.append(bytes(record_bytes(entry) - used))
            entries.append(entry)
            size += record_bytes(entry)
            if size >= WRITE_BYTES:
                self._write(waiting)
                waiting, size = [], 0
        for tombstone in ended:
            entry = tombstone._replace(offset=self.end + size)
            waiting.append(segment_format.encode_head(self.name.salt, entry))
            entries.append(entry)
            size += record_bytes(entry)
        self._write(waiting)
        self._entries += entries
        return entries

    def sync(self) -> None:
        """Make durable what was written."""
        os.fdatasync(self._fd)
        self._synced_end = self.end

    def finish(self) -> None:
        """Write the index, make it durable, close the file."""
        self._write([segment_format.encode_index(self.name, self._entries, self.end)])
        os.fdatasync(self._fd)
        self.close()

    def abandon(self) -> None:
        """Close the file and give back what is not durable; without records it is removed."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._synced_end)
        self.close()
        if not self.has_durable_records:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    @property
    def has_durable_records(self) -> bool:
        """Whether it holds something that was synced."""
        return self._synced_end > HEADER_BYTES

    def close(self) -> None:
        """Close the file as it is; harmless twice."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # what counts was synced
                os.close(fd)

    def _write(self, parts: Sequence[bytes | memoryview | bytearray]) -> None:
        if parts:
            self.end += write_all(self._fd, memoryview(b"".join(parts)), self.end)

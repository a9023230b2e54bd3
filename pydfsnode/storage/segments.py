"""The segment files of one disk: appending small chunks, tombstones, how much in them is dead.

Only one segment is written at a time, and only by the process that began it: what a restart finds
is closed. A segment is removed when nothing in it lives.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from pydfsnode.errors import ConfigError, InvariantViolation, StorageError
from pydfsnode.limits import MIB
from pydfsnode.obs.log import get_logger
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import segment_format
from pydfsnode.storage.chunk_file import FULL, disk_full, durability_failure, sync_directory
from pydfsnode.storage.direct_sink import write_all
from pydfsnode.storage.segment_format import (
    CHUNKS,
    TOMBSTONE,
    Entry,
    Record,
    SegmentName,
    record_bytes,
)
from pydfsnode.storage.segment_reader import PackedReader
from pydfsnode.storage.segment_scan import FoundSegment, read_segment
from pydfsnode.storage.segment_writer import SegmentWriter

SEGMENTS_NAME = "segments"
SEGMENT_BYTES = 64 * MIB
"""A segment that is as large is closed."""
TOMBSTONES_MAX = 4096
"""Deletions that wait to be written with the next chunks."""

_log = get_logger("storage.segments")


class Segment:
    """What is known of a segment file in memory."""

    def __init__(self, name: SegmentName, path: Path, end: int) -> None:
        self.name = name
        self.path = path
        self.end = end
        """Offset behind its last record."""
        self.live_bytes = 0
        """Of records of chunks that are still here."""
        self.is_stuck = False
        """Whether something in it cannot be moved, until it is deleted."""


class FoundRecord(NamedTuple):
    """A chunk in a segment, as a start finds it."""

    number: int
    entry: Entry
    is_damaged: bool


class Segments:
    """Thread-safe after `open`."""

    def __init__(
        self, directory: Path, new_salt: Callable[[], int] = lambda: secrets.randbits(64)
    ) -> None:
        """*directory* is that of the segments, not of the disk."""
        self.directory = directory
        self.segment_bytes = SEGMENT_BYTES
        self._new_salt = new_salt
        self._all: dict[int, Segment] = {}
        self._next_number = 1
        self._writer: SegmentWriter | None = None
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._tombstones: list[Entry] = []

    def path(self, number: int) -> Path:
        """Where segment *number* lies."""
        return self.directory / f"{number:016x}.seg"

    # ---- at the start

    def open(self) -> list[FoundRecord]:
        """List the chunks in segments, the older first; closes what a crash left open.

        Raises:
            ConfigError: the directory cannot be used.
            DurabilityFailure: the disk refuses to sync.
        """
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            numbers = sorted(self._numbers())
            found = [self._take_over(number) for number in numbers]
        except OSError as error:
            raise ConfigError(
                f"{error.filename or self.directory}: the segments cannot be used: "
                f"{error.strerror}; check their owner and the disk"
            ) from error
        sync_directory(self.directory)
        self._next_number = max(numbers, default=0) + 1
        return list(self._living([segment for segment in found if segment is not None]))

    def _numbers(self) -> Iterator[int]:
        with os.scandir(self.directory) as files:
            for file in files:
                stem, _, suffix = file.name.partition(".")
                try:
                    if suffix != "seg" or len(stem) != 16:
                        raise ValueError
                    yield int(stem, 16)
                except ValueError:
                    _log.warning("a file that is no segment is left alone", path=file.path)

    def _take_over(self, number: int) -> FoundSegment | None:
        path = self.path(number)
        found = read_segment(path, number)
        if found is None:
            _log.error("a segment is damaged at its beginning and left alone", path=str(path))
            return None
        if not found.entries:
            path.unlink()
            return None
        self._all[number] = Segment(found.name, path, found.end)
        if not found.has_index:
            _close_found(path, found)
        return found

    def _living(self, found: list[FoundSegment]) -> Iterator[FoundRecord]:
        dead = {
            (entry.target, entry.length, entry.chunk_id, entry.version)
            for segment in found
            for entry in segment.entries
            if entry.kind == TOMBSTONE
        }
        for segment in found:
            number = segment.name.number
            live_bytes = 0
            for entry in segment.entries:
                if entry.kind not in CHUNKS:
                    continue
                if (number, entry.offset, entry.chunk_id, entry.version) in dead:
                    continue
                live_bytes += record_bytes(entry)
                yield FoundRecord(number, entry, entry.offset in segment.damaged)
            self._all[number].live_bytes = live_bytes

    # ---- writing

    def append(self, records: Sequence[Record]) -> list[tuple[int, Entry]]:
        """Write *records* behind each other, durable on return: one sync for all.

        Returns:
            Segment and entry of each.

        Raises:
            DiskFull: nothing was written.
            StorageError: the disk refused to write.
            DurabilityFailure: the disk refused to sync.
        """
        with self._writing:
            entries, number = self._put(records, sync=True)
            with self._lock:
                self._all[number].live_bytes += sum(map(record_bytes, entries[: len(records)]))
            self._close_if_large()
            return [(number, entry) for entry in entries[: len(records)]]

    def flush(self, *, sync: bool = False) -> None:
        """Write the tombstones that wait; without *sync* a crash may undo them. As `append`."""
        with self._writing:
            if self._tombstones:
                self._put([], sync=sync)
                self._close_if_large()

    def _put(self, records: Sequence[Record], *, sync: bool) -> tuple[list[Entry], int]:
        writer = self._writer or self._begin()
        with self._lock:
            ended, self._tombstones = self._tombstones, []
        synced = False
        try:
            entries = writer.write(records, ended)
            synced = sync
            if sync:
                writer.sync()
        except OSError as error:
            with self._lock:
                self._tombstones[:0] = ended
            self._give_up(writer, error, synced)
        self._all[writer.name.number].end = writer.end
        return entries, writer.name.number

    def _begin(self) -> SegmentWriter:
        name = SegmentName(self._next_number, self._new_salt())
        self._next_number += 1
        path = self.path(name.number)
        try:
            writer = SegmentWriter(path, name)
        except OSError as error:
            self._refuse(path, error)
        sync_directory(self.directory)
        with self._lock:
            self._all[name.number] = Segment(name, path, writer.end)
        self._writer = writer
        return writer

    def _close_if_large(self) -> None:
        writer = self._writer
        if writer is None or writer.end < self.segment_bytes:
            return
        try:
            writer.finish()
        except OSError as error:
            if error.errno not in FULL:
                self._give_up(writer, error, synced=True)
            writer.close()  # what was synced counts; the next start makes the index
        self._writer = None

    def _give_up(self, writer: SegmentWriter, error: OSError, synced: bool) -> NoReturn:
        """Never write to a file again of which a write or a sync failed."""
        writer.abandon()
        self._writer = None
        with self._lock:
            if not writer.has_durable_records:
                self._all.pop(writer.name.number, None)
        if synced and error.errno not in FULL:
            raise durability_failure(writer.path, error) from error
        self._refuse(writer.path, error)

    def _refuse(self, path: Path, error: OSError) -> NoReturn:
        if error.errno in FULL:
            raise disk_full(self.directory) from error
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}; check the disk"
        ) from error

    def close(self) -> None:
        """Write what waits and the index of the open segment."""
        with contextlib.suppress(StorageError, InvariantViolation):  # the next start repairs it
            self.flush()
        with self._writing:
            writer, self._writer = self._writer, None
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.finish()
                writer.close()

    # ---- reading, deleting, room

    def reader(self, number: int, entry: Entry, keys: ChunkKeys) -> PackedReader:
        """Open the chunk at *entry*; raises as `PackedReader`."""
        segment = self._all.get(number)
        if segment is None:
            raise FileNotFoundError(str(self.path(number)))
        return PackedReader(segment.path, segment.name.salt, entry, keys)

    def end_chunk(self, number: int, entry: Entry) -> None:
        """The chunk at *entry* is deleted or lies elsewhere now. Raises as `flush`."""
        with self._lock:
            segment = self._all.get(number)
            if segment is None:
                return
            segment.live_bytes -= record_bytes(entry)
            segment.is_stuck = False
            self._tombstones.append(
                Entry(entry.chunk_id, entry.version, number, 0, entry.offset, TOMBSTONE)
            )
            is_much = len(self._tombstones) >= TOMBSTONES_MAX
        if is_much:
            self.flush()

    def moved(self, number: int, entry: Entry) -> None:
        """The chunk at *entry* lies elsewhere, and the segment is going to be removed for that."""
        with self._lock:
            segment = self._all.get(number)
            if segment is not None:
                segment.live_bytes -= record_bytes(entry)

    def closed(self) -> list[Segment]:
        """The segments that are not written any more, the older first."""
        with self._lock:
            writer = self._writer
            return [s for s in self._all.values() if writer is None or s.name != writer.name]

    def again(self, tombstones: Sequence[Entry]) -> None:
        """Keep these tombstones of a segment that is going to be removed, where still needed."""
        with self._lock:
            self._tombstones += [t for t in tombstones if t.target in self._all]

    def remove(self, segment: Segment) -> None:
        """Remove a segment in which nothing lives.

        Raises:
            OSError, DurabilityFailure: as the disk does.
        """
        segment.path.unlink(missing_ok=True)
        # Were it to come back, its dead would live again: their tombstones are dropped from now on.
        sync_directory(self.directory)
        with self._lock:
            self._all.pop(segment.name.number, None)

    @property
    def is_one_open(self) -> bool:
        """Whether a segment is being written."""
        return self._writer is not None

    @property
    def count(self) -> int:
        """Segment files."""
        return len(self._all)

    @property
    def dead_bytes(self) -> int:
        """Bytes in segments that belong to no chunk any more."""
        with self._lock:
            return sum(segment.end - segment.live_bytes for segment in self._all.values())


def _close_found(path: Path, found: FoundSegment) -> None:
    """Cut off what a crash left behind the last record, and write the index."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, found.end)
        index = segment_format.encode_index(found.name, found.entries, found.end)
        write_all(fd, memoryview(index), found.end)
        os.fdatasync(fd)
    except OSError as error:
        if error.errno not in FULL:
            raise durability_failure(path, error) from error
        _log.warning("no room for the index of a segment", path=str(path))
    finally:
        os.close(fd)

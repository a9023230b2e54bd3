"""Frees what deleted chunks take in segments: what lives moves on, the old file is removed.

A step moves about a megabyte and is durable before the next one begins; a crash in between leaves
two copies of some chunks, and the next start ends the older ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from pydfsnode.errors import (
    CorruptionError,
    DiskFull,
    KeyUnavailable,
    ReplicaNotFound,
    StorageError,
)
from pydfsnode.limits import MIB
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.security.chunk_keys import NO_KEYS, ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_disk_set import DiskSet
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_places import ChunkPlaces, Place
from pydfsnode.storage.segment_format import (
    ALL_SEALED,
    CHUNK,
    CHUNKS,
    KEYED,
    TOMBSTONE,
    Entry,
    Record,
    record_bytes,
)
from pydfsnode.storage.segment_scan import read_segment
from pydfsnode.storage.segment_sealing import seal_record
from pydfsnode.storage.segments import Segment, Segments

STEP_BYTES = MIB
DEAD_PERCENT = 50
"""Of a segment that has to be dead to be worth moving the rest."""
SMALL_PERCENT = 25
"""Of a full segment: two smaller ones become one."""

_log = get_logger("storage.segment_compaction")


def choose(closed: Sequence[Segment], segment_bytes: int, is_one_open: bool) -> Segment | None:
    """The segment whose compaction gives most for least; None when none is worth it.

    Args:
        segment_bytes: of a full segment.
        is_one_open: a segment is written to, which can take in a small one.
    """
    movable = [segment for segment in closed if not segment.is_stuck]
    worth = [s for s in movable if (s.end - s.live_bytes) * 100 >= s.end * DEAD_PERCENT]
    if not worth:
        small = [s for s in movable if s.live_bytes * 100 < segment_bytes * SMALL_PERCENT]
        worth = small if is_one_open or len(small) > 1 else []
    return min(worth, key=lambda s: (s.live_bytes, s.name.number), default=None)


class Compaction:
    """Of one disk. One thread at a time."""

    def __init__(
        self,
        disk: ChunkDisk,
        disks: DiskSet,
        places: ChunkPlaces,
        stripe: Callable[[int], AbstractContextManager[object]],
        keys: ChunkKeys = NO_KEYS,
    ) -> None:
        """*stripe* is held while the place of a chunk is changed; *keys* seal what is sealed."""
        self._keys = keys
        self.disk = self._disk = disk
        self._disks = disks
        self._places = places
        self._stripe = stripe
        self._segment: Segment | None = None
        self._chunks: list[Entry] = []
        self._tombstones: list[Entry] = []

    @property
    def _segments(self) -> Segments:
        return self._disk.segments

    def step(self) -> int:
        """Move some chunks, or remove what was emptied; returns bytes moved, 0: nothing to do.

        Raises:
            DiskFull, StorageError, DurabilityFailure: as `DiskSet.using` and `Segments.append`.
            KeyUnavailable: something is sealed with a key that is not here; it stays where it is.
        """
        if self._disk.failure:
            return 0
        with self._disks.using(self._disk):
            if self._segment is None and not self._begin():
                return 0
            moved = 0
            records = []
            try:
                while self._chunks and moved < STEP_BYTES:
                    record = self._read(self._chunks[-1])
                    entry = self._chunks.pop()
                    if record is not None:
                        records.append((entry, record))
                        moved += record_bytes(entry)
                self._move(records)
            except (DiskFull, KeyUnavailable):
                self._chunks += [entry for entry, _ in records]
                raise
            if not self._chunks:
                self._end()
            return max(moved, 1)

    def _begin(self) -> bool:
        segments = self._segments
        segment = choose(segments.closed(), segments.segment_bytes, segments.is_one_open)
        if segment is None:
            return False
        found = read_segment(segment.path, segment.name.number)
        if found is None:
            segment.is_stuck = True
            return False
        self._segment = segment
        self._chunks = [entry for entry in reversed(found.entries) if entry.kind in CHUNKS]
        self._tombstones = [entry for entry in found.entries if entry.kind == TOMBSTONE]
        return True

    def _place(self, entry: Entry) -> Place:
        number = self._segment.name.number if self._segment is not None else 0
        return Place(self._disk, number, entry.offset, entry.kind in ALL_SEALED)

    def _read(self, entry: Entry) -> Record | None:
        """The chunk at *entry*, verified, if it lives."""
        held = Replica(entry.chunk_id, entry.version, entry.length)
        place = self._place(entry)
        if (
            self._places.get(entry.chunk_id) != place
            or self._places.index.get(entry.chunk_id) != held
        ):
            return None
        try:
            with self._places.reader(held, place) as reader:
                data = reader.read(0, entry.length)
                record = Record(entry.chunk_id, entry.version, entry.length, reader.tail, [data])
                if entry.kind == CHUNK:
                    return record
                # With the newest key.
                cipher = self._keys.for_new(entry.chunk_id, entry.kind == KEYED)
                return seal_record(record, cipher)
        except CorruptionError as error:
            _log.error("a packed chunk is corrupt", chunk_id=entry.chunk_id, error=str(error))
            metrics().counter("chunk_corrupt_total").inc()
            self._places.index.mark_corrupt(held)
            if self._segment is not None:
                self._segment.is_stuck = True
        except ReplicaNotFound:
            pass  # deleted in this moment
        return None

    def _move(self, records: list[tuple[Entry, Record]]) -> None:
        if not records:
            return
        written = self._segments.append([record for _, record in records])
        for (entry, _), (number, copy) in zip(records, written, strict=True):
            held = Replica(entry.chunk_id, entry.version, entry.length)
            with self._stripe(entry.chunk_id):
                place = Place(self._disk, number, copy.offset, copy.kind in ALL_SEALED)
                if self._places.move(held, self._place(entry), place):
                    self._segments.moved(self._place(entry).segment, entry)
                else:  # deleted or replaced meanwhile
                    self._segments.end_chunk(number, copy)
        metrics().counter("chunk_compacted_bytes_total").inc(
            sum(record_bytes(entry) for entry, _ in records)
        )

    def _end(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None or segment.is_stuck:
            return
        if segment.live_bytes:
            segment.is_stuck = True
            _log.error("a segment is not empty after its compaction", path=str(segment.path))
            return
        self._segments.again(self._tombstones)
        self._segments.flush(sync=True)
        try:
            self._segments.remove(segment)
        except OSError as error:
            raise StorageError(f"{segment.path}: cannot be removed: {error.strerror}") from error

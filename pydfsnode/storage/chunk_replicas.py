"""The replicas of a chunkserver on its disks: versions, sealing, deleting. Blocking, thread-safe.

A chunk has one replica here, of the newest version; an older version is refused (INV-FENCE).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from pydfsnode import limits
from pydfsnode.errors import (
    AlreadyExists,
    CorruptionError,
    DurabilityFailure,
    InvalidArgument,
    InvariantViolation,
    PydfsError,
    StorageError,
)
from pydfsnode.obs.metrics import metrics
from pydfsnode.security.chunk_keys import NO_KEYS, ChunkKeys
from pydfsnode.storage import chunk_format, sealed_chunk
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_disk_set import DiskSet
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_growing import Growing, GrowingChunks
from pydfsnode.storage.chunk_held import HeldBytes
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_locks import ChunkLocks
from pydfsnode.storage.chunk_places import ChunkPlaces, Place, not_here
from pydfsnode.storage.chunk_refusals import stale, too_short
from pydfsnode.storage.segment_compaction import Compaction
from pydfsnode.storage.segment_format import Record


class ChunkReplicas:
    """What this node holds; `open` it before anything else."""

    def __init__(
        self,
        disks: Sequence[ChunkDisk],
        on_change: Callable[[], None],
        seconds: Callable[[], float] = lambda: 0.0,
        on_end: Callable[[DurabilityFailure], None] = lambda _: None,
        pack_bytes_max: int = 0,
        keys: ChunkKeys = NO_KEYS,
    ) -> None:
        """
        Args:
            disks: at least one.
            on_change: called, in any thread, after each change of the index.
            seconds: a clock that only goes forward.
            on_end: called, in any thread, when no disk is left (INV-STOP).
            pack_bytes_max: chunks up to this size go to segments; 0: none.
            keys: of what is sealed at rest.
        """
        self.places = ChunkPlaces(on_change, keys)
        self._keys = keys
        self.index = self.places.index
        self.growing = GrowingChunks()
        self.disks = DiskSet(disks, self.growing, self._lose_disk, on_end)
        self._seconds = seconds
        self._held = HeldBytes(pack_bytes_max) if pack_bytes_max else None
        # Renames, removals and seals of one chunk never run at the same time.
        self._locks = ChunkLocks()
        self._creating = threading.Lock()

    def open(self) -> None:
        """Take over what is there, without reading data; raises as `DiskSet.open`."""
        for disk, (files, records) in self.disks.open():
            self.places.adopt(disk, files, records)

    def compactions(self) -> list[Compaction]:
        """One for each disk."""
        parts = self.disks, self.places, self._locks.one, self._keys
        return [Compaction(disk, *parts) for disk in self.disks.live]

    def free_bytes(self) -> int:
        """See `DiskSet.free_bytes`."""
        return self.disks.free_bytes()

    def _lose_disk(self, disk: ChunkDisk) -> None:
        """A disk failed: what is on it is gone, and what is written there can only be given up."""
        self.places.lose(disk)
        writers = [writer for writer, place, _ in self.growing.all() if place is disk]
        for writer in writers:
            self.growing.remove(writer)
        for writer in writers:  # last: on a disk that hangs this does not come back
            writer.discard("its disk failed")

    # ---- writing

    def create(
        self, chunk_id: int, version: int, bytes_expected: int, is_sealed: bool = False,
        is_keyed: bool = False,
    ) -> ChunkFileWriter:  # fmt: skip
        """Begin a chunk for which *bytes_expected* are set aside until it is finished or dropped.

        Args:
            is_sealed: at rest, with the newest key; is_keyed: with its file's too.

        Raises:
            KeyUnavailable, FileKeyMissing: it is to be sealed and there is no key yet.
            StaleChunkVersion: a newer version is here (INV-FENCE).
            AlreadyExists: this version is here, or is being written.
            DiskFull: there is no room; nothing was begun.
        """
        held = self.index.get(chunk_id)
        if held is not None and held.version > version:
            raise stale(held, version)
        if held is not None and held.version == version and not self.index.is_corrupt(chunk_id):
            raise AlreadyExists(f"chunk {chunk_id} version {version} is here already")
        self.growing.check(chunk_id, version)
        file_bytes = bytes_expected + _tail_bytes(bytes_expected, is_sealed)
        with self._creating:  # no two are promised the same room
            disk = self.disks.choose(file_bytes)
            writer = self._new_writer(disk, chunk_id, version, is_sealed, is_keyed)
            replaced = self.growing.add(Growing(writer, disk, file_bytes))
        if replaced is not None:
            replaced.discard(f"version {version} is being written")
        return writer

    def _new_writer(
        self, disk: ChunkDisk, chunk_id: int, version: int, is_sealed: bool, is_keyed: bool
    ) -> ChunkFileWriter:
        path = disk.layout.tmp_path(chunk_id, version)
        cipher = self._keys.for_new(chunk_id, is_keyed) if is_sealed else None
        return ChunkFileWriter(path, chunk_id, version, self._held, cipher)

    def resume(
        self, chunk_id: int, version: int, length: int, bytes_expected: int
    ) -> ChunkFileWriter | None:
        """Go on, as *version*, behind the first *length* bytes of an older one that grows here.

        Whoever writes the older one can do nothing more from then on (INV-FENCE).

        Returns:
            None when no older one grows here that has so many bytes.

        Raises:
            StaleChunkVersion: a newer version is here.
            CorruptionError, StorageError: what is here is of no use, and is given up.
        """
        with self._locks.one(chunk_id):
            held = self.index.get(chunk_id)
            if held is not None and held.version > version:
                raise stale(held, version)
            growing = self.growing.get(chunk_id)
            if growing is None or growing.version >= version or growing.length < length:
                return None
            heir, disk = self._take(chunk_id, growing.version, length)
            file_bytes = bytes_expected + _tail_bytes(bytes_expected, heir.is_sealed)
            try:
                with self.disks.using(disk):
                    heir.truncate(length)
                    heir.rename(disk.layout.tmp_path(chunk_id, version), version)
                self.growing.add(Growing(heir, disk, file_bytes))
            except BaseException:
                heir.discard("it could not be resumed")
                raise
            return heir

    def append(self, writer: ChunkFileWriter, buffers: Sequence[memoryview | bytes]) -> None:
        """Write *buffers*; raises as `ChunkFileWriter.append` and `DiskSet.using`."""
        disk = self.growing.disk(writer)
        if disk is None:  # taken or given up: it says so
            writer.append(buffers)
            return
        started = self._seconds()
        with self.disks.using(disk):
            writer.append(buffers)
        now = self._seconds()
        disk.latency.note_write(now, now - started)

    def drop(self, writer: ChunkFileWriter, why: str) -> None:
        """Give up a chunk that is being written, file and all."""
        self.growing.remove(writer)
        writer.discard(why)

    def finish(self, writer: ChunkFileWriter, crc: int | None = None) -> int:
        """Make a written chunk durable and readable; returns its CRC32C.

        Raises:
            as `ChunkFileWriter.finish` and `DiskSet.using`.
        """
        (result,) = self.finish_all([(writer, crc)])
        if isinstance(result, PydfsError):
            raise result
        return result

    def finish_all(
        self, wanted: Sequence[tuple[ChunkFileWriter, int | None]]
    ) -> list[int | PydfsError]:
        """`finish` for several chunks: those in memory share one sync for each disk.

        Returns:
            For each its CRC32C, or why it was not finished.

        Raises:
            InvariantViolation: the node must stop (INV-STOP).
        """
        results: dict[ChunkFileWriter, int | PydfsError] = {}
        small: dict[ChunkDisk, list[tuple[ChunkFileWriter, Record]]] = {}
        with self._locks.all(writer.chunk_id for writer, _ in wanted):
            for writer, crc in wanted:
                disk = self.growing.disk(writer)
                try:
                    record = writer.finish_held(crc)
                    if record is not None and disk is not None:
                        small.setdefault(disk, []).append((writer, record))
                    else:
                        results[writer] = self._finish_file(writer, disk, crc)
                except InvariantViolation:
                    raise
                except PydfsError as error:
                    self.growing.remove(writer)
                    results[writer] = error
            for disk, several in small.items():
                failed = self._pack(disk, [record for _, record in several])
                for writer, record in several:
                    self.growing.remove(writer)
                    results[writer] = failed or record.tail.crc32c
        return [results[writer] for writer, _ in wanted]

    def _finish_file(self, writer: ChunkFileWriter, disk: ChunkDisk | None, crc: int | None) -> int:
        if disk is None:
            return writer.finish(crc)  # taken or given up: it says so
        started = self._seconds()
        try:
            with self.disks.using(disk):
                whole = writer.finish(crc)
                replica = Replica(writer.chunk_id, writer.version, writer.length)
                self.places.publish_file(disk, writer.path, replica, writer.is_sealed)
        finally:
            self.growing.remove(writer)
        now = self._seconds()
        disk.latency.note_write(now, now - started)
        return whole

    def _pack(self, disk: ChunkDisk, records: Sequence[Record]) -> PydfsError | None:
        """Make *records* durable with one sync; why none of them is."""
        started = self._seconds()
        try:
            with self.disks.using(disk):
                places = disk.segments.append(records)
        except InvariantViolation:
            raise
        except PydfsError as error:
            return error
        now = self._seconds()
        disk.latency.note_write(now, now - started)
        metrics().counter("chunk_packed_total").inc(len(records))
        metrics().counter("chunk_packed_syncs_total").inc()
        for record, (number, entry) in zip(records, places, strict=True):
            replica = Replica(record.chunk_id, record.version, record.length)
            self.places.put(replica, Place(disk, number, entry.offset, bool(record.sealing)))
        return None

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
        with self._locks.one(chunk_id):
            held = self.index.get(chunk_id)
            if held is not None and held.version == new_version and held.length == length:
                with self.reader(self.find(chunk_id, new_version)) as reader:
                    return reader.tail.crc32c
            if held is not None and held.version > version:
                raise stale(held, version)
            if not length:
                self._remove(chunk_id, version)
                return 0
            heir, disk = self._take(chunk_id, version, length)
            return self._end(heir, disk, new_version, length)

    def _end(self, heir: ChunkFileWriter, disk: ChunkDisk, version: int, length: int) -> int:
        """Make what is ours alone durable as *version*, cut to *length*; returns its CRC32C."""
        chunk_id = heir.chunk_id
        with self.disks.using(disk):
            try:
                heir.truncate(length)
                heir.rename(disk.layout.tmp_path(chunk_id, version), version)
                record = heir.finish_held()
                whole = record.tail.crc32c if record is not None else heir.finish()
            finally:
                heir.discard("its seal failed")  # nothing after a success
            if record is None:
                replica = Replica(chunk_id, version, length)
                self.places.publish_file(disk, heir.path, replica, heir.is_sealed)
        if record is not None:
            failed = self._pack(disk, [record])
            if failed is not None:
                raise failed
        return whole

    def reseal(self, chunk_id: int, version: int, *, is_sealed: bool = True) -> int:
        """Write a finished chunk anew, sealed at rest with the newest key, or not at all.

        Its version stays; until the new copy is durable the old one is read.

        Returns:
            CRC32C of the chunk.

        Raises:
            KeyUnavailable: a key is missing; nothing was changed.
            ReplicaNotFound, StaleChunkVersion, CorruptionError: as `find` and `reader`.
            DiskFull, DurabilityFailure: as `finish`.
        """
        with self._locks.one(chunk_id):
            held = self.find(chunk_id, version)
            heir, disk = self._copy(held, is_sealed)
            return self._end(heir, disk, version, held.length)

    def seal_epoch(self, held: Replica) -> int | None:
        """The epoch of the key that *held* is sealed with, None: it is plain; as `reader`."""
        with self.reader(held) as reader:
            return reader.seal_epoch

    def _take(self, chunk_id: int, version: int, length: int) -> tuple[ChunkFileWriter, ChunkDisk]:
        """The bytes of *version* in a file that is ours alone to cut."""
        growing = self.growing.get(chunk_id)
        if growing is not None and growing.version == version:
            if growing.length < length:
                raise too_short(chunk_id, version, growing.length, length)
            disk = self.growing.disk(growing)
            heir = growing.take("it was sealed")
            self.growing.remove(growing)
            if disk is None:  # given up in this moment
                heir.discard("its disk failed")
                raise not_here(chunk_id, version)
            return heir, disk
        held = self.find(chunk_id, version)
        if held.length < length:
            raise too_short(chunk_id, version, held.length, length)
        place = self.places.get(chunk_id)
        return self._copy(held, place is not None and place.is_sealed)

    def _copy(self, held: Replica, is_sealed: bool) -> tuple[ChunkFileWriter, ChunkDisk]:
        """A verified copy: the finished file must stay whole until the sealed one is durable."""
        disk = self.disks.choose(held.length + _tail_bytes(held.length, is_sealed))
        with self.reader(held) as reader:
            is_keyed = reader.is_keyed
            copy = self._new_writer(disk, held.chunk_id, held.version, is_sealed, is_keyed)
            try:
                for offset in range(0, held.length, limits.PACKET_BYTES):
                    size = min(limits.PACKET_BYTES, held.length - offset)
                    view = self.read(reader, held, offset, size)
                    with self.disks.using(disk):
                        copy.append([view])
            except PydfsError:
                copy.discard("its source cannot be read")  # nothing when the copy itself failed
                raise
        return copy, disk

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
            raise not_here(chunk_id, version)
        if held.version > version:
            raise stale(held, version)
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
            KeyUnavailable: what it is sealed with is not here; it stays what it is.
            ReplicaNotFound: the file was removed since, or behind our back.
        """
        place = self.places.get(held.chunk_id)
        if place is None:
            raise not_here(held.chunk_id, held.version)
        with self.disks.using(place.disk):
            try:
                return self.places.reader(held, place)
            except CorruptionError:
                self.index.mark_corrupt(held)
                raise

    def read(
        self,
        reader: ChunkFileReader,
        held: Replica,
        offset: int,
        length: int,
        *,
        past_cache: bool = False,
    ) -> memoryview:
        """The bytes of a range, as `ChunkFileReader.read`; what is damaged is marked as corrupt.

        Raises:
            CorruptionError: the replica is bad; it is marked and reported.
            StorageError: its disk failed.
        """
        place = self.places.get(held.chunk_id)
        started = self._seconds()
        try:
            if place is None:  # deleted since it was opened: the reader still has it
                return reader.read(offset, length, past_cache=past_cache)
            with self.disks.using(place.disk):
                view = reader.read(offset, length, past_cache=past_cache)
        except CorruptionError:
            self.index.mark_corrupt(held)
            raise
        now = self._seconds()
        place.disk.latency.note_read(now, now - started)
        return view

    def delete(self, chunk_id: int, version: int) -> None:
        """Remove what is here of a chunk up to *version*; nothing is fine too.

        Raises:
            StaleChunkVersion: a newer version is here; nothing was removed (INV-FENCE).
            StorageError: the disk refused.
        """
        with self._locks.one(chunk_id):
            held = self.index.get(chunk_id)
            if held is not None and held.version > version:
                raise stale(held, version)
            self._remove(chunk_id, version)

    def _remove(self, chunk_id: int, version: int) -> None:
        growing = self.growing.get(chunk_id)
        if growing is not None and growing.version <= version:
            self.drop(growing, "it was deleted")
        held = self.index.get(chunk_id)
        if held is not None and held.version <= version:
            # A removal that a crash undoes shows in the next full report and is ordered again.
            place = self.places.remove(held)
            if place is None:
                return
            with self.disks.using(place.disk):
                try:
                    self.places.erase(held, place)
                except OSError as error:
                    raise StorageError(
                        f"chunk {chunk_id}: its file cannot be removed: {error.strerror}"
                    ) from error

    def disk_of(self, chunk_id: int) -> ChunkDisk | None:
        """Where what is here of a chunk lies, what is being written first; None: nothing is."""
        growing = self.growing.get(chunk_id)
        disk = self.growing.disk(growing) if growing is not None else None
        place = self.places.get(chunk_id)
        return disk or (place.disk if place is not None else None)

    def check(self, disk: ChunkDisk) -> None:
        """`DiskSet.check`, then write the tombstones that wait."""
        self.disks.check(disk)
        if not disk.failure:
            with contextlib.suppress(StorageError), self.disks.using(disk):
                disk.segments.flush()

    def close(self, hung: Sequence[ChunkDisk] = ()) -> None:
        """Drop what is being written, but leave alone the disks that are *hung*."""
        for writer, disk, _ in self.growing.all():
            if disk not in hung:
                self.drop(writer, "the node stops")
        for disk in self.disks.live:
            if disk not in hung:
                disk.segments.close()


def _tail_bytes(length: int, is_sealed: bool) -> int:
    return sealed_chunk.tail_bytes(length) if is_sealed else chunk_format.tail_bytes(length)

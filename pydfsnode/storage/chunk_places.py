"""Where each replica lies: in a file of its own or in a segment, and on which disk. Thread-safe.

Changes of one chunk are not to overlap: `ChunkReplicas` sees to that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydfsnode.errors import ReplicaNotFound, StorageError
from pydfsnode.obs.log import get_logger
from pydfsnode.security.chunk_keys import NO_KEYS, ChunkKeys
from pydfsnode.storage import chunk_format, sealed_chunk
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_file import FULL, disk_full, durability_failure, sync_directory
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.chunk_layout import FoundFile
from pydfsnode.storage.segment_format import ALL_SEALED, CHUNK, SEALED, Entry
from pydfsnode.storage.segments import FoundRecord

_log = get_logger("storage.chunk_places")


class Place(NamedTuple):
    """Segment 0: a file of its own."""

    disk: ChunkDisk
    segment: int
    offset: int
    is_sealed: bool = False
    """At rest; of a chunk that is being ended under a new version, "sealed" says something else."""


class ChunkPlaces:
    """The index and the place of each of its replicas."""

    def __init__(self, on_change: Callable[[], None], keys: ChunkKeys = NO_KEYS) -> None:
        """*keys* open what is sealed at rest."""
        self._keys = keys
        self.index = ChunkIndex(on_change)
        self._places: dict[int, Place] = {}

    def get(self, chunk_id: int) -> Place | None:
        """Where a chunk lies."""
        return self._places.get(chunk_id)

    # ---- at the start

    def adopt(self, disk: ChunkDisk, files: list[FoundFile], records: list[FoundRecord]) -> None:
        """Take over what `ChunkDisk.open` found."""
        for file in files:
            place = Place(disk, 0, 0, file.is_sealed)
            form = sealed_chunk if file.is_sealed else chunk_format
            length = form.data_bytes(file.file_bytes)
            replica = Replica(file.chunk_id, file.version, length or 0)
            if self._adopt(replica, place) and length is None:
                # Kept, as a corrupt replica, so that the masters learn of it and replace it.
                path = disk.layout.path(file.chunk_id, file.version, file.is_sealed)
                _log.error("a chunk file has an impossible size", path=str(path))
                self.index.mark_corrupt(replica)
        for number, entry, is_damaged in records:
            replica = Replica(entry.chunk_id, entry.version, entry.length)
            place = Place(disk, number, entry.offset, entry.kind in ALL_SEALED)
            if self._adopt(replica, place) and is_damaged:
                self.index.mark_corrupt(replica)

    def _adopt(self, replica: Replica, place: Place) -> bool:
        held = self.index.get(replica.chunk_id)
        if held is not None:
            # A crash came before the older one was removed, or after a copy in another segment.
            before = self._places[held.chunk_id]
            if (replica.version, *_rank(place)) < (held.version, *_rank(before)):
                self.discard(replica, place)
                return False
            self.discard(held, before)
        self._places[replica.chunk_id] = place
        self.index.put(replica)
        return True

    # ---- changes

    def publish_file(
        self, disk: ChunkDisk, path: Path, replica: Replica, is_sealed: bool = False
    ) -> None:
        """Make a finished file the replica of its chunk, durably.

        Raises:
            DiskFull: there is no room for its name; the file is removed.
            DurabilityFailure: the disk refused.
        """
        target = disk.layout.path(replica.chunk_id, replica.version, is_sealed)
        try:
            path.rename(target)
        except OSError as error:
            if error.errno in FULL:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise disk_full(disk.directory) from error
            raise durability_failure(path, error) from error
        sync_directory(target.parent)
        self.put(replica, Place(disk, 0, 0, is_sealed))

    def put(self, replica: Replica, place: Place) -> None:
        """*replica* is durable at *place*: it replaces what was there of its chunk."""
        held = self.index.get(replica.chunk_id)
        before = self._places.get(replica.chunk_id)
        self._places[replica.chunk_id] = place
        self.index.put(replica)
        if place.disk.failure:  # in the meantime: `lose` may have missed it
            self.index.remove(replica)
        # The file of the same version on the same disk was replaced by its rename.
        if held is not None and before is not None and (held.version, before) != (
            replica.version, place,
        ):  # fmt: skip
            self.discard(held, before)

    def move(self, replica: Replica, before: Place, place: Place) -> bool:
        """*replica* was copied from *before*; whether it still was there."""
        if self._places.get(replica.chunk_id) != before:
            return False
        if self.index.get(replica.chunk_id) != replica:
            return False
        self._places[replica.chunk_id] = place
        return True

    def remove(self, held: Replica) -> Place | None:
        """Forget *held*; where it was."""
        return self._places.pop(held.chunk_id, None) if self.index.remove(held) else None

    def discard(self, replica: Replica, place: Place) -> None:
        """Give back the room of one that does not count; what stays goes at the next start."""
        if place.disk.failure:
            return
        with contextlib.suppress(OSError, StorageError):
            self.erase(replica, place)

    def erase(self, replica: Replica, place: Place) -> None:
        """Remove the bytes of a replica that was forgotten.

        Raises:
            OSError, StorageError, DurabilityFailure: as the disk does.
        """
        if place.segment:
            place.disk.segments.end_chunk(place.segment, entry_of(replica, place))
        else:
            path = place.disk.layout.path(replica.chunk_id, replica.version, place.is_sealed)
            path.unlink(missing_ok=True)

    def lose(self, disk: ChunkDisk) -> None:
        """Everything on *disk* is gone."""
        lost = [chunk_id for chunk_id, place in list(self._places.items()) if place.disk is disk]
        self.index.remove_all(lost)

    # ---- reading

    def reader(self, held: Replica, place: Place) -> ChunkFileReader:
        """Open *held*; raises as `ChunkFileReader`, and ReplicaNotFound when it is gone."""
        while True:
            try:
                if place.segment:
                    entry = entry_of(held, place)
                    return place.disk.segments.reader(place.segment, entry, self._keys)
                path = place.disk.layout.path(held.chunk_id, held.version, place.is_sealed)
                keys = self._keys if place.is_sealed else None
                return ChunkFileReader(path, held.chunk_id, held.version, held.length, keys)
            except FileNotFoundError as error:
                now = self._places.get(held.chunk_id)
                if now is not None and now != place and now.disk is place.disk:
                    place = now  # it was moved to another segment
                    continue
                place.disk.check()
                if self.index.remove(held):
                    _log.error("a chunk file is gone", path=error.filename or str(error))
                raise not_here(held.chunk_id, held.version) from None


def entry_of(replica: Replica, place: Place) -> Entry:
    """How the segment describes it."""
    kind = SEALED if place.is_sealed else CHUNK
    return Entry(replica.chunk_id, replica.version, 0, place.offset, replica.length, kind)


def _rank(place: Place) -> tuple[bool, int]:
    """Of two places of one version: a chunk is sealed at rest anew, and moved to later segments."""
    return place.is_sealed, place.segment


def not_here(chunk_id: int, version: int) -> ReplicaNotFound:
    """The refusal of what this node does not hold."""
    return ReplicaNotFound(
        f"chunk {chunk_id} version {version} is not on this server", chunk_id=chunk_id
    )

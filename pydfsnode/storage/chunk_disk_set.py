"""The disks of a chunkserver: which one a new chunk goes to, and going on without one that failed.

A disk fails alone: it is taken out, its replicas are reported as removed, and the masters have them
made again. When the last one fails the node stops (INV-STOP).
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence

from pydfsnode.errors import (
    ConfigError,
    CorruptionError,
    DurabilityFailure,
    InvariantViolation,
    PydfsError,
    StorageError,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.storage.chunk_disk import ChunkDisk, FoundChunks, disk_failed, is_broken
from pydfsnode.storage.chunk_file import disk_full
from pydfsnode.storage.chunk_growing import GrowingChunks

_log = get_logger("storage.chunk_disk_set")


class DiskSet:
    """Disks, those that work and those that failed. Thread-safe after `open`."""

    def __init__(
        self,
        disks: Sequence[ChunkDisk],
        growing: GrowingChunks,
        on_failure: Callable[[ChunkDisk], None],
        on_end: Callable[[DurabilityFailure], None],
    ) -> None:
        """
        Args:
            on_failure: called, in any thread, once for each disk taken out.
            on_end: called, in any thread, when that was the last one.
        """
        self.all = tuple(disks)
        self._growing = growing
        self._on_failure = on_failure
        self._on_end = on_end
        self._lock = threading.Lock()
        self._random = random.Random()

    @property
    def live(self) -> list[ChunkDisk]:
        """The disks that work."""
        return [disk for disk in self.all if not disk.failure]

    @property
    def failed(self) -> list[ChunkDisk]:
        """The disks that do not."""
        return [disk for disk in self.all if disk.failure]

    def open(self) -> Iterator[tuple[ChunkDisk, FoundChunks]]:
        """Open all and give what each holds; one that cannot be used is left out.

        Raises:
            ConfigError, InvariantViolation: none can be used.
        """
        for disk in self.all:
            if disk.failure:
                continue
            try:
                found = disk.open()
            except (ConfigError, InvariantViolation) as error:
                if len(self.live) == 1:
                    raise
                disk.failure = str(error)
                _log.error("a disk is left out", disk=str(disk.directory), error=str(error))
            else:
                yield disk, found

    # ---- room

    def free_bytes(self) -> int:
        """Bytes that new chunks may take: free, less reserves and what is promised to others."""
        rooms: dict[int, int] = {}
        for disk in self.live:  # directories on one disk share what is free there
            rooms[disk.device] = max(rooms.get(disk.device, 0), self.room(disk))
        return sum(rooms.values())

    def room(self, disk: ChunkDisk, *, exact: bool = True) -> int:
        """Bytes that new chunks may take on *disk*; not *exact*: perhaps there are more."""
        try:
            free = disk.free_bytes()
        except OSError as error:
            _log.error("a disk does not say how much is free", error=str(error))
            if is_broken(error):
                with contextlib.suppress(DurabilityFailure):  # told by `on_end`
                    self.take_out(disk, str(error))
            return 0
        return max(0, free - self._growing.promised_bytes(disk.device, exact=exact))

    def choose(self, bytes_needed: int) -> ChunkDisk:
        """A disk with room: of two that are drawn, free space deciding, the one with less to do.

        Raises:
            DiskFull: none has the room.
        """
        fitting = self._fitting(bytes_needed, exact=False) or self._fitting(bytes_needed)
        if not fitting:
            raise disk_full(self.all[0].directory)
        if len(fitting) == 1:
            return fitting[0][0]
        drawn = self._random.choices(fitting, [room for _, room in fitting], k=2)
        return min(drawn, key=lambda pair: self._growing.count(pair[0]))[0]

    def _fitting(self, bytes_needed: int, *, exact: bool = True) -> list[tuple[ChunkDisk, int]]:
        rooms = [(disk, self.room(disk, exact=exact)) for disk in self.live]
        return [(disk, room) for disk, room in rooms if room >= bytes_needed]

    # ---- failure

    @contextlib.contextmanager
    def using(self, disk: ChunkDisk) -> Iterator[None]:
        """Around work on *disk*: an error that says that it is broken takes it out.

        Raises:
            StorageError: it was taken out, now or before, and others remain.
            DurabilityFailure: it was the last one (INV-STOP).
        """
        if disk.failure:
            raise disk_failed(disk.directory, disk.failure)
        try:
            yield
        except CorruptionError as error:
            if is_broken(error):  # refused, not merely other bytes
                reason = disk.note_read_error()
                if reason:
                    self.take_out(disk, reason)
            raise
        except (OSError, PydfsError) as error:
            if not is_broken(error):
                raise
            self.take_out(disk, str(error))
            raise disk_failed(disk.directory, str(error)) from error
        # What ended while another thread took the disk out does not count.
        if disk.failure:
            raise disk_failed(disk.directory, disk.failure)

    def check(self, disk: ChunkDisk) -> None:
        """Look whether the directory is still there and writable; for an idle disk.

        Raises:
            DurabilityFailure: it was the last one, and is not.
        """
        with contextlib.suppress(StorageError), self.using(disk):
            disk.check()

    def take_out(self, disk: ChunkDisk, reason: str) -> None:
        """Use *disk* no more; nothing when that was done already.

        Raises:
            DurabilityFailure: it was the last one (INV-STOP).
        """
        with self._lock:
            if disk.failure:
                return
            disk.failure = reason
        _log.error("a disk failed and is not used any more", disk=str(disk.directory), error=reason)
        if self.live:
            self._on_failure(disk)
            return
        last = DurabilityFailure(
            f"{disk.directory}: {reason}; no disk is left, the node stops: check the disks and "
            "start it again"
        )
        self._on_end(last)
        self._on_failure(disk)  # behind: on a disk that hangs it may not come back
        raise last

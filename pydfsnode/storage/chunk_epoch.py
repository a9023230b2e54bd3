"""The highest epoch a chunkserver has seen, kept over restarts (INV-FENCE)."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, DurabilityFailure, StaleEpoch
from pydfsnode.storage.chunk_file import durability_failure, sync_directory

EPOCH_NAME = "epoch"
LATE_S = 1.0
_RECORD = struct.Struct("<8sQI")
_MAGIC = b"PDFSEPOC"


class _Place:
    """One of the directories; `lock` of the `EpochFile` guards it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wanted = 0
        self.written = 0
        self.is_busy = False
        self.failure: DurabilityFailure | None = None


class EpochFile:
    """`epoch` in data directories: magic, u64, crc32c of both. Blocking; changes are rare.

    Each disk has one, so that the epoch is known as long as any of them works. Each is written by a
    thread of its own, so that a disk that hangs holds up nobody.
    """

    def __init__(
        self,
        *directories: Path,
        on_failure: Callable[[Path, str], None] = lambda *_: None,
        late_s: float = LATE_S,
    ) -> None:
        """Read what is kept, the highest counts; 0 when nothing is.

        Args:
            directories: at least one.
            on_failure: told, in any thread, of a directory that did not take an epoch, and why.
            late_s: how long an epoch that one disk has is waited for on the others.

        Raises:
            CorruptionError: no file can be read and one is damaged.
        """
        self._places = [_Place(directory) for directory in directories]
        self._on_failure = on_failure
        self._late_s = late_s
        self._changed = threading.Condition()
        self.highest = self._load_highest()

    def advance(self, epoch: int) -> None:
        """Remember *epoch* if it is higher; durable on return, on all disks that are not late.

        Raises:
            DurabilityFailure: no disk took it (INV-STOP): an older master could be obeyed later.
        """
        if epoch <= self.highest:
            return
        with self._changed:
            for place in self._live():
                self._want(place, epoch)
            while not self._any_has(epoch):
                self._changed.wait_for(lambda: self._any_has(epoch) or not self._live())
                # Whoever has it may fail while the others are waited for.
                self._changed.wait_for(lambda: self._all_have(epoch), self._late_s)
                failures = [place.failure for place in self._places if place.failure is not None]
                if len(failures) == len(self._places):
                    raise failures[-1]
            self.highest = max(self.highest, epoch)

    def _live(self) -> list[_Place]:
        return [place for place in self._places if place.failure is None]

    def _any_has(self, epoch: int) -> bool:
        return any(place.written >= epoch for place in self._live())

    def _all_have(self, epoch: int) -> bool:
        return all(place.written >= epoch for place in self._live())

    def _want(self, place: _Place, epoch: int) -> None:
        """Have *epoch* written by the thread of *place*, which may be at an older one still."""
        place.wanted = max(place.wanted, epoch)
        if not place.is_busy:
            place.is_busy = True
            name = f"epoch-{place.directory.name}"
            threading.Thread(
                target=self._write_wanted, args=(place,), name=name, daemon=True
            ).start()

    def _write_wanted(self, place: _Place) -> None:
        while (epoch := self._next(place)) is not None:
            try:
                _write(place.directory / EPOCH_NAME, epoch)
            except DurabilityFailure as error:
                self._fail(place, error)
                return
            with self._changed:
                place.written = epoch
                self._changed.notify_all()

    def _next(self, place: _Place) -> int | None:
        with self._changed:
            place.is_busy = place.wanted > place.written
            return place.wanted if place.is_busy else None

    def _fail(self, place: _Place, error: DurabilityFailure) -> None:
        with self._changed:
            is_last = self._live() == [place]
        if not is_last:  # else the node stops, which `advance` tells
            with contextlib.suppress(DurabilityFailure):  # told by whoever took the disk out
                self._on_failure(place.directory, str(error))
        with self._changed:
            place.failure = error
            self._changed.notify_all()

    def check(self, epoch: int) -> None:
        """Refuse what a deposed master gave out.

        Raises:
            StaleEpoch: *epoch* is older than the highest; `fields["epoch"]` is that one.
        """
        if epoch < self.highest:
            raise StaleEpoch(
                f"epoch {epoch} is over, epoch {self.highest} has begun: ask the leading master",
                epoch=self.highest,
            )

    def _load_highest(self) -> int:
        found = []
        damage: CorruptionError | None = None
        for place in self._places:
            try:
                found.append(_read(place.directory / EPOCH_NAME))
            except CorruptionError as error:
                damage = error
        if damage is not None and not any(found):
            raise damage
        return max(found)


def _write(path: Path, epoch: int) -> None:
    head = _RECORD.pack(_MAGIC, epoch, 0)[:-4]
    temporary = path.with_name(f"{EPOCH_NAME}.new")
    try:
        with temporary.open("wb") as file:
            file.write(head + struct.pack("<I", crc32c(head)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise durability_failure(path, error) from error
    sync_directory(path.parent)


def _read(path: Path) -> int:
    try:
        record = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise CorruptionError(f"{path}: cannot be read: {error.strerror}") from error
    if len(record) == _RECORD.size:
        magic, epoch, crc = _RECORD.unpack(record)
        if magic == _MAGIC and crc == crc32c(record[:-4]):
            return int(epoch)
    raise CorruptionError(
        f"{path}: damaged; check the disk, then remove the file: the epoch is learned "
        "again from the masters"
    )

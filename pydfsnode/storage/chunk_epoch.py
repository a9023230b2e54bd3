"""The highest epoch a chunkserver has seen, kept over restarts (INV-FENCE)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, DurabilityFailure, StaleEpoch
from pydfsnode.storage.chunk_file import durability_failure, sync_directory

EPOCH_NAME = "epoch"
_RECORD = struct.Struct("<8sQI")
_MAGIC = b"PDFSEPOC"


class EpochFile:
    """`epoch` in data directories: magic, u64, crc32c of both. Blocking; changes are rare.

    Each disk has one, so that the epoch is known as long as any of them works.
    """

    def __init__(
        self, *directories: Path, on_failure: Callable[[Path, str], None] = lambda *_: None
    ) -> None:
        """Read what is kept, the highest counts; 0 when nothing is.

        Args:
            directories: at least one.
            on_failure: told of a directory that did not take an epoch, and why.

        Raises:
            CorruptionError: no file can be read and one is damaged.
        """
        self._directories = list(directories)
        self._on_failure = on_failure
        self.highest = self._load_highest()

    def advance(self, epoch: int) -> None:
        """Remember *epoch* if it is higher; durable on return.

        Raises:
            DurabilityFailure: no disk took it (INV-STOP): an older master could be obeyed later.
        """
        if epoch <= self.highest:
            return
        for directory in list(self._directories):
            try:
                _write(directory / EPOCH_NAME, epoch)
            except DurabilityFailure as error:
                if len(self._directories) == 1:
                    raise
                self._directories.remove(directory)
                self._on_failure(directory, str(error))
        self.highest = epoch

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
        for directory in self._directories:
            try:
                found.append(_read(directory / EPOCH_NAME))
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

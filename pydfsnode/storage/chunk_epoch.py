"""The highest epoch a chunkserver has seen, kept over restarts (INV-FENCE)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, StaleEpoch
from pydfsnode.storage.chunk_file import durability_failure, sync_directory

EPOCH_NAME = "epoch"
_RECORD = struct.Struct("<8sQI")
_MAGIC = b"PDFSEPOC"


class EpochFile:
    """`epoch` in the data directory: magic, u64, crc32c of both. Blocking; changes are rare."""

    def __init__(self, directory: Path) -> None:
        """Read what is kept; 0 when nothing is.

        Raises:
            CorruptionError: the file is damaged.
        """
        self._path = directory / EPOCH_NAME
        self.highest = self._load()

    def advance(self, epoch: int) -> None:
        """Remember *epoch* if it is higher; durable on return.

        Raises:
            DurabilityFailure: the disk refused (INV-STOP): an older master could be obeyed later.
        """
        if epoch <= self.highest:
            return
        head = _RECORD.pack(_MAGIC, epoch, 0)[:-4]
        temporary = self._path.with_name(f"{EPOCH_NAME}.new")
        try:
            with temporary.open("wb") as file:
                file.write(head + struct.pack("<I", crc32c(head)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise durability_failure(self._path, error) from error
        sync_directory(self._path.parent)
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

    def _load(self) -> int:
        try:
            record = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise CorruptionError(f"{self._path}: cannot be read: {error.strerror}") from error
        if len(record) == _RECORD.size:
            magic, epoch, crc = _RECORD.unpack(record)
            if magic == _MAGIC and crc == crc32c(record[:-4]):
                return int(epoch)
        raise CorruptionError(
            f"{self._path}: damaged; check the disk, then remove the file: the epoch is learned "
            "again from the masters"
        )

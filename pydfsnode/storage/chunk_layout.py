"""Names inside a chunkserver's data directory, and what is found under them at the start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydfsnode.errors import ConfigError
from pydfsnode.obs.log import get_logger
from pydfsnode.storage.chunk_file import sync_directory

TMP_NAME = "tmp"
CHUNKS_NAME = "chunks"
FAN_OUT = 256
SEALED_SUFFIX = ".sealed"

_log = get_logger("storage.chunk_layout")


class FoundFile(NamedTuple):
    """A chunk file by its name; its content was not looked at."""

    chunk_id: int
    version: int
    is_sealed: bool
    file_bytes: int


class ChunkLayout:
    """`tmp/<id>.<version>.tmp` while it is written, `chunks/<xx>/<id>.<version>` when durable;
    one that is sealed at rest has `.sealed` behind that."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tmp = directory / TMP_NAME

    def path(self, chunk_id: int, version: int, is_sealed: bool = False) -> Path:
        """Where a durable chunk lies; `xx` is the low byte of its id."""
        folder = self.directory / CHUNKS_NAME / f"{chunk_id % FAN_OUT:02x}"
        return folder / f"{chunk_id:016x}.{version}{SEALED_SUFFIX if is_sealed else ''}"

    def tmp_path(self, chunk_id: int, version: int) -> Path:
        """Where a chunk is written."""
        return self._tmp / f"{chunk_id:016x}.{version}.tmp"

    def prepare(self) -> list[FoundFile]:
        """Make the directories, sweep what was not finished, list the chunk files.

        Raises:
            ConfigError: the directory cannot be used.
            DurabilityFailure: new directories cannot be made durable.
        """
        chunks = self.directory / CHUNKS_NAME
        try:
            (self.directory / TMP_NAME).mkdir(mode=0o700, parents=True, exist_ok=True)
            chunks.mkdir(mode=0o700, exist_ok=True)
            for number in range(FAN_OUT):
                (chunks / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
            with os.scandir(self.directory / TMP_NAME) as leftovers:
                for leftover in leftovers:
                    os.unlink(leftover.path)
            found = list(self._files())
        except OSError as error:
            raise ConfigError(
                f"{error.filename or self.directory}: the chunk directory cannot be used: "
                f"{error.strerror}; check its owner and the disk"
            ) from error
        sync_directory(chunks)
        sync_directory(self.directory)
        return found

    def _files(self) -> Iterator[FoundFile]:
        for number in range(FAN_OUT):
            with os.scandir(self.directory / CHUNKS_NAME / f"{number:02x}") as entries:
                for entry in entries:
                    named = _parse_name(entry.name)
                    if named is None or named[0] % FAN_OUT != number:
                        _log.warning("a file that is no chunk is left alone", path=entry.path)
                        continue
                    yield FoundFile(*named, entry.stat().st_size)


def _parse_name(name: str) -> tuple[int, int, bool] | None:
    chunk, separator, version = name.removesuffix(SEALED_SUFFIX).partition(".")
    if not separator or len(chunk) != 16 or not (version.isascii() and version.isdecimal()):
        return None
    try:
        return int(chunk, 16), int(version), name.endswith(SEALED_SUFFIX)
    except ValueError:
        return None

"""A constant load of whole files from this process: every close is recorded, every byte compared.

Writers put files of random sizes, each with a content that follows from its number; readers read
files whose close was acknowledged, whole and in ranges.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import PydfsError
from pydfsnode.limits import KIB, MIB
from tests.support.background_load import BackgroundLoad
from tests.support.cluster import wait_until

SIZE_MAX = 9 * MIB
PIECE_BYTES = 300_001
"""Of one `write`: no multiple of anything."""
DIRECTORIES = 8
_SIZES = ((0, 0), (1, 4 * KIB), (4 * KIB + 1, 64 * KIB), (64 * KIB, MIB), (MIB, SIZE_MAX))
_HEAD = struct.Struct("<Q")
_NOISE = random.Random(20).randbytes(SIZE_MAX + MIB)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file whose close was acknowledged; the time is of `time.perf_counter`."""

    number: int
    size: int
    at_s: float


def content_of(number: int, size: int) -> bytes:
    """What file *number* holds: no two have the same, at no offset."""
    start = number * 7919 % MIB
    return (_HEAD.pack(number) + _NOISE[start : start + size])[:size]


class DataLoad(BackgroundLoad):
    """See the module and `BackgroundLoad`.

    Further args:
        writers: files being written at once.
        readers: files being read at once.
        bytes_per_s: written, if the cluster keeps up.
    """

    def __init__(
        self,
        config: Path,
        root: str,
        *,
        writers: int = 4,
        readers: int = 3,
        bytes_per_s: int = 16 * MIB,
        timeout_ms: int = 60_000,
        seed: int = 1,
    ) -> None:
        super().__init__(config, root, timeout_ms)
        self.stored: list[StoredFile] = []
        """Acknowledged closes, in their order."""
        self.reads = 0
        """Reads whose every byte was right."""
        self.wrong: list[str] = []
        """Reads that gave other bytes than were written."""
        self.failures: list[str] = []
        """Operations that the client gave up."""
        self._writers = writers
        self._readers = readers
        self._bytes_per_s = bytes_per_s
        self._random = random.Random(seed)
        self._next = 0
        self._written_bytes = 0
        self._began_s = 0.0

    def wait_for(self, files: int = 0, reads: int = 0) -> None:
        """Return when so many more files were closed, and so many more read."""
        files_wanted, reads_wanted = len(self.stored) + files, self.reads + reads

        def is_done() -> bool:
            enough = len(self.stored) >= files_wanted and self.reads >= reads_wanted
            return enough or not self._thread.is_alive()

        wait_until(f"{files} more files are stored and {reads} read", is_done)
        self.check()

    def check(self) -> None:
        """Fail when a byte was wrong or a call was given up."""
        assert not self.wrong, self.wrong
        assert not self.failures, self.failures
        self._raise_crash()

    def path(self, number: int) -> str:
        """Of a file."""
        return f"{self.root}/{number % DIRECTORIES}/{number}"

    # ---- the thread

    def _wait_for_first(self) -> None:
        self.wait_for(files=5, reads=5)

    async def _load(self, fs: AsyncFileSystem) -> None:
        async with asyncio.TaskGroup() as group:
            self._began_s = time.perf_counter()
            for _ in range(self._writers):
                group.create_task(self._write(fs))
            for _ in range(self._readers):
                group.create_task(self._read(fs))

    async def _write(self, fs: AsyncFileSystem) -> None:
        while not self._stop.is_set():
            number, self._next = self._next, self._next + 1
            size = self._random.randint(*_SIZES[number % len(_SIZES)])
            self._written_bytes += size
            await self._wait_until_due()
            try:
                await self._write_file(fs, number, size)
            except PydfsError as error:
                self._failed(f"writing {self.path(number)} ({size} bytes)", error)
            else:
                self.stored.append(StoredFile(number, size, time.perf_counter()))

    async def _wait_until_due(self) -> None:
        due_s = self._began_s + self._written_bytes / self._bytes_per_s
        while (wait_s := due_s - time.perf_counter()) > 0 and not self._stop.is_set():
            await asyncio.sleep(min(wait_s, 0.1))

    async def _write_file(self, fs: AsyncFileSystem, number: int, size: int) -> None:
        content = memoryview(content_of(number, size))
        writer = await fs.open_writer(self.path(number))
        async with writer:
            for start in range(0, size, PIECE_BYTES):
                await writer.write(content[start : start + PIECE_BYTES])

    async def _read(self, fs: AsyncFileSystem) -> None:
        while not self._stop.is_set():
            if not self.stored:
                await asyncio.sleep(0.02)
                continue
            file = self._random.choice(self.stored)
            start, end = 0, file.size
            if self._random.random() < 0.5:
                start, end = sorted(self._random.randint(0, file.size) for _ in range(2))
            try:
                found = await fs.cat_file(self.path(file.number), start, end)
            except PydfsError as error:
                self._failed(f"reading {self.path(file.number)} {start}..{end}", error)
            else:
                self._compare(file, start, end, found)
            await asyncio.sleep(0.01)

    def _compare(self, file: StoredFile, start: int, end: int, found: bytes) -> None:
        if found == content_of(file.number, file.size)[start:end]:
            self.reads += 1
        else:
            self.wrong.append(f"{self.path(file.number)} {start}..{end} of {file.size}")

    def _failed(self, what: str, error: PydfsError) -> None:
        self.failures.append(f"{what}: {type(error).__name__}: {error.message}")


def check_all_stored(load: DataLoad, config: Path) -> None:
    """Every acknowledged file is there as it was written, read by a fresh client.

    After a load that was stopped.
    """
    load.check()
    with FileSystem.connect(config) as fs:
        for file in load.stored:
            found = fs.cat_file(load.path(file.number))
            assert found == content_of(file.number, file.size), load.path(file.number)

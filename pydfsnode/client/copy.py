"""Copies files and whole trees between here and the cluster, many at once, with progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.client import local_files, paths
from pydfsnode.client.chunk_io import Packet
from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.local_files import LocalEntry
from pydfsnode.client.model import FileStatus
from pydfsnode.client.part_file import PartFile
from pydfsnode.errors import CorruptionError, DomainError, NotADirectory, PydfsError

if TYPE_CHECKING:
    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.filesystem import AsyncFileSystem

PIECE_BYTES = 4 * limits.MIB  # limits.py candidate
"""Bytes read or written locally in one go."""
LARGE_FILE_BYTES = 16 * limits.MIB  # limits.py candidate
LARGE_FILES_MAX = 2  # limits.py candidate
"""Large files in copy at once: each may hold a whole chunk in memory until it is durable."""

OnBytes = Callable[[int], None]
OnSkipped = Callable[[int], None]
"""Hears the bytes that need not be copied."""


class Watcher(Protocol):
    """Hears how a copy goes on; called in the event loop, must not block."""

    def planned(self, size: int) -> None:
        """A file of *size* bytes was found."""
        ...

    def moved(self, count: int) -> None:
        """*count* more bytes were copied."""
        ...

    def finished(self, path: str) -> None:
        """The file *path* is copied."""
        ...

    def failed(self, path: str, error: Exception) -> None:
        """*path* was not copied; the copy goes on with the others unless this raises."""
        ...


@dataclass(slots=True)
class CopyReport:
    """What a copy did."""

    files: int = 0
    directories: int = 0
    bytes: int = 0
    failures: int = 0
    skipped: int = 0
    """Files that were there already, of a copy that goes on with another one: see resume.py."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file or directory to copy."""

    source: str
    target: str
    size: int
    is_directory: bool


CopyOne = Callable[[Job, OnBytes], Awaitable[None]]
"""Copies one file, or makes one directory."""


class Around(Protocol):
    """What more is done for each file and directory of a tree than to copy it."""

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """Copy *job*, by `copy_one(job, on_bytes)` or otherwise; False: nothing was to copy."""
        ...


class Plain:
    """Nothing more."""

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """See Around."""
        await copy_one(job, on_bytes)
        return True


async def put_file(
    fs: AsyncFileSystem,
    lpath: Path,
    rpath: str,
    *,
    overwrite: bool = True,
    on_bytes: OnBytes | None = None,
) -> FileStatus:
    """Copy the local file *lpath* to *rpath*; on an error nothing is left at *rpath*."""
    file, piece = await asyncio.to_thread(local_files.open_and_read, lpath, PIECE_BYTES)
    with file:
        async with await fs.open_writer(rpath, overwrite=overwrite) as writer:
            while piece:
                # The next piece is read while this one is on its way; a short one was the last.
                more = len(piece) == PIECE_BYTES
                reading = asyncio.ensure_future(_read(file, PIECE_BYTES if more else 0))
                try:
                    await writer.write(piece)
                finally:
                    following = await reading
                if on_bytes is not None:
                    on_bytes(len(piece))
                piece = following
    return writer.status


async def _read(file: BinaryIO, size: int) -> bytes:
    return await asyncio.to_thread(file.read, size) if size else b""


async def get_file(
    fs: AsyncFileSystem,
    rpath: str,
    lpath: Path,
    *,
    verify: bool = False,
    on_bytes: OnBytes | None = None,
) -> FileStatus:
    """Copy the file *rpath* to the local *lpath*, which appears only when it is whole.

    Raises:
        CorruptionError: *verify*, and together it has not the checksum that the masters know.
    """
    part = PartFile(lpath)
    async with await fs.open_reader(rpath) as reader:
        try:
            held, checksum = await receive(reader, part, 0, None, 0 if verify else None, on_bytes)
            if checksum is not None:
                require_checksum(reader.status, checksum)
            await asyncio.to_thread(part.commit, held)
        finally:
            part.discard()
        return reader.status


async def receive(
    reader: AsyncFileReader,
    part: PartFile,
    start: int,
    end: int | None,
    checksum: int | None,
    on_bytes: OnBytes | None,
) -> tuple[list[Packet], int | None]:
    """Read [start, end) and append it to *part*, but what is returned: the last packets.

    Args:
        checksum: of what lies before *start*; None: it is not counted.

    Returns:
        Those packets, and the checksum with all that was read.
    """
    held: list[Packet] = []
    held_bytes = 0
    async with aclosing(reader.packets(start, end)) as packets:
        async for packet in packets:
            if checksum is not None:
                checksum = crc32c(packet, checksum)
            held.append(packet)
            held_bytes += len(packet)
            if held_bytes >= PIECE_BYTES:
                await asyncio.to_thread(part.write, held)
                held, held_bytes = [], 0
            if on_bytes is not None:
                on_bytes(len(packet))
    return held, checksum


def require_checksum(status: FileStatus, found: int) -> None:
    if status.checksum != f"crc32c:{found:08x}":
        raise CorruptionError(
            f"{status.path}: what was read has the checksum crc32c:{found:08x}, the masters know "
            f"'{status.checksum}': read it again, and tell the operator ('pydfsnode cluster fsck')",
            path=status.path,
        )


async def put(
    fs: AsyncFileSystem,
    sources: Sequence[Path],
    rpath: str,
    *,
    parallel: int,
    overwrite: bool = True,
    watcher: Watcher | None = None,
    around: Around | None = None,
    into: bool | None = None,
) -> CopyReport:
    """Copy local files and trees to the cluster; see AsyncFileSystem.put.

    Args:
        around: what more is done for each file.
        into: whether *rpath* is the directory that the copies go into; None: when it is one.
    Raises:
        NotADirectory: several sources and *rpath* is no directory.
        OSError, PydfsError: the first failure, when there is no watcher or it concerns all files.
    """
    if into is None:
        into = await fs.isdir(rpath, consistency=LINEARIZABLE)
    if len(sources) > 1 and not into:
        raise NotADirectory(f"{rpath} is not a directory: make it first to put several into it")

    async def copy_one(job: Job, on_bytes: OnBytes) -> None:
        if job.is_directory:
            await fs.makedirs(job.target, exist_ok=True)
        else:
            await fs.put_file(job.source, job.target, overwrite=overwrite, on_bytes=on_bytes)

    async def plan(run: TreeCopy) -> AsyncIterator[Job]:
        for source in sources:
            # resolve() gives "." and ".." the name that the copy gets.
            name = source.name if source.name not in ("", "..") else source.resolve().name
            target = paths.join(rpath, name) if into else paths.normalize(rpath)
            async for job in _local_tree(source, target, run):
                yield job

    return await TreeCopy(parallel, copy_one, watcher, around).run(plan)


async def get(
    fs: AsyncFileSystem,
    sources: Sequence[str],
    lpath: Path,
    *,
    parallel: int,
    overwrite: bool = True,
    verify: bool = False,
    watcher: Watcher | None = None,
    around: Around | None = None,
    into: bool | None = None,
) -> CopyReport:
    """Copy files and trees from the cluster; see AsyncFileSystem.get. Args, Raises as `put`."""
    if into is None:
        into = await asyncio.to_thread(lpath.is_dir)
    if len(sources) > 1 and not into:
        raise NotADirectory(f"{lpath} is not a directory: make it first to get several into it")

    async def copy_one(job: Job, on_bytes: OnBytes) -> None:
        target = Path(job.target)
        if job.is_directory:
            await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
            return
        if not overwrite and await asyncio.to_thread(target.exists):
            raise FileExistsError(f"{target} exists already")
        await fs.get_file(job.source, target, verify=verify, on_bytes=on_bytes)

    async def plan(_run: TreeCopy) -> AsyncIterator[Job]:
        for source in sources:
            root = paths.normalize(source)
            target = lpath / paths.name(root) if into else lpath
            async for entry in fs.find(root):
                below = entry.path[len(root) :].lstrip("/")
                yield Job(entry.path, str(target / below), entry.size, entry.is_directory)

    return await TreeCopy(parallel, copy_one, watcher, around).run(plan)


async def _local_tree(source: Path, target: str, run: TreeCopy) -> AsyncIterator[Job]:
    """Jobs for *source* and everything below it, each directory before its entries."""
    pending: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(source, target, ())]
    while pending:
        path, goal, above = pending.pop()
        try:
            entry: LocalEntry = await asyncio.to_thread(local_files.look, path)
            if entry.is_directory and entry.identity in above:
                raise OSError(f"{path} is a symbolic link to a directory above it")
            names = (
                await asyncio.to_thread(local_files.names_in, path) if entry.is_directory else []
            )
            below = [(path / name, paths.join(goal, name)) for name in reversed(names)]
        except (OSError, DomainError) as error:
            run.fail(str(path), error)
            continue
        yield Job(str(path), goal, entry.size, entry.is_directory)
        pending.extend((child, there, (*above, entry.identity)) for child, there in below)


class TreeCopy:
    """Runs the jobs of one copy of trees with a bounded number at once."""

    def __init__(
        self,
        parallel: int,
        copy_one: CopyOne,
        watcher: Watcher | None,
        around: Around | None = None,
    ) -> None:
        self._parallel = max(1, min(parallel, limits.CLIENT_COPY_FILES_MAX))
        self._copy_one = copy_one
        self._around = around or Plain()
        self._watcher = watcher
        self._large = asyncio.Semaphore(LARGE_FILES_MAX)
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue(4 * self._parallel)
        self._report = CopyReport()

    async def run(self, plan: Callable[[TreeCopy], AsyncIterator[Job]]) -> CopyReport:
        """Copy everything that *plan* yields; the first failure that is not per file ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._parallel):
                    group.create_task(self._work())
                async for job in plan(self):
                    if job.is_directory:
                        # At once, so that it exists before its entries are copied into it.
                        await self._do(job)
                    else:
                        if self._watcher is not None:
                            self._watcher.planned(job.size)
                        await self._jobs.put(job)
                for _ in range(self._parallel):
                    await self._jobs.put(None)
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from None
        return self._report

    def fail(self, path: str, error: Exception) -> None:
        """Count a failure of one file, or raise it when nobody listens or it concerns all files."""
        self._report.failures += 1
        concerns_one_file = isinstance(error, OSError | DomainError)
        if self._watcher is None or not concerns_one_file:
            raise error
        self._watcher.failed(path, error)

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            if job.size >= LARGE_FILE_BYTES:
                async with self._large:
                    await self._do(job)
            else:
                await self._do(job)

    async def _do(self, job: Job) -> None:
        try:
            copied = await self._around.copy(job, self._moved, self._copy_one)
        except (OSError, PydfsError) as error:
            self.fail(job.source, error)
            return
        if job.is_directory:
            self._report.directories += 1
            return
        if not copied:
            self._report.skipped += 1
            return
        self._report.files += 1
        if self._watcher is not None:
            self._watcher.finished(job.source)

    def _moved(self, count: int) -> None:
        self._report.bytes += count
        if self._watcher is not None:
            self._watcher.moved(count)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error inside a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

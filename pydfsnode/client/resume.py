"""Goes on with a copy that was interrupted: what is there already is not copied again.

Whether it is there is decided by the checksum of the content, never by size or time. A file that
holds the beginning of what is to be copied, as one whose writer died, gets the rest; so does what
a `get` of a large file left, see get_rest.py. Any other
content is somebody's file: it is replaced only where overwriting was asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydfsnode.client import paths
from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.copy import (
    LARGE_FILE_BYTES,
    PIECE_BYTES,
    CopyOne,
    Job,
    OnBytes,
    OnSkipped,
)
from pydfsnode.client.get_rest import GoingOn, checksum_of
from pydfsnode.errors import AlreadyExists, FileUnderConstruction, IsADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

NAMES_COMPARED_MAX = 1000
"""Of a directory, to tell whether it is the copy that is to be gone on with."""


class _Resumed:
    """What both ways have.

    Args of the constructor:
        overwrite: another content that is there is replaced.
    """

    def __init__(self, fs: AsyncFileSystem, *, overwrite: bool, on_skipped: OnSkipped) -> None:
        self._fs = fs
        self._overwrite = overwrite
        self._on_skipped = on_skipped


class ResumedPut(_Resumed):
    """A `copy.Around` for local files on their way to the cluster."""

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """See copy.Around.

        Raises:
            AlreadyExists: another content is there, and not *overwrite*.
            FileUnderConstruction: somebody else writes it.
        """
        status = None if job.is_directory else await self._closed(job.target)
        if status is None:
            await copy_one(job, on_bytes)
            return True
        checksum, size = await asyncio.to_thread(beginning, Path(job.source), status.size)
        if size == status.size and checksum == status.checksum:
            self._on_skipped(size)
            if size == job.size:
                return False
            await self._append(job, size, on_bytes)
        elif self._overwrite:
            await copy_one(job, on_bytes)
        else:
            raise AlreadyExists(f"'{job.target}' exists with another content than {job.source}")
        return True

    async def _closed(self, path: str) -> FileStatus | None:
        """The file at *path*, closed if its writer left it open; None when there is none."""
        try:
            status = await self._fs.info(path, consistency=LINEARIZABLE)
            if status.is_directory:
                raise IsADirectory(f"'{path}' is a directory")
            return await self._fs.recover_lease(path) if status.under_construction else status
        except NotFound:
            return None

    async def _append(self, job: Job, size: int, on_bytes: OnBytes) -> None:
        """Copy what lies behind the first *size* bytes."""
        file = await asyncio.to_thread(_opened_at, Path(job.source), size)
        with file:
            async with await self._fs.append(job.target) as writer:
                if writer.tell() != size:
                    raise FileUnderConstruction(f"'{job.target}' is being written by somebody else")
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    await writer.write(piece)
                    on_bytes(len(piece))


class ResumedGet(_Resumed):
    """A `copy.Around` for files of the cluster on their way here."""

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """See copy.Around.

        Raises:
            FileExistsError: another content is there, and not *overwrite*.
        """
        target = Path(job.target)
        is_there = not job.is_directory and await asyncio.to_thread(target.is_file)
        if is_there:
            status = await self._fs.info(job.source)
            checksum, size = await asyncio.to_thread(beginning, target, status.size + 1)
            if size == status.size and checksum == status.checksum:
                self._on_skipped(size)
                return False
        if job.is_directory or not (is_there or job.size >= LARGE_FILE_BYTES):
            await copy_one(job, on_bytes)
            return True
        async with await self._fs.open_reader(job.source) as reader:
            await GoingOn(
                reader, target, overwrite=self._overwrite, on_bytes=on_bytes,
                on_skipped=self._on_skipped,
            ).get()  # fmt: skip
        return True


async def put_goes_into(fs: AsyncFileSystem, sources: Sequence[Path], rpath: str) -> bool:
    """Whether the copies of *sources* lie in *rpath*, or that is itself the copy begun before.

    `put tree /new` makes /new; the same command again would make /new/tree.
    """
    if not await fs.isdir(rpath, consistency=LINEARIZABLE):
        return False
    source = sources[0].resolve()
    if len(sources) > 1 or not await asyncio.to_thread(source.is_dir):
        return True
    if await fs.exists(paths.join(rpath, source.name), consistency=LINEARIZABLE):
        return True
    return await _share_no_name(fs, rpath, source)


async def get_goes_into(fs: AsyncFileSystem, sources: Sequence[str], lpath: Path) -> bool:
    """Whether the copies of *sources* lie in the local *lpath*; as `put_goes_into`."""
    if not await asyncio.to_thread(lpath.is_dir):
        return False
    if len(sources) > 1 or not await fs.isdir(sources[0]):
        return True
    if await asyncio.to_thread((lpath / paths.name(sources[0])).exists):
        return True
    return await _share_no_name(fs, sources[0], lpath)


async def _share_no_name(fs: AsyncFileSystem, rpath: str, lpath: Path) -> bool:
    page = await fs.ls_page(rpath, limit=NAMES_COMPARED_MAX, consistency=LINEARIZABLE)
    names = await asyncio.to_thread(os.listdir, lpath)
    return {entry.name for entry in page}.isdisjoint(names)


def beginning(path: Path, size: int) -> tuple[str, int]:
    """The checksum of the first *size* bytes of a local file, and how many of them there are."""
    with path.open("rb", buffering=0) as file:
        checksum, count = checksum_of(file, size)
    return f"crc32c:{checksum:08x}", count


def _opened_at(path: Path, position: int) -> BinaryIO:
    file = path.open("rb", buffering=0)
    file.seek(position)
    return file

"""Goes on with a local copy of one file that was interrupted, from where it is verified to end.

Whole chunks are verified by the checksums that the masters know of them. Of the chunk that what is
here ends in, the rest is read: with it the chunk has its checksum, or what was here of it is wrong
and it is read as a whole. So nothing is read twice, and nothing is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.client.copy import (
    LARGE_FILE_BYTES,
    PIECE_BYTES,
    OnBytes,
    OnSkipped,
    receive,
    require_checksum,
)
from pydfsnode.client.part_file import PartFile

if TYPE_CHECKING:
    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.model import ChunkLocation


class Begun(NamedTuple):
    """How much of a local file is the beginning of one in the cluster.

    [0, end) is, with *checksum*. [end, size) may be the beginning of the next chunk, with *tail*.
    """

    end: int
    checksum: int
    size: int
    tail: int


def begun(path: Path, chunks: Sequence[ChunkLocation]) -> Begun:
    """Compare the local file *path* with the checksums of *chunks*."""
    end = checksum = 0
    with path.open("rb", buffering=0) as file:
        for chunk in chunks:
            found, size = checksum_of(file, chunk.length)
            if size < chunk.length:
                return Begun(end, checksum, end + size, found)
            if found != chunk.crc32c:
                break
            checksum = crc32c_combine(checksum, found, size)
            end += size
    return Begun(end, checksum, end, 0)


def checksum_of(file: BinaryIO, size: int) -> tuple[int, int]:
    """The checksum of the next *size* bytes of *file*, and how many of them there are."""
    checksum = count = 0
    while piece := file.read(min(PIECE_BYTES, size - count)):
        checksum = crc32c(piece, checksum)
        count += len(piece)
    return checksum, count


class GoingOn:
    """One file on its way here.

    Args of the constructor:
        target: where it is to be; a file that is there is replaced if it holds the beginning, or
            *overwrite*.
    """

    def __init__(
        self,
        reader: AsyncFileReader,
        target: Path,
        *,
        overwrite: bool,
        on_bytes: OnBytes,
        on_skipped: OnSkipped,
    ) -> None:
        self._reader = reader
        self._target = target
        self._overwrite = overwrite
        self._on_bytes = on_bytes
        self._on_skipped = on_skipped

    async def get(self) -> None:
        """Get the rest; what is received of a large file stays when this is interrupted.

        Raises:
            FileExistsError: another content is there, and not *overwrite*.
            CorruptionError: as copy.get_file with *verify*.
        """
        reader = self._reader
        part = PartFile(self._target, kept=reader.size >= LARGE_FILE_BYTES)
        try:
            found = await asyncio.to_thread(self._begin, part)
            position, checksum, kept = found.end, found.checksum, found.end
            if found.size > found.end:
                position, checksum, kept = await self._end_chunk(part, found)
            if kept:
                self._on_skipped(kept)
            held, whole = await receive(reader, part, position, None, checksum, self._on_bytes)
            part.kept = False  # what is wrong now is not to be gone on with
            if reader.status.checksum and whole is not None:  # one that is written has none yet
                require_checksum(reader.status, whole)
            await asyncio.to_thread(part.commit, held)
        except FileExistsError:
            part.kept = False
            raise
        finally:
            part.discard()

    def _begin(self, part: PartFile) -> Begun:
        """Fill *part* with what is here already, and say how much of that is good."""
        there = self._there()
        found = None
        if part.kept and part.take_left_over():
            if there and not self._overwrite and not _same(part.where, self._target, there):
                part.cut(0)
            else:
                found = begun(part.where, self._reader.chunks)
                part.cut(found.size)
        if found is None:
            found = Begun(0, 0, 0, 0)
            if there:
                found = begun(self._target, self._reader.chunks)
                part.begin_with(self._target, found.size)
        if found.size < there and not self._overwrite:
            raise self._another_content()
        return found

    async def _end_chunk(self, part: PartFile, found: Begun) -> tuple[int, int, int]:
        """Get the rest of the chunk that *part* ends in.

        Returns:
            How much of the file is there then, verified; its checksum; how much of it was before.
        """
        reader = self._reader
        chunk = next(each for each in reader.chunks if each.offset == found.end)
        end = chunk.offset + chunk.length
        held, checksum = await receive(reader, part, found.size, end, found.tail, self._on_bytes)
        if checksum == chunk.crc32c:
            await asyncio.to_thread(part.write, held)
            whole = crc32c_combine(found.checksum, checksum, chunk.length)
            return end, whole, found.size
        await asyncio.to_thread(part.cut, found.end)
        there = 0 if self._overwrite else await asyncio.to_thread(self._there)
        if there <= found.end:
            return found.end, found.checksum, found.end
        held, checksum = await receive(reader, part, found.end, end, found.checksum, self._on_bytes)
        await asyncio.to_thread(part.write, held)
        if not await asyncio.to_thread(_same, part.where, self._target, there):
            raise self._another_content()
        return end, checksum or 0, found.end

    def _there(self) -> int:
        """The size of the file that has the name already, 0 when there is none."""
        return self._target.stat().st_size if self._target.is_file() else 0

    def _another_content(self) -> FileExistsError:
        source = self._reader.status.path
        return FileExistsError(f"{self._target} exists with another content than '{source}'")


def _same(path: Path, other: Path, size: int) -> bool:
    """Whether two local files have the same first *size* bytes."""
    with path.open("rb", buffering=0) as file, other.open("rb", buffering=0) as second:
        return checksum_of(file, size) == checksum_of(second, size)

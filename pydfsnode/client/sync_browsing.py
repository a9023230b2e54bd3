"""The part of the synchronous file system that tells what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, TypeVar

from pydfsnode.client.loop_thread import SyncBase

if TYPE_CHECKING:
    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.filesystem_browsing import Walked
    from pydfsnode.client.model import FileStatus, Summary

T = TypeVar("T")

BATCH = 256
"""Entries fetched from the loop's thread at once."""


class SyncBrowsing(SyncBase):
    """Part of `FileSystem`."""

    def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.info(path, consistency=consistency))

    def exists(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.exists(path, consistency=consistency))

    def isdir(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.isdir(path, consistency=consistency))

    def isfile(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.isfile(path, consistency=consistency))

    def ls(self, path: str, *, consistency: Reads = None) -> list[FileStatus]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.ls(path, consistency=consistency))

    def ls_page(
        self, path: str, start_after: str = "", limit: int = 0, *, consistency: Reads = None
    ) -> list[FileStatus]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.ls_page(path, start_after, limit, consistency=consistency))

    def scandir(self, path: str, *, consistency: Reads = None) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.scandir(path, consistency=consistency))

    def find(
        self,
        path: str,
        pattern: str = "*",
        type: str | None = None,
        *,
        consistency: Reads = None,
    ) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.find(path, pattern, type, consistency=consistency))

    def summary(self, path: str, *, consistency: Reads = None) -> Summary:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.summary(path, consistency=consistency))

    def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.du(path, consistency=consistency))

    def size(self, path: str, *, consistency: Reads = None) -> int:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.size(path, consistency=consistency))

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        *,
        consistency: Reads = None,
    ) -> Iterator[Walked]:
        """See AsyncFileSystem."""
        walking = self._fs.walk(path, maxdepth, topdown, consistency=consistency)
        # One at a time when the caller may leave directories out.
        return self._each(walking, 1 if topdown else BATCH)

    def glob(self, pattern: str, *, consistency: Reads = None) -> list[str]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.glob(pattern, consistency=consistency))

    def glob_info(self, pattern: str, *, consistency: Reads = None) -> list[FileStatus]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.glob_info(pattern, consistency=consistency))

    def _each(self, items: AsyncIterator[T], batch: int = BATCH) -> Iterator[T]:
        async def following() -> list[T]:
            return [item async for item in _take(items, batch)]

        while found := self._thread.run(following()):
            yield from found


async def _take(items: AsyncIterator[T], count: int) -> AsyncIterator[T]:
    for _ in range(count):
        try:
            yield await anext(items)
        except StopAsyncIteration:
            return

"""The part of the file system that tells what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydfsnode.client import glob, paths
from pydfsnode.client.consistency import Consistency, Reads
from pydfsnode.client.filesystem_base import FileSystemBase
from pydfsnode.client.model import DIRECTORY, FILE, FileStatus, Summary
from pydfsnode.errors import InvalidArgument, IsADirectory, NotADirectory, NotFound

Walked = tuple[str, list[str], list[str]]
"""A directory's path, the names of its directories and those of its files."""


class BrowsingMethods(FileSystemBase):
    """Part of `AsyncFileSystem`; errors as there."""

    async def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        """What the namespace knows of *path*; raises NotFound."""
        # This and other short methods do not call `_wanted`: they are called often.
        wanted = self.consistency if consistency is None else Consistency.of(consistency)
        return await self._calls.stat(paths.normalize(path), wanted)

    async def exists(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a file or a directory."""
        return await self._info_or_none(path, consistency) is not None

    async def isdir(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a directory."""
        status = await self._info_or_none(path, consistency)
        return status is not None and status.is_directory

    async def isfile(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a file."""
        status = await self._info_or_none(path, consistency)
        return status is not None and not status.is_directory

    async def ls(self, path: str, *, consistency: Reads = None) -> list[FileStatus]:
        """The entries of a directory by name; a file lists itself."""
        return [entry async for entry in self.scandir(path, consistency=consistency)]

    async def ls_page(
        self, path: str, start_after: str = "", limit: int = 0, *, consistency: Reads = None
    ) -> list[FileStatus]:
        """Up to *limit* entries of *path* behind the name *start_after*; 0: as many as fit."""
        page = await self._calls.list_directory(
            paths.normalize(path), start_after, limit, consistency=self._wanted(consistency)
        )
        return page.entries

    async def scandir(self, path: str, *, consistency: Reads = None) -> AsyncIterator[FileStatus]:
        """As `ls`, page by page, so that a huge directory does not fill the memory."""
        path, wanted = paths.normalize(path), self._wanted(consistency)
        start_after = ""
        while True:
            page = await self._calls.list_directory(path, start_after, consistency=wanted)
            for entry in page.entries:
                yield entry
            if not page.more or not page.entries:
                return
            start_after = page.entries[-1].name

    async def find(
        self,
        path: str,
        pattern: str = "*",
        type: str | None = None,
        *,
        consistency: Reads = None,
    ) -> AsyncIterator[FileStatus]:
        """*path* and everything below it, each directory before its entries, in order of names.

        Args:
            pattern: of the last name, as a shell's: * ? [a-z].
            type: "file" or "directory"; None: both.
        """
        if type not in (None, FILE, DIRECTORY):
            raise InvalidArgument(f"there is no type '{type}': {FILE} or {DIRECTORY}")
        path, wanted = paths.normalize(path), self._wanted(consistency)
        asked = "" if pattern == "*" else pattern
        start_after = ""
        while True:
            page = await self._calls.find(path, asked, type, start_after, wanted)
            for entry in page.entries:
                yield entry
            if not page.next:
                return
            start_after = page.next

    async def summary(self, path: str, *, consistency: Reads = None) -> Summary:
        """Totals of everything under *path*, and its quotas; as quick for a large tree."""
        return await self._calls.summary(paths.normalize(path), self._wanted(consistency))

    async def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """As `summary`, by the name that fsspec has for it."""
        return await self.summary(path, consistency=consistency)

    async def size(self, path: str, *, consistency: Reads = None) -> int:
        """Bytes of a file.

        Raises:
            NotFound, IsADirectory: there is no file; of a directory `du` tells.
        """
        status = await self.info(path, consistency=consistency)
        if status.is_directory:
            raise IsADirectory(f"{status.path} is a directory: its size is that of 'du'")
        return status.size

    async def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        *,
        consistency: Reads = None,
    ) -> AsyncIterator[Walked]:
        """(directory, names of its directories, names of its files) of a tree, as `os.walk`.

        Top down, the caller may remove names from the directories: they are left out.

        Args:
            maxdepth: 1: only *path* itself; None: all.
            topdown: False: each directory behind those in it.

        Raises:
            NotFound, NotADirectory: there is no directory at *path*.
        """
        status = await self.info(path, consistency=consistency)
        if not status.is_directory:
            raise NotADirectory(f"{status.path} is a file: there is nothing to walk in")
        async for walked in self._walk(status.path, maxdepth, topdown, consistency):
            yield walked

    async def _walk(
        self, directory: str, levels: int | None, topdown: bool, consistency: Reads
    ) -> AsyncIterator[Walked]:
        directories: list[str] = []
        files: list[str] = []
        try:
            async for entry in self.scandir(directory, consistency=consistency):
                (directories if entry.is_directory else files).append(entry.name)
        except (NotFound, NotADirectory):  # removed since its name was read
            return
        if topdown:
            yield directory, directories, files
        if levels is None or levels > 1:
            below = None if levels is None else levels - 1
            for name in directories:
                path = paths.join(directory, name)
                async for walked in self._walk(path, below, topdown, consistency):
                    yield walked
        if not topdown:
            yield directory, directories, files

    async def glob(self, pattern: str, *, consistency: Reads = None) -> list[str]:
        """The paths that match *pattern*, in order; none: [].

        Args:
            pattern: * and ? mean any letters and any letter of one name, [abc] and [!abc] one of
                them or none of them, and a name ** any number of directories, or at the end
                everything below. A name that begins with a dot is one like others.
        """
        return [status.path for status in await self.glob_info(pattern, consistency=consistency)]

    async def glob_info(self, pattern: str, *, consistency: Reads = None) -> list[FileStatus]:
        """As `glob`, with what the namespace knows of each path."""
        return await glob.matches(self, paths.normalize(pattern), self._wanted(consistency))

    async def _info_or_none(self, path: str, consistency: Reads) -> FileStatus | None:
        try:
            return await self.info(path, consistency=consistency)
        except (NotFound, NotADirectory):
            return None

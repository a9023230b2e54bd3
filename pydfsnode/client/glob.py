"""Patterns of paths, expanded by reading no directory that cannot hold a match."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pydfsnode.client import paths
from pydfsnode.client.consistency import Reads
from pydfsnode.client.model import DIRECTORY, FileStatus
from pydfsnode.errors import NotADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem_browsing import BrowsingMethods

_SPECIAL = frozenset("*?[")
ANY_DIRECTORIES = "**"


def has_pattern(path: str) -> bool:
    """Whether *path* means more than itself."""
    return not _SPECIAL.isdisjoint(path)


async def matches(
    tree: BrowsingMethods, pattern: str, consistency: Reads = None
) -> list[FileStatus]:
    """What of *tree* the normal path *pattern* means, by path; see AsyncFileSystem.glob."""
    names = [name for name in pattern.split("/") if name]
    found: dict[str, FileStatus] = {}
    async for status in _below("/", names, _Reading(tree, consistency)):
        found[status.path] = status
    return [found[path] for path in sorted(found)]


class _Reading:
    """Reads, taking for empty what is gone or no directory."""

    def __init__(self, tree: BrowsingMethods, consistency: Reads) -> None:
        self._tree = tree
        self._consistency = consistency

    async def at(self, path: str) -> AsyncIterator[FileStatus]:
        """What is at *path*, if anything."""
        try:
            yield await self._tree.info(path, consistency=self._consistency)
        except (NotFound, NotADirectory):
            return

    async def entries(self, directory: str, names: str) -> AsyncIterator[FileStatus]:
        """The entries of *directory* that are named like the pattern *names*."""
        matching = re.compile(fnmatch.translate(names)).match
        try:
            async for entry in self._tree.scandir(directory, consistency=self._consistency):
                if entry.path != directory and matching(entry.name):  # a file lists itself
                    yield entry
        except (NotFound, NotADirectory):
            return

    async def tree(self, path: str, type: str | None) -> AsyncIterator[FileStatus]:
        """*path* and everything below it."""
        try:
            async for entry in self._tree.find(path, type=type, consistency=self._consistency):
                yield entry
        except (NotFound, NotADirectory):
            return


async def _below(path: str, names: list[str], reading: _Reading) -> AsyncIterator[FileStatus]:
    """What matches the patterns *names* below *path*, some of it perhaps twice."""
    fixed = 0
    while fixed < len(names) and not has_pattern(names[fixed]):
        fixed += 1
    if fixed:
        path, names = paths.join(path, *names[:fixed]), names[fixed:]
    if not names:
        found = reading.at(path)
    elif names[0] != ANY_DIRECTORIES:
        found = reading.entries(path, names[0])
    elif len(names) == 1:
        found = reading.tree(path, None)
    else:
        found = reading.tree(path, DIRECTORY)
    rest = names[1:]
    async for status in found:
        if not rest:
            yield status
        elif status.is_directory:
            async for below in _below(status.path, rest, reading):
                yield below

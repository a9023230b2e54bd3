"""Verbs on whole trees: the walk below a directory, and changes entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, expanded, run
from pydfsnode.errors import DomainError

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem, Reads
    from pydfsnode.client.model import FileStatus

Order = Callable[[list["FileStatus"]], list["FileStatus"]]
CHANGES_AT_ONCE = 64
"""Of the files of a tree that a verb changes one by one."""


def for_each_entry(
    patterns: Sequence[str],
    change: Callable[[AsyncFileSystem, FileStatus], Awaitable[None]],
    *,
    recursive: bool,
) -> None:
    """Do *change* for each path that *patterns* mean and, when *recursive*, all below them.

    A directory is changed before what it holds is read; files several at once.

    Raises:
        click.exceptions.Exit: with 1, at the end, when one was refused.
    """

    async def all_of_them(fs: AsyncFileSystem, refusals: Refusals) -> None:
        async for path in expanded(fs, patterns, refusals, LINEARIZABLE):
            await refusals.around(one(fs, path, refusals))

    async def one(fs: AsyncFileSystem, path: str, refusals: Refusals) -> None:
        status = await fs.info(path, consistency=LINEARIZABLE)
        await refusals.around(change(fs, status))
        if recursive and status.is_directory:
            await everything_below(fs, status.path, refusals)

    async def everything_below(fs: AsyncFileSystem, path: str, refusals: Refusals) -> None:
        import asyncio

        files: list[FileStatus] = []

        async def flush() -> None:
            await asyncio.gather(*(refusals.around(change(fs, file)) for file in files))
            files.clear()

        async for status in below(fs, path, refusals, consistency=LINEARIZABLE):
            if status.is_directory:
                await refusals.around(change(fs, status))
                continue
            files.append(status)
            if len(files) == CHANGES_AT_ONCE:
                await flush()
        await flush()

    run(all_of_them)


async def below(
    fs: AsyncFileSystem,
    directory: str,
    refusals: Refusals,
    *,
    order: Order | None = None,
    consistency: Reads = None,
) -> AsyncIterator[FileStatus]:
    """Everything below *directory*, each entry before what it holds.

    A directory that may not be read is told, and the walk goes on behind it.

    Args:
        order: of the entries of one directory, which is then read as a whole; None: by name.
    """
    # The directories that are being read, outermost first: depth without recursion.
    opened = [_entries(fs, directory, order, consistency)]
    while opened:
        try:
            entry = await anext(opened[-1], None)
        except DomainError as error:
            refusals.tell(error)
            entry = None
        if entry is None:
            opened.pop()
            continue
        yield entry
        if entry.is_directory:
            opened.append(_entries(fs, entry.path, order, consistency))


async def _entries(
    fs: AsyncFileSystem, directory: str, order: Order | None, consistency: Reads
) -> AsyncIterator[FileStatus]:
    entries = fs.scandir(directory, consistency=consistency)
    if order is None:
        async for entry in entries:
            yield entry
    else:
        for entry in order([entry async for entry in entries]):
            yield entry

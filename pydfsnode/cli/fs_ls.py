"""`fs ls`: directories, entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import (
    Refusals,
    expanded,
    human_option,
    paths_argument,
    recursive_option,
    run,
)
from pydfsnode.cli.fs_status import mode_text, status_json, time_text
from pydfsnode.cli.fs_trees import Order, below
from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import aligned_rows, print_json, short_size

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

PAGE_ROWS = 1000
"""Rows aligned together; a longer listing is printed as it comes."""


@click.command(epilog="Example: pydfsnode fs ls -R -h '/logs/2026-*'")
@paths_argument
@recursive_option("Everything below, too.")
@human_option
@click.option("-d", "itself", is_flag=True, help="A directory itself, not its entries.")
@click.option("-C", "names_only", is_flag=True, help="Only paths.")
@click.option("-t", "by_time", is_flag=True, help="By time, newest first.")
@click.option("-S", "by_size", is_flag=True, help="By size, largest first.")
@click.option("-r", "backwards", is_flag=True, help="The other way round.")
@click.option("-u", "accessed", is_flag=True, help="The time of the last access.")
@consistency_option
@json_option
@client_config_option
def ls(
    paths: tuple[str, ...],
    recursive: bool,
    human: bool,
    itself: bool,
    names_only: bool,
    by_time: bool,
    by_size: bool,
    backwards: bool,
    accessed: bool,
    as_json: bool,
) -> None:
    """List directories: mode, replication, owner, group, size, time (UTC), path.

    A "+" behind the mode: there is an access control list ('fs getfacl').
    """
    order = _order(by_time, by_size, backwards, accessed)
    listed = _Listed(as_json, human, names_only, accessed)

    async def entries(
        fs: AsyncFileSystem, path: str, refusals: Refusals
    ) -> AsyncIterator[FileStatus]:
        if itself:
            yield await fs.info(path)
        elif recursive and (status := await fs.info(path)).is_directory:
            async for entry in below(fs, status.path, refusals, order=order):
                yield entry
        elif order is None:
            async for entry in fs.scandir(path):
                yield entry
        else:
            for entry in order(await fs.ls(path)):
                yield entry

    async def list_all(fs: AsyncFileSystem, refusals: Refusals) -> None:
        async for path in expanded(fs, paths, refusals):
            await refusals.around(listed.take(entries(fs, path, refusals)))

    try:
        run(list_all)
    finally:
        listed.finish()


def _order(by_time: bool, by_size: bool, backwards: bool, accessed: bool) -> Order | None:
    """How the entries of a directory are to be sorted; None: as they come, by name."""
    if not (by_time or by_size or backwards):
        return None

    def key(entry: FileStatus) -> tuple[int, str]:
        if by_time:
            return -(entry.atime_ms if accessed else entry.mtime_ms), entry.path
        return (-entry.size if by_size else 0), entry.path

    return lambda entries: sorted(entries, key=key, reverse=backwards)


class _Listed:
    """Prints entries page by page, or all as JSON at the end."""

    def __init__(self, as_json: bool, human: bool, names_only: bool, accessed: bool) -> None:
        self._as_json = as_json
        self._human = human
        self._names_only = names_only
        self._accessed = accessed
        self._found: list[dict[str, Any]] = []

    async def take(self, entries: AsyncIterator[FileStatus]) -> None:
        page: list[FileStatus] = []
        try:
            async for entry in entries:
                if self._as_json:
                    self._found.append(status_json(entry))
                    continue
                page.append(entry)
                if len(page) == PAGE_ROWS:
                    self._print(page)
                    page = []
        finally:
            self._print(page)

    def finish(self) -> None:
        if self._as_json:
            print_json(self._found)

    def _print(self, entries: list[FileStatus]) -> None:
        if self._names_only:
            for entry in entries:
                click.echo(entry.path)
            return
        rows = [
            (
                mode_text(entry),
                "-" if entry.is_directory else str(entry.replication),
                entry.owner or "-",
                entry.group or "-",
                short_size(entry.size) if self._human else str(entry.size),
                time_text(entry.atime_ms if self._accessed else entry.mtime_ms),
                entry.path,
            )
            for entry in entries
        ]
        for line in aligned_rows(rows, (False, True, False, False, True, False, False)):
            click.echo(line)

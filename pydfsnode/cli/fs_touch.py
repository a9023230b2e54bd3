"""`fs touch`, `fs touchz`: times, and empty files."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, for_each, paths_argument
from pydfsnode.cli.options import client_config_option
from pydfsnode.client.paths import parent
from pydfsnode.errors import InvalidArgument, IsADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

FILES_AT_ONCE = 64


def parse_moment(text: str) -> int:
    """ "20260131:170500", as with `hdfs dfs`, or "2026-01-31T17:05" as milliseconds since 1970."""
    try:
        if ":" in text and text.replace(":", "").isdigit():
            found = datetime.strptime(text, "%Y%m%d:%H%M%S")
        else:
            found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: write 20260131:170500 or 2026-01-31T17:05"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1000)


@click.command(epilog="Example: pydfsnode fs touch -m -t 20260131:170500 /reports/a")
@paths_argument
@click.option("-a", "only_access", is_flag=True, help="Only the time of the last access.")
@click.option("-m", "only_change", is_flag=True, help="Only the time of the last change.")
@click.option("-t", "at_ms", type=parse_moment, metavar="TIME",
              help="Not now but then, UTC: 20260131:170500 or 2026-01-31T17:05.")  # fmt: skip
@click.option("-c", "no_create", is_flag=True, help="Make no file.")
@client_config_option
def touch(
    paths: tuple[str, ...],
    only_access: bool,
    only_change: bool,
    at_ms: int | None,
    no_create: bool,
) -> None:
    """Set the times of files and directories; make empty files where nothing is."""
    both = only_access == only_change

    async def touch_one(fs: AsyncFileSystem, path: str) -> None:
        status = await _info_or_none(fs, path)
        if status is None:
            if no_create:
                return
            await _make_empty(fs, path)
            if at_ms is None:
                return
        then_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        await fs.set_times(
            path,
            mtime_ms=then_ms if both or only_change else None,
            atime_ms=then_ms if both or only_access else None,
        )

    for_each(paths, touch_one, changes=True, at_once=FILES_AT_ONCE)


@click.command(epilog="Example: pydfsnode fs touchz /reports/_SUCCESS")
@paths_argument
@client_config_option
def touchz(paths: tuple[str, ...]) -> None:
    """Make empty files; an empty one that is there gets the time of now."""

    async def touch_one(fs: AsyncFileSystem, path: str) -> None:
        status = await _info_or_none(fs, path)
        if status is None:
            await _make_empty(fs, path)
        elif status.is_directory:
            raise IsADirectory(f"'{path}' is a directory")
        elif status.size or status.under_construction:
            raise InvalidArgument(f"'{path}': Not a zero-length file")
        else:
            now_ms = time.time_ns() // 1_000_000
            await fs.set_times(path, mtime_ms=now_ms, atime_ms=now_ms)

    for_each(paths, touch_one, changes=True, at_once=FILES_AT_ONCE)


async def _info_or_none(fs: AsyncFileSystem, path: str) -> FileStatus | None:
    try:
        return await fs.info(path, consistency=LINEARIZABLE)
    except NotFound:
        return None


async def _make_empty(fs: AsyncFileSystem, path: str) -> None:
    await fs.info(parent(path), consistency=LINEARIZABLE)  # NotFound: a writer would make it
    await fs.pipe_file(path, b"", overwrite=False)

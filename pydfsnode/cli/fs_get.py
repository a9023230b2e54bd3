"""`fs get`, `fs getmerge`: files and trees of the cluster to local ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_cat import print_file
from pydfsnode.cli.fs_copy import (
    STANDARD,
    Telling,
    accepted_option,
    force_option,
    preserve_option,
    queue_option,
    resume_option,
    threads_option,
    tree_option,
)
from pydfsnode.cli.fs_paths import Refusals, expanded, for_each, run
from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.errors import IsADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.copy import Around
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus
    from pydfsnode.client.part_file import PartFile

RESUME_HINT = "; 'fs get --resume' copies only the rest"
PIECE_BYTES = 4 * 1024 * 1024


@click.command(
    epilog="""\b
Example: pydfsnode fs get '/reports/*.pdf' .
Example: pydfsnode fs get --resume --verify /backup/photos photos
Example: pydfsnode fs get /backup/shop.sql - | psql shop
"""
)
@click.argument(
    "paths", metavar="PATH... [LOCAL]", nargs=-1, required=True, type=ClusterPath(local=True)
)
@force_option
@preserve_option
@resume_option
@threads_option
@click.option(
    "--verify", is_flag=True, help="Compare each whole file's checksum with the masters' too."
)
@tree_option
@accepted_option(
    "-crc", "-ignoreCrc", is_flag=True, why="checksums are always checked, and need no file."
)
@queue_option
@consistency_option
@json_option
@client_config_option
def get(
    paths: tuple[str, ...],
    force: bool,
    preserve: bool,
    resume: bool,
    threads: int | None,
    verify: bool,
    recursive: bool,
    as_json: bool,
) -> None:
    """Copy files and trees from the cluster; into LOCAL when that is a directory.

    LOCAL is the current directory when only one PATH is given; "-" is standard output. Every block
    that is read is checked, also without --verify. A file appears under its name when it is whole;
    what is not is removed, also after Ctrl-C.

    --resume compares checksums, not sizes or times. What it receives of a large file stays, hidden,
    when it is interrupted, and the next --resume goes on within the file; so it does in a file that
    holds the beginning. Another content is replaced with -f only.
    """
    sources, destination = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")
    if destination == STANDARD:
        for_each(sources, print_file)
        return
    lpath = Path(destination)

    async def copy_all(fs: AsyncFileSystem, refusals: Refusals) -> None:
        from pydfsnode.client.copy import get as copy

        found = [path async for path in expanded(fs, sources, refusals)]
        telling = Telling(as_json, RESUME_HINT)
        around, into = None, None
        if resume:
            around, into = await _resumed(fs, found, lpath, force, telling)
        if preserve:
            around = _preserved(fs, telling, around)
        await telling.run(
            copy(
                fs, found, lpath, parallel=threads or fs.parallel, overwrite=force, verify=verify,
                watcher=telling.progress, around=around, into=into,
            ),
            lambda: fs.stalest,
        )  # fmt: skip

    run(copy_all)


async def _resumed(
    fs: AsyncFileSystem, sources: list[str], lpath: Path, force: bool, telling: Telling
) -> tuple[Around, bool]:
    from pydfsnode.client.resume import ResumedGet, get_goes_into

    around = ResumedGet(fs, overwrite=force, on_skipped=telling.progress.skipped)
    return around, await get_goes_into(fs, sources, lpath)


def _preserved(fs: AsyncFileSystem, telling: Telling, around: Around | None) -> Around:
    from pydfsnode.client.preserve import cluster_to_local

    return telling.preserving(around, cluster_to_local(fs))


@click.command(epilog="Example: pydfsnode fs getmerge -nl '/jobs/7/part-*' result.csv")
@click.argument("sources", metavar="PATH...", nargs=-1, required=True, type=ClusterPath())
@click.argument("local", metavar="LOCAL", type=click.Path())
@click.option("-nl", "line_ends", is_flag=True, help="A line end behind each file.")
@click.option("-skip-empty-file", "skip_empty", is_flag=True, help="None behind empty files.")
@consistency_option
@client_config_option
def getmerge(sources: tuple[str, ...], local: str, line_ends: bool, skip_empty: bool) -> None:
    """Write files, or those of a directory by name, one behind the other into one local file.

    LOCAL is replaced when all of it is there, and stays as it is after an error.
    """

    async def merge(fs: AsyncFileSystem, refusals: Refusals) -> None:
        from pydfsnode.client.part_file import PartFile

        part = PartFile(Path(local))
        try:
            async for path in expanded(fs, sources, refusals):
                for status in await _files(fs, path):
                    if status.size:
                        await _add(fs, status.path, part)
                    if line_ends and (status.size or not skip_empty):
                        await asyncio.to_thread(part.write, [b"\n"])
            if not refusals.count:
                await asyncio.to_thread(part.commit)
        finally:
            part.discard()

    run(merge)


async def _files(fs: AsyncFileSystem, path: str) -> list[FileStatus]:
    """The file at *path*, or those in that directory."""
    found = await fs.ls(path)
    if found and all(status.is_directory for status in found):
        raise IsADirectory(f"'{path}' holds only directories: name those whose files you want")
    if not found:
        raise NotFound(f"'{path}' holds no file")
    return [status for status in found if not status.is_directory]


async def _add(fs: AsyncFileSystem, path: str, part: PartFile) -> None:
    from contextlib import aclosing

    async with await fs.open_reader(path) as reader, aclosing(reader.packets()) as packets:
        async for packet in packets:
            await asyncio.to_thread(part.write, [packet])

"""`fs put`, `fs moveFromLocal`: local files and trees into the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_cat import pieces
from pydfsnode.cli.fs_copy import (
    STANDARD,
    Telling,
    direct_option,
    force_option,
    preserve_option,
    queue_option,
    resume_option,
    threads_option,
    tree_option,
)
from pydfsnode.cli.fs_paths import Refusals, run
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.path_type import ClusterPath, LocalPath

if TYPE_CHECKING:
    from pydfsnode.client.copy import Around
    from pydfsnode.client.filesystem import AsyncFileSystem

RESUME_HINT = "; 'fs put --resume' copies only the rest"


@click.command(
    epilog="""\b
Example: pydfsnode fs put report.pdf photos /user/ann
Example: pydfsnode fs put --resume -t 16 photos /backup   (again, after Ctrl-C)
Example: pg_dump shop | pydfsnode fs put - /backup/shop.sql
"""
)
@click.argument("sources", metavar="LOCAL...", nargs=-1, required=True, type=LocalPath())
@click.argument("destination", metavar="PATH", type=ClusterPath())
@force_option
@preserve_option
@resume_option
@threads_option
@click.option("--replication", type=click.IntRange(1, 16), help="Copies of each chunk.")
@click.option("-l", "lazy", is_flag=True, help="One copy of each chunk, as with `hdfs dfs`.")
@tree_option
@direct_option
@queue_option
@json_option
@client_config_option
def put(
    sources: tuple[str, ...],
    destination: str,
    force: bool,
    preserve: bool,
    resume: bool,
    threads: int | None,
    replication: int | None,
    lazy: bool,
    recursive: bool,
    as_json: bool,
) -> None:
    """Copy local files and trees to the cluster; into PATH when that is a directory.

    LOCAL "-" is standard input. Several files are copied at once. What cannot be copied is told and
    the others still are. A file appears under its name when it is whole and durable; after Ctrl-C
    those that are whole stay and the line on standard error counts them.

    --resume compares checksums, not sizes or times, and goes on within a file that holds the
    beginning of the local one. Another content is replaced with -f only.
    """
    if STANDARD in sources and len(sources) > 1:
        raise click.UsageError("'-' (standard input) cannot be one of several sources")
    if STANDARD in sources and (resume or preserve):
        raise click.UsageError("'-' (standard input) has nothing to resume or preserve")

    async def copy_all(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        if replication is not None or lazy:
            fs.replication = replication or 1
        if sources == (STANDARD,):
            await _put_standard_input(fs, destination, force)
            return
        telling = Telling(as_json, RESUME_HINT)
        around, into = None, None
        if resume:
            around, into = await _resumed(fs, sources, destination, force, telling)
        if preserve:
            around = _preserved(fs, telling, around)
        await _run(fs, telling, sources, destination, force, threads, around, into)

    run(copy_all)


@click.command("moveFromLocal", epilog="Example: pydfsnode fs moveFromLocal scan-*.tif /archive")
@click.argument("sources", metavar="LOCAL...", nargs=-1, required=True, type=LocalPath())
@click.argument("destination", metavar="PATH", type=ClusterPath())
@force_option
@threads_option
@json_option
@client_config_option
def move_from_local(
    sources: tuple[str, ...], destination: str, force: bool, threads: int | None, as_json: bool
) -> None:
    """As put, and delete each local file once it is in the cluster, durable."""

    async def move_all(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        from pydfsnode.client.moving import Moving

        moving = Moving()
        telling = Telling(as_json, "; those are deleted here")
        try:
            await _run(fs, telling, sources, destination, force, threads, moving, None)
        finally:
            moving.remove_empty_directories()

    run(move_all)


async def _run(
    fs: AsyncFileSystem,
    telling: Telling,
    sources: tuple[str, ...],
    destination: str,
    force: bool,
    threads: int | None,
    around: Around | None,
    into: bool | None,
) -> None:
    from pydfsnode.client.copy import put as copy

    await telling.run(
        copy(
            fs,
            [Path(source) for source in sources],
            destination,
            parallel=threads or fs.parallel,
            overwrite=force,
            watcher=telling.progress,
            around=around,
            into=into,
        )
    )


async def _resumed(
    fs: AsyncFileSystem, sources: tuple[str, ...], destination: str, force: bool, telling: Telling
) -> tuple[Around, bool]:
    from pydfsnode.client.resume import ResumedPut, put_goes_into

    around = ResumedPut(fs, overwrite=force, on_skipped=telling.progress.skipped)
    return around, await put_goes_into(fs, [Path(source) for source in sources], destination)


def _preserved(fs: AsyncFileSystem, telling: Telling, around: Around | None) -> Around:
    from pydfsnode.client.preserve import local_to_cluster

    return telling.preserving(around, local_to_cluster(fs))


async def _put_standard_input(fs: AsyncFileSystem, path: str, force: bool) -> None:
    async with await fs.open_writer(path, overwrite=force) as writer:
        async for piece in pieces(STANDARD):
            await writer.write(piece)

"""`fs put`, `fs get`, `fs cat`: bytes in and out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, aclosing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pydfsnode.cli.fs_paths import Refusals, expanded, for_each, paths_argument, run
from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import freshness_json, print_json
from pydfsnode.cli.progress import CopyProgress, summary_json, summary_line

if TYPE_CHECKING:
    from pydfsnode.client.copy import CopyReport
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Freshness

PIECE_BYTES = 1024 * 1024
STANDARD = "-"

_force_option = click.option("-f", "force", is_flag=True, help="Overwrite what exists.")
_recursive_option = click.option(
    "-r", "-R", "recursive", is_flag=True, help="Accepted; directories are always copied whole."
)


@click.command(epilog="Example: pydfsnode fs put report.pdf photos /user/ann")
@click.argument("sources", metavar="LOCAL...", nargs=-1, required=True)
@click.argument("destination", metavar="PATH")
@_force_option
@_recursive_option
@click.option("--replication", type=click.IntRange(1, 16), help="Copies of each chunk.")
@json_option
@client_config_option
def put(
    sources: tuple[str, ...],
    destination: str,
    force: bool,
    recursive: bool,
    replication: int | None,
    as_json: bool,
) -> None:
    """Copy local files and trees to the cluster; into PATH when that is a directory.

    LOCAL "-" is standard input.
    """

    async def copy(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        if replication is not None:
            fs.replication = replication
        if sources == (STANDARD,):
            await _put_standard_input(fs, destination, force)
            return
        with CopyProgress() as progress:
            report = await fs.put(sources, destination, overwrite=force, watcher=progress)
        _tell(report, progress.seconds, as_json)

    if STANDARD in sources and len(sources) > 1:
        raise click.UsageError("'-' (standard input) cannot be one of several sources")
    run(copy)


@click.command(epilog="Example: pydfsnode fs get '/reports/*.pdf' .")
@click.argument("paths", metavar="PATH... [LOCAL]", nargs=-1, required=True)
@_force_option
@_recursive_option
@click.option(
    "--verify", is_flag=True, help="Compare each whole file's checksum with the masters' too."
)
@consistency_option
@json_option
@client_config_option
def get(paths: tuple[str, ...], force: bool, recursive: bool, verify: bool, as_json: bool) -> None:
    """Copy files and trees from the cluster; into LOCAL when that is a directory.

    LOCAL is the current directory when only one PATH is given; "-" is standard output. Every block
    that is read is checked, also without --verify.
    """
    sources, destination = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")

    async def copy(fs: AsyncFileSystem, refusals: Refusals) -> None:
        found = [path async for path in expanded(fs, sources, refusals)]
        with CopyProgress() as progress:
            report = await fs.get(
                found, destination, overwrite=force, verify=verify, watcher=progress
            )
        _tell(report, progress.seconds, as_json, fs.stalest)

    if destination == STANDARD:
        for_each(sources, _print_file)
    else:
        run(copy)


@click.command(epilog="Example: pydfsnode fs cat '/logs/*.txt' | grep error")
@paths_argument
@consistency_option
@client_config_option
def cat(paths: tuple[str, ...]) -> None:
    """Print files to standard output."""
    for_each(paths, _print_file)


async def _print_file(fs: AsyncFileSystem, path: str) -> None:
    await print_range(fs, path, 0, None)


async def print_range(fs: AsyncFileSystem, path: str, start: int, end: int | None) -> int:
    """Print the bytes [start, end) of a file, cut at its end; returns where that was."""
    position = start
    async with (
        await fs.open_reader(path) as reader,
        aclosing(reader.packets(start, end)) as packets,
    ):
        async for packet in packets:
            sys.stdout.buffer.write(packet)
            position += len(packet)
    sys.stdout.buffer.flush()
    return position


def _opened(source: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if source == STANDARD else Path(source).open("rb")


async def pieces(source: str) -> AsyncIterator[bytes]:
    """A local file, or standard input for "-", piece by piece."""
    with _opened(source) as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def _put_standard_input(fs: AsyncFileSystem, path: str, force: bool) -> None:
    async with await fs.open_writer(path, overwrite=force) as writer:
        async for piece in pieces(STANDARD):
            await writer.write(piece)


def _tell(
    report: CopyReport, seconds: float, as_json: bool, stalest: Freshness | None = None
) -> None:
    if as_json:
        print_json(summary_json(report, seconds) | freshness_json(stalest))
    else:
        click.echo(summary_line(report, seconds))
    if report.failures:
        raise click.exceptions.Exit(1)

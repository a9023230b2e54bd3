"""`fs put`, `fs get`, `fs cat`: bytes in and out."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import freshness_json, print_json
from pydfsnode.cli.progress import CopyProgress, summary_json, summary_line
from pydfsnode.cli.session import for_each, with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.copy import CopyReport
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Freshness

_PIECE_BYTES = 1024 * 1024
STANDARD = "-"

_force_option = click.option("-f", "force", is_flag=True, help="Overwrite what exists.")
_recursive_option = click.option(
    "-r", "-R", "recursive", is_flag=True, help="Accepted; directories are always copied whole."
)


@click.command()
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

    async def copy(fs: AsyncFileSystem) -> None:
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
    with_file_system(copy)


@click.command()
@click.argument("paths", metavar="PATH... [LOCAL]", nargs=-1, required=True)
@_force_option
@_recursive_option
@consistency_option
@json_option
@client_config_option
def get(paths: tuple[str, ...], force: bool, recursive: bool, as_json: bool) -> None:
    """Copy files and trees from the cluster; into LOCAL when that is a directory.

    LOCAL is the current directory when only one PATH is given; "-" is standard output.
    """
    sources, destination = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, ".")

    async def copy(fs: AsyncFileSystem) -> None:
        with CopyProgress() as progress:
            report = await fs.get(sources, destination, overwrite=force, watcher=progress)
        _tell(report, progress.seconds, as_json, fs.stalest)

    if destination == STANDARD:
        for_each(sources, _print_file)
    else:
        with_file_system(copy)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@consistency_option
@client_config_option
def cat(paths: tuple[str, ...]) -> None:
    """Print files to standard output."""
    for_each(paths, _print_file)


async def _print_file(fs: AsyncFileSystem, path: str) -> None:
    async with await fs.open_reader(path) as reader, aclosing(reader.packets()) as packets:
        async for packet in packets:
            sys.stdout.buffer.write(packet)
    sys.stdout.buffer.flush()


async def _put_standard_input(fs: AsyncFileSystem, path: str, force: bool) -> None:
    async with await fs.open_writer(path, overwrite=force) as writer:
        while piece := await asyncio.to_thread(sys.stdin.buffer.read, _PIECE_BYTES):
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

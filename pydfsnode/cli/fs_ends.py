"""`fs head`, `fs tail`: the beginning and the end of files."""

from __future__ import annotations

from asyncio import sleep
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_cat import print_range
from pydfsnode.cli.fs_paths import for_each, paths_argument
from pydfsnode.cli.fs_size import parse_size
from pydfsnode.cli.options import client_config_option, consistency_option
from pydfsnode.cli.output import note
from pydfsnode.cli.path_type import ClusterPath

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

_bytes_option = click.option(
    "-c",
    "count",
    type=parse_size,
    default="1K",
    show_default=True,
    metavar="BYTES",
    help="How many.",
)


@click.command(epilog="Example: pydfsnode fs head -c 4K /reports/a")
@paths_argument
@_bytes_option
@consistency_option
@client_config_option
def head(paths: tuple[str, ...], count: int) -> None:
    """Print the first kilobyte of files."""

    async def show(fs: AsyncFileSystem, path: str) -> None:
        await print_range(fs, path, 0, count)

    for_each(paths, show)


@click.command(epilog="Example: pydfsnode fs tail -f /logs/today")
@click.argument("path", type=ClusterPath())
@_bytes_option
@click.option("-f", "follow", is_flag=True, help="Go on as the file grows, until interrupted.")
@click.option("-s", "interval", type=click.FloatRange(min=0.1), default=1.0, metavar="SECONDS",
              show_default=True, help="With -f: how often to look.")  # fmt: skip
@consistency_option
@client_config_option
def tail(path: str, count: int, follow: bool, interval: float) -> None:
    """Print the last kilobyte of a file.

    -f shows what a writer has finished: whole chunks, and the rest when it closes the file.
    """

    async def show(fs: AsyncFileSystem, path: str) -> None:
        size = (await fs.info(path)).size
        position = await print_range(fs, path, max(0, size - count), size)
        while follow:
            await sleep(interval)
            size = (await fs.info(path)).size
            if size < position:
                note(f"{path} was truncated")
                position = size
            elif size > position:
                position = await print_range(fs, path, position, size)

    for_each([path], show)

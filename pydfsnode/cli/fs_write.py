"""`fs append`, `fs truncate`, `fs concat`: changing the content of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_cat import pieces
from pydfsnode.cli.fs_copy import STANDARD
from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, expanded, for_each, paths_argument, run
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import Rows
from pydfsnode.cli.path_type import ClusterPath, LocalPath
from pydfsnode.errors import NotFound

if TYPE_CHECKING:
    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem


@click.command(epilog="Example: date | pydfsnode fs append - /logs/today")
@click.argument("sources", metavar="LOCAL...", nargs=-1, required=True, type=LocalPath())
@click.argument("path", type=ClusterPath())
@client_config_option
def append(sources: tuple[str, ...], path: str) -> None:
    """Add local files, or "-" for standard input, to the end of PATH.

    PATH is made if it is not there.
    """
    if STANDARD in sources and len(sources) > 1:
        raise click.UsageError("'-' (standard input) cannot be one of several sources")
    for source in sources:
        if source != STANDARD:
            Path(source).open("rb").close()  # nothing is appended when one cannot be read

    async def add(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        async with await _writer(fs, path) as writer:
            for source in sources:
                async for piece in pieces(source):
                    await writer.write(piece)

    run(add)


async def _writer(fs: AsyncFileSystem, path: str) -> AsyncFileWriter:
    try:
        return await fs.append(path)
    except NotFound:
        return await fs.open_writer(path, overwrite=False)


@click.command(epilog="Example: pydfsnode fs truncate 1000 /logs/today")
@click.argument("size", type=click.IntRange(min=0))
@paths_argument
@click.option("-w", "wait", is_flag=True, help="Accepted; it always waits until it is done.")
@json_option
@client_config_option
def truncate(size: int, paths: tuple[str, ...], wait: bool, as_json: bool) -> None:
    """Cut files to their first SIZE bytes."""

    async def cut(fs: AsyncFileSystem, path: str) -> None:
        await fs.truncate(path, size)
        rows.add(f"Truncated {path} to length: {size}", path=path, size=size)

    with Rows(as_json) as rows:
        for_each(paths, cut, changes=True)


@click.command(epilog="Example: pydfsnode fs concat /logs/all '/logs/part-*'")
@click.argument("target", type=ClusterPath())
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=ClusterPath())
@client_config_option
def concat(target: str, sources: tuple[str, ...]) -> None:
    """Move the content of the SOURCEs, in order, to the end of TARGET, without copying.

    The SOURCEs are gone afterwards. It is one step: all or nothing.
    """

    async def join(fs: AsyncFileSystem, refusals: Refusals) -> None:
        found = [path async for path in expanded(fs, sources, refusals, LINEARIZABLE)]
        if not refusals.count:
            await fs.concat(target, found)

    run(join)

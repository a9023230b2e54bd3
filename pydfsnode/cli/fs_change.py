"""`fs mkdir`, `fs mv`: changing where things are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, expanded, for_each, paths_argument, run
from pydfsnode.cli.options import client_config_option
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.errors import NotADirectory

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem


@click.command(epilog="Example: pydfsnode fs mkdir -p /reports/2026/01")
@paths_argument
@click.option("-p", "parents", is_flag=True, help="Parents too; no error if it exists.")
@client_config_option
def mkdir(paths: tuple[str, ...], parents: bool) -> None:
    """Make directories."""

    async def make(fs: AsyncFileSystem, path: str) -> None:
        if parents:
            await fs.makedirs(path, exist_ok=True)
        else:
            await fs.mkdir(path, create_parents=False)

    for_each(paths, make, changes=True)


@click.command(epilog="Example: pydfsnode fs mv '/incoming/*.csv' /reports")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=ClusterPath())
@click.argument("destination", type=ClusterPath())
@client_config_option
def mv(sources: tuple[str, ...], destination: str) -> None:
    """Move or rename, in one step; into DESTINATION when that is a directory."""

    async def move_all(fs: AsyncFileSystem, refusals: Refusals) -> None:
        found = [path async for path in expanded(fs, sources, refusals, LINEARIZABLE)]
        if len(found) > 1 and not await fs.isdir(destination, consistency=LINEARIZABLE):
            raise NotADirectory(f"'{destination}' is not a directory: cannot move several into it")
        for source in found:
            await refusals.around(fs.mv(source, destination))

    run(move_all)

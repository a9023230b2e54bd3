"""`fs mkdir`, `fs mv`, `fs rm`: changing the namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import client_config_option
from pydfsnode.cli.session import for_each
from pydfsnode.errors import NotADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

_paths_argument = click.argument("paths", metavar="PATH...", nargs=-1, required=True)


@click.command()
@_paths_argument
@click.option("-p", "parents", is_flag=True, help="Parents too; no error if it exists.")
@client_config_option
def mkdir(paths: tuple[str, ...], parents: bool) -> None:
    """Make directories."""

    async def make(fs: AsyncFileSystem, path: str) -> None:
        if parents:
            await fs.makedirs(path, exist_ok=True)
        else:
            await fs.mkdir(path, create_parents=False)

    for_each(paths, make)


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("destination")
@client_config_option
def mv(sources: tuple[str, ...], destination: str) -> None:
    """Move or rename, in one step; into DESTINATION when that is a directory."""

    async def move(fs: AsyncFileSystem, source: str) -> None:
        if len(sources) > 1 and not await fs.isdir(destination, consistency="linearizable"):
            raise NotADirectory(f"{destination} is not a directory: cannot move several into it")
        await fs.mv(source, destination)

    for_each(sources, move)


@click.command()
@_paths_argument
@click.option("-r", "-R", "recursive", is_flag=True, help="Directories with all they hold.")
@click.option("-f", "force", is_flag=True, help="No error for what does not exist.")
@client_config_option
def rm(paths: tuple[str, ...], recursive: bool, force: bool) -> None:
    """Delete files and, with -r, trees."""

    async def remove(fs: AsyncFileSystem, path: str) -> None:
        try:
            count = await fs.rm(path, recursive)
        except NotFound:
            if not force:
                raise
            return
        more = f" and {count - 1:,} below it" if count > 1 else ""
        click.echo(f"deleted {path}{more}")

    for_each(paths, remove)

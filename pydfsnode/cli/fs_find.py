"""`fs find`: files and directories by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_glob import shell_pattern
from pydfsnode.cli.fs_paths import for_each, paths_argument
from pydfsnode.cli.fs_status import status_json
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

_TYPES = {"f": "file", "d": "directory"}


@click.command(epilog="Example: pydfsnode fs find /logs -name '*.gz' -type f")
@paths_argument
@click.option("-name", "name", metavar="PATTERN", help="Names that match: * ? [a-z].")
@click.option("-iname", "iname", metavar="PATTERN", help="In place of -name: A is as a.")
@click.option("-type", "type_", type=click.Choice(list(_TYPES)), help="Only files or directories.")
@click.option("-a", "-and", "both", is_flag=True, help="Accepted; all that is given must hold.")
@click.option("-print", "plainly", is_flag=True, help="Accepted; paths are always printed.")
@click.option("-print0", "zeros", is_flag=True, help="A NUL behind each path, not a line end.")
@json_option
@client_config_option
def find(
    paths: tuple[str, ...],
    name: str | None,
    iname: str | None,
    type_: str | None,
    both: bool,
    plainly: bool,
    zeros: bool,
    as_json: bool,
) -> None:
    """Find files and directories by name: each PATH itself and everything below it."""
    found: list[dict[str, Any]] = []
    if name is not None and iname is not None:
        raise click.UsageError("give -name or -iname")
    pattern = shell_pattern(name or "*") if iname is None else shell_pattern(iname, any_case=True)

    async def search(fs: AsyncFileSystem, path: str) -> None:
        wanted = None if type_ is None else _TYPES[type_]
        async for status in fs.find(path, pattern, wanted):
            if as_json:
                found.append(status_json(status))
            else:
                click.echo(status.path, nl=not zeros)
                if zeros:
                    click.echo("\0", nl=False)

    try:
        for_each(paths, search)
    finally:
        if as_json:
            print_json(found)

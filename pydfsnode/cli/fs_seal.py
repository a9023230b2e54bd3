"""`fs seal`: how what is written below a directory lies on the chunkservers' disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

XATTR = "trusted.seal"
DEFAULT = "default"


@click.command(epilog="Example: pydfsnode fs seal /scratch off")
@click.argument("path", metavar="DIR", type=ClusterPath())
@click.argument("choice", type=click.Choice(["on", "off", "file", DEFAULT]), required=False)
@json_option
@client_config_option
def seal(path: str, choice: str | None, as_json: bool) -> None:
    """Choose whether chunks below DIR are sealed at rest, or show the choice; for superusers.

    It holds for what is written from then on, and for the copies that repair makes, unless a
    directory further down has its own choice. Default: as the directory above, at the top as the
    masters' seal_chunks says.

    With 'file' each file that is made from then on has a key of its own, too: some hours after it
    was deleted nobody can open what is left of it anywhere.
    """

    async def work(fs: AsyncFileSystem) -> str:
        from pydfsnode.errors import NotADirectory

        xattrs = await fs.xattrs(path)
        found = xattrs.get(XATTR, DEFAULT.encode()).decode(errors="replace")
        if choice is None or choice == found:
            return found
        if not (await fs.info(path)).is_directory:
            raise NotADirectory(f"{path} is a file: its directory decides", path=path)
        if choice == DEFAULT:
            await fs.remove_xattr(path, XATTR)
        else:
            await fs.set_xattr(path, XATTR, choice.encode())
        return choice

    found = with_file_system(work)
    if as_json:
        print_json({"path": path, "seal": found})
    elif choice is None:
        click.echo(found)

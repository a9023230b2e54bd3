"""`fs chmod`, `fs chown`, `fs chgrp`: who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_mode import parse_mode
from pydfsnode.cli.fs_paths import paths_argument, recursive_option
from pydfsnode.cli.fs_trees import for_each_entry
from pydfsnode.cli.options import client_config_option

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

_recursive_option = recursive_option("Everything below, too.")


# "-x" and "-w" are modes, as in "chmod -x FILE".
@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: pydfsnode fs chmod -R u+rwX,go-w /reports",
)
@click.argument("mode")
@paths_argument
@_recursive_option
@client_config_option
def chmod(mode: str, paths: tuple[str, ...], recursive: bool) -> None:
    """Change modes: octal (750, 1777) or letters (u+x,g-w, a=r, +t)."""
    changed = parse_mode(mode)

    async def change(fs: AsyncFileSystem, status: FileStatus) -> None:
        wanted = changed(status.mode, status.is_directory)
        if wanted != status.mode:
            await fs.chmod(status.path, wanted)

    for_each_entry(paths, change, recursive=recursive)


@click.command(epilog="Example: pydfsnode fs chown -R ann:staff /user/ann")
@click.argument("owner", metavar="OWNER[:GROUP]")
@paths_argument
@_recursive_option
@client_config_option
def chown(owner: str, paths: tuple[str, ...], recursive: bool) -> None:
    """Change owners, groups or both: "ann", "ann:staff", ":staff". Owners need a superuser."""
    user, _, group = owner.partition(":")
    if not user and not group:
        raise click.UsageError(f"{owner!r} names neither an owner nor a group")
    _own(paths, user, group, recursive)


@click.command(epilog="Example: pydfsnode fs chgrp -R staff /reports")
@click.argument("group")
@paths_argument
@_recursive_option
@client_config_option
def chgrp(group: str, paths: tuple[str, ...], recursive: bool) -> None:
    """Change groups, of what is yours to a group that you are in."""
    _own(paths, "", group, recursive)


def _own(paths: tuple[str, ...], owner: str, group: str, recursive: bool) -> None:
    async def change(fs: AsyncFileSystem, status: FileStatus) -> None:
        await fs.chown(status.path, owner=owner, group=group)

    for_each_entry(paths, change, recursive=recursive)

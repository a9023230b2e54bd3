"""`fs expunge`: put aside what is in the trash, or delete it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pydfsnode.cli import fs_trash
from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, run
from pydfsnode.cli.fs_remove import empty_trash
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json
from pydfsnode.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

_SAME_SECOND_MAX = 9


@click.command(epilog="Example: pydfsnode fs expunge -immediate")
@click.option("-immediate", "--immediate", "immediate", is_flag=True, help="All of it, now.")
@json_option
@client_config_option
def expunge(immediate: bool, as_json: bool) -> None:
    """Put aside what you deleted lately, as a checkpoint named by its time.

    The masters delete each checkpoint by themselves, as soon as it is as old as their
    trash_keep_minutes. With -immediate: empty your trash, as 'fs trash empty'.
    """
    if immediate:
        empty_trash(as_json)
        return

    async def put_aside(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        made = await _checkpoint(fs, f"/user/{fs_trash.own_name()}/.Trash")
        if as_json:
            print_json({"checkpoint": made or None})
        elif made:
            click.echo(f"Created trash checkpoint: {made}")
        else:
            click.echo("Nothing was deleted since the last checkpoint")

    run(put_aside)


async def _checkpoint(fs: AsyncFileSystem, trash: str) -> str:
    """Rename what was thrown away lately by the masters' time; returns its new path, "" for none.

    The masters count the age from that name, so a clock that is wrong here must not matter.
    """
    current = f"{trash}/{fs_trash.CURRENT}"
    try:
        status = await fs.info(current, consistency=LINEARIZABLE)
    except NotFound:
        return ""
    if not status.child_count:
        return ""
    now_ms = (await fs.chmod(current, status.mode)).ctime_ms
    name = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%y%m%d%H%M%S")
    for free in (name, *(f"{name}-{again}" for again in range(1, _SAME_SECOND_MAX))):
        if not await fs.exists(f"{trash}/{free}", consistency=LINEARIZABLE):
            return (await fs.mv(current, f"{trash}/{free}")).path
    raise AlreadyExists(f"'{trash}/{name}' exists: try again in a second")

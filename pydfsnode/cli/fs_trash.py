"""`fs trash`: what was deleted, and how it comes back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, for_each, human_option, run
from pydfsnode.cli.fs_remove import empty_trash, in_trash
from pydfsnode.cli.fs_status import time_text
from pydfsnode.cli.options import client_config_option, given_client_config, json_option
from pydfsnode.cli.output import Rows, aligned_rows, print_json, short_size
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.client import paths as path_text
from pydfsnode.errors import NotADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

CURRENT = "Current"
_TAKEN = re.compile(r" \d{13}(-\d+)?")
"""What is put behind a name that is taken in the trash: the time, in ms since 1970."""

_user_option = click.option("--user", metavar="NAME", help="Whose trash [default: your own].")


@click.group()
@client_config_option
def group() -> None:
    """Your trash: what 'fs rm' moved there, until its time is over."""


@group.command("list", epilog="Example: pydfsnode fs trash list -h")
@_user_option
@human_option
@json_option
@client_config_option
def list_(user: str | None, human: bool, as_json: bool) -> None:
    """List what can be restored: when it was deleted (UTC), size, where it was, where it is.

    A directory that exists again is entered: what was deleted in it is listed.
    """
    found: list[dict[str, Any]] = []

    async def look(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        async for origin, status in restorable(fs, _trash_of(user)):
            size = (await fs.du(status.path)).bytes if status.is_directory else status.size
            found.append(
                {
                    "path": origin,
                    "trash": status.path,
                    "type": status.type,
                    "size": size,
                    "deleted_ms": status.ctime_ms,
                }
            )

    try:
        run(look)
    finally:
        if as_json:
            print_json(found)
        else:
            size = short_size if human else str
            rows = [
                (time_text(row["deleted_ms"]), size(row["size"]), row["path"], row["trash"])
                for row in found
            ]
            for line in aligned_rows(rows, (False, True, False, False)):
                click.echo(line)


async def restorable(fs: AsyncFileSystem, trash: str) -> AsyncIterator[tuple[str, FileStatus]]:
    """The topmost entries of *trash* whose place is free, with that place; newest checkpoint first.

    What was deleted lies below directories that were made for it: those exist outside, too.
    """
    for checkpoint in await _checkpoints(fs, trash):
        pending = [checkpoint]
        while pending:
            below: list[str] = []
            async for entry in fs.scandir(pending.pop(), consistency=LINEARIZABLE):
                origin = origin_of(checkpoint, entry.path)
                if entry.is_directory and await fs.isdir(origin, consistency=LINEARIZABLE):
                    below.append(entry.path)
                else:
                    yield origin, entry
            pending.extend(reversed(below))


async def _checkpoints(fs: AsyncFileSystem, trash: str) -> list[str]:
    """The directories of *trash*, the newest first; [] when there is no trash yet."""
    try:
        found = [entry.path for entry in await fs.ls(trash, consistency=LINEARIZABLE)]
    except NotFound:
        return []
    # Current is newer than all that are named by their time, as YYMMDDhhmmss.
    return sorted(found, key=lambda path: (path.endswith(f"/{CURRENT}"), path), reverse=True)


def origin_of(checkpoint: str, path: str) -> str:
    """Where what is at *path* was before it came into *checkpoint*."""
    names = path.removeprefix(checkpoint).split("/")
    return "/".join(_without_time(name) for name in names)


def _without_time(name: str) -> str:
    start, space, digits = name.rpartition(" ")
    return start if start and _TAKEN.fullmatch(space + digits) else name


@group.command(epilog="Example: pydfsnode fs trash restore /reports/2025")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=ClusterPath())
@_user_option
@json_option
@client_config_option
def restore(paths: tuple[str, ...], user: str | None, as_json: bool) -> None:
    """Take files and trees out of the trash, back to where they were.

    PATH is where it was, and the newest of that path comes back, or where it is in the trash.
    """

    async def restore_one(fs: AsyncFileSystem, path: str) -> None:
        trash = path if in_trash(path) else await _newest(fs, _trash_of(user), path)
        status = await fs.restore(trash)
        rows.add(f"Restored {status.path}", path=status.path, trash=trash)

    with Rows(as_json) as rows:
        for_each(paths, restore_one, changes=True)


async def _newest(fs: AsyncFileSystem, trash: str, path: str) -> str:
    """Where the newest of what was at *path* lies in *trash*."""
    path = path_text.normalize(path)
    for checkpoint in await _checkpoints(fs, trash):
        directory = path_text.join(checkpoint, path_text.parent(path))
        try:
            entries = await fs.ls(directory, consistency=LINEARIZABLE)
        except (NotFound, NotADirectory):
            continue
        found = [entry.path for entry in entries if origin_of(checkpoint, entry.path) == path]
        if found:
            return max(found)  # the first one has the bare name, later ones the time behind it
    raise NotFound(f"'{path}' is not in the trash {trash}: 'fs trash list' shows what is")


@group.command(epilog="Example: pydfsnode fs trash empty")
@json_option
@client_config_option
def empty(as_json: bool) -> None:
    """Delete all that is in your trash for good."""
    empty_trash(as_json)


def _trash_of(user: str | None) -> str:
    return f"/user/{user or own_name()}/.Trash"


def own_name() -> str:
    """The name in the client's certificate.

    Raises:
        ConfigError, CertificateInvalid: no or a wrong configuration or certificate.
    """
    from pydfsnode.config import load_client_config
    from pydfsnode.security.tls import TlsStore

    return TlsStore.load(load_client_config(given_client_config()).tls).identity.name

"""`fs rm`, `fs rmdir`: deleting, by way of the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, for_each, paths_argument, run
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import Rows, print_json
from pydfsnode.client import paths as path_text
from pydfsnode.errors import DirectoryNotEmpty, IsADirectory, NotADirectory, NotFound, QuotaExceeded

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem


@click.command(epilog="Example: pydfsnode fs rm -r '/reports/2025-*'")
@paths_argument
@click.option("-r", "-R", "recursive", is_flag=True, help="Directories with all they hold.")
@click.option("-f", "force", is_flag=True, help="No error for what does not exist.")
@click.option("-skipTrash", "--skip-trash", "skip_trash", is_flag=True, help="Delete at once.")
@json_option
@client_config_option
def rm(
    paths: tuple[str, ...], recursive: bool, force: bool, skip_trash: bool, as_json: bool
) -> None:
    """Move files and, with -r, trees to your trash, and say where they are.

    'fs trash restore' brings them back until the trash's time is over. What lies in a trash
    already is deleted.
    """

    async def remove(fs: AsyncFileSystem, path: str) -> None:
        try:
            if not recursive:
                await _require_file(fs, path)
            if skip_trash or in_trash(path):
                count = await fs.rm(path, recursive)
                more = f" and {count - 1:,} below it" if count > 1 else ""
                rows.add(f"Deleted {path}{more}", path=path, deleted=count)
            else:
                trash = await _to_trash(fs, path)
                rows.add(f"Moved: '{path}' to trash at: {trash}", path=path, trash=trash)
        except (NotFound, NotADirectory):
            if not force:
                raise

    with Rows(as_json) as rows:
        for_each(paths, remove, changes=True)


async def _require_file(fs: AsyncFileSystem, path: str) -> None:
    if (await fs.info(path, consistency=LINEARIZABLE)).is_directory:
        raise IsADirectory(f"'{path}' is a directory: -r removes it with all it holds")


async def _to_trash(fs: AsyncFileSystem, path: str) -> str:
    try:
        return await fs.trash(path)
    except QuotaExceeded as error:
        raise QuotaExceeded(
            f"{error.message}: it does not fit into your trash; -skipTrash deletes it at once"
        ) from None


def in_trash(path: str) -> bool:
    """Whether *path* is a user's trash or lies in one."""
    names = path_text.normalize(path).split("/")
    return names[1] == "user" and names[3:4] == [".Trash"]


@click.command(epilog="Example: pydfsnode fs rmdir /reports/2025")
@paths_argument
@click.option("--ignore-fail-on-non-empty", "lenient", is_flag=True, help="Leave what holds more.")
@client_config_option
def rmdir(paths: tuple[str, ...], lenient: bool) -> None:
    """Delete empty directories, past the trash."""

    async def remove(fs: AsyncFileSystem, path: str) -> None:
        if not await fs.isdir(path, consistency=LINEARIZABLE):
            await fs.info(path, consistency=LINEARIZABLE)
            raise NotADirectory(f"'{path}' is a file, not a directory")
        try:
            await fs.rm(path)
        except DirectoryNotEmpty:
            if not lenient:
                raise

    for_each(paths, remove, changes=True)


def empty_trash(as_json: bool) -> None:
    """Empty the caller's trash and say how much went."""

    async def empty(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        count = await fs.empty_trash()
        if as_json:
            print_json({"deleted": count})
        else:
            what = "file or directory" if count == 1 else "files and directories"
            click.echo(f"Deleted {count:,} {what}")

    run(empty)

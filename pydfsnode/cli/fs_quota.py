"""`fs quota`: how many names and bytes a directory may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import for_each, human_option, paths_argument
from pydfsnode.cli.fs_size import parse_size
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json, print_table, short_size

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem


@click.group(epilog="With HDFS these are `hdfs dfsadmin -setQuota` and its kin.")
@client_config_option
def group() -> None:
    """Quotas of directories. To set and clear them needs a superuser."""


@group.command(epilog="Example: pydfsnode fs quota show -h '/user/*'")
@paths_argument
@human_option
@json_option
@client_config_option
def show(paths: tuple[str, ...], human: bool, as_json: bool) -> None:
    """Show quotas, what is used and what is left.

    Names are files and directories, the directory itself included; bytes are of all replicas.
    """
    found: list[dict[str, Any]] = []

    async def look(fs: AsyncFileSystem, path: str) -> None:
        summary = await fs.du(path)
        found.append(
            {
                "path": path,
                "names_quota": summary.names_quota or None,
                "names_used": summary.directories + summary.files,
                "space_quota": summary.space_quota or None,
                "space_used_bytes": summary.bytes_replicated,
            }
        )

    try:
        for_each(paths, look)
    finally:
        if as_json:
            print_json(found)
        elif found:
            _print(found, human)


def _print(found: list[dict[str, Any]], human: bool) -> None:
    size = short_size if human else str
    print_table(
        ("PATH", "NAMES", "QUOTA", "LEFT", "SPACE", "QUOTA", "LEFT"),
        [
            (
                row["path"],
                str(row["names_used"]),
                *_limit(row["names_quota"], row["names_used"], str),
                size(row["space_used_bytes"]),
                *_limit(row["space_quota"], row["space_used_bytes"], size),
            )
            for row in found
        ],
        right="NAMES QUOTA LEFT SPACE",
    )


def _limit(quota: int | None, used: int, shown: Any) -> tuple[str, str]:
    if quota is None:
        return "none", "-"
    return shown(quota), shown(max(0, quota - used))


@group.command("set", epilog="Example: pydfsnode fs quota set --names 100000 --space 10T /user/ann")
@paths_argument
@click.option("--names", type=click.IntRange(min=1), metavar="N", help="Files and directories.")
@click.option("--space", type=parse_size, metavar="BYTES", help="Of all replicas: 500G.")
@client_config_option
def set_(paths: tuple[str, ...], names: int | None, space: int | None) -> None:
    """Set quotas. One below what is there already is allowed: nothing more fits then."""
    if names is None and space is None:
        raise click.UsageError("give --names N, --space BYTES or both")
    if space == 0:
        raise click.UsageError("a quota is at least 1 byte: 'fs quota clear' takes it away")

    async def change(fs: AsyncFileSystem, path: str) -> None:
        await fs.set_quota(path, names=names, space_bytes=space)

    for_each(paths, change, changes=True)


@group.command(epilog="Example: pydfsnode fs quota clear --space /user/ann")
@paths_argument
@click.option("--names", is_flag=True, help="Only that of names.")
@click.option("--space", is_flag=True, help="Only that of bytes.")
@client_config_option
def clear(paths: tuple[str, ...], names: bool, space: bool) -> None:
    """Take quotas away: both, or the one that is named."""
    both = names == space

    async def change(fs: AsyncFileSystem, path: str) -> None:
        await fs.set_quota(
            path, names=0 if both or names else None, space_bytes=0 if both or space else None
        )

    for_each(paths, change, changes=True)

"""`fs snapshot`: directories as they were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import for_each, run
from pydfsnode.cli.fs_status import time_text
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import aligned_rows, print_json
from pydfsnode.cli.path_type import ClusterPath

if TYPE_CHECKING:
    from pydfsnode.cli.fs_paths import Refusals
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Difference

NOW = "."
"""The name of the directory as it is, beside those of its snapshots; as with HDFS."""
_path_argument = click.argument("path", type=ClusterPath())


@click.group(epilog="With HDFS these are `hdfs dfs -createSnapshot`, `hdfs snapshotDiff` and kin.")
@client_config_option
def group() -> None:
    """Snapshots of directories: read them under DIRECTORY/.snapshot/NAME.

    Any directory can have them: there is no `-allowSnapshot`.
    """


@group.command(epilog="Example: pydfsnode fs snapshot create /reports before-cleanup")
@_path_argument
@click.argument("name", required=False)
@json_option
@client_config_option
def create(path: str, name: str | None, as_json: bool) -> None:
    """Keep a directory as it is now, at once, however large. NAME: else the time, UTC."""
    chosen = name or datetime.now(UTC).strftime("s%Y%m%d-%H%M%S.%f")[:-3]

    async def make(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        made = await fs.create_snapshot(path, chosen)
        if as_json:
            print_json({"path": path, "name": chosen, "snapshot": made})
        else:
            click.echo(f"Created snapshot {made}")

    run(make)


@group.command(epilog="Example: pydfsnode fs snapshot delete /reports before-cleanup")
@_path_argument
@click.argument("name")
@client_config_option
def delete(path: str, name: str) -> None:
    """Delete a snapshot; what only it held is freed."""
    run(lambda fs, _refusals: fs.delete_snapshot(path, name))


@group.command(epilog="Example: pydfsnode fs snapshot rename /reports s1 january")
@_path_argument
@click.argument("old")
@click.argument("new")
@client_config_option
def rename(path: str, old: str, new: str) -> None:
    """Give a snapshot another name."""
    run(lambda fs, _refusals: fs.rename_snapshot(path, old, new))


@group.command("list", epilog="Example: pydfsnode fs snapshot list /reports")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=ClusterPath())
@json_option
@client_config_option
def list_(paths: tuple[str, ...], as_json: bool) -> None:
    """List the snapshots of directories, oldest first: time (UTC), path."""
    found: list[dict[str, Any]] = []

    async def look(fs: AsyncFileSystem, path: str) -> None:
        for snapshot in sorted(await fs.snapshots(path), key=lambda one: one.created_ms):
            found.append(
                {
                    "path": f"{path.rstrip('/')}/.snapshot/{snapshot.name}",
                    "name": snapshot.name,
                    "created_ms": snapshot.created_ms,
                }
            )

    try:
        for_each(paths, look)
    finally:
        if as_json:
            print_json(found)
        else:
            rows = [(time_text(row["created_ms"]), row["path"]) for row in found]
            for line in aligned_rows(rows, (False, False)):
                click.echo(line)


@group.command(epilog="Example: pydfsnode fs snapshot diff /reports before-cleanup .")
@_path_argument
@click.argument("from_", metavar="FROM")
@click.argument("to", default=NOW)
@json_option
@client_config_option
def diff(path: str, from_: str, to: str, as_json: bool) -> None:
    """What changed from snapshot FROM to snapshot TO, or to now (".").

    + made, - deleted, M changed, R renamed, each with its path below the directory.
    """

    async def compare(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        differences = await fs.snapshot_diff(path, from_, "" if to == NOW else to)
        if as_json:
            print_json(differences)
            return
        now = "current directory" if to == NOW else f"snapshot {to}"
        click.echo(f"Difference between snapshot {from_} and {now} under directory {path}:")
        for difference in differences:
            click.echo(_line(difference))

    run(compare)


def _line(difference: Difference) -> str:
    """As `hdfs snapshotDiff`: "M\t.", "+\t./a", "R\t./b -> ./c"."""
    target = f" -> {_below(difference.target)}" if difference.target else ""
    return f"{difference.kind}\t{_below(difference.path)}{target}"


def _below(path: str) -> str:
    """*path* below the directory as "./a", the directory itself as "."."""
    below = path.removeprefix("./").lstrip("/")
    return "." if below in ("", ".") else f"./{below}"

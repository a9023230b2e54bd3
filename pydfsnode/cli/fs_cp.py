"""`fs cp`: copies within the cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_copy import (
    Telling,
    direct_option,
    force_option,
    queue_option,
    threads_option,
    tree_option,
)
from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, expanded, run
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.path_type import ClusterPath

if TYPE_CHECKING:
    from pydfsnode.client.copy import Around
    from pydfsnode.client.filesystem import AsyncFileSystem

_KEPT_DEFAULT = "top"
_KEPT = re.compile(r"-p([topax]*)")


class _Command(click.Command):
    """Takes the letters right behind -p, as `hdfs dfs -cp -ptopax` does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write -p with its letters as an option with a value."""
        return super().parse_args(ctx, [self._as_option(argument) for argument in args])

    def _as_option(self, argument: str) -> str:
        match = _KEPT.fullmatch(argument)
        return argument if match is None else f"--preserve={match[1] or _KEPT_DEFAULT}"


def _checked(_context: click.Context, _option: click.Parameter, letters: str) -> str:
    if not _KEPT.fullmatch(f"-p{letters}"):
        raise click.BadParameter(f"{letters!r}: the letters are t, o, p, a and x")
    return letters


@click.command(cls=_Command, epilog="Example: pydfsnode fs cp -p '/reports/2026-*' /archive")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=ClusterPath())
@click.argument("destination", type=ClusterPath())
@force_option
@click.option(
    "-p", "--preserve", "kept", metavar="[topax]", default="", callback=_checked,
    help="Keep times (t), owner and group (o), mode (p, a), attributes (x); -p alone: top.",
)  # fmt: skip
@threads_option
@tree_option
@direct_option
@queue_option
@json_option
@client_config_option
def cp(
    sources: tuple[str, ...],
    destination: str,
    force: bool,
    kept: str,
    threads: int | None,
    recursive: bool,
    as_json: bool,
) -> None:
    """Copy files and trees within the cluster; into DESTINATION when that is a directory.

    The content goes through this machine and is checked on the way.
    """

    async def copy_all(fs: AsyncFileSystem, refusals: Refusals) -> None:
        from pydfsnode.client.preserve import within_cluster
        from pydfsnode.client.tree_copy import copy

        found = [path async for path in expanded(fs, sources, refusals, LINEARIZABLE)]
        telling = Telling(as_json)
        around: Around | None = None
        if kept:
            what = kept.replace("a", "p")
            around = telling.preserving(None, within_cluster(fs, what))
        await telling.run(
            copy(
                fs, found, destination, parallel=threads or fs.parallel, overwrite=force,
                watcher=telling.progress, around=around,
            )
        )  # fmt: skip

    run(copy_all)

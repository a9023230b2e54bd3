"""`fs setrep`: how many copies files have."""

from __future__ import annotations

import time
from asyncio import sleep
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, paths_argument, run
from pydfsnode.cli.fs_trees import for_each_entry
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import Rows, note, plural
from pydfsnode.errors import NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

POLL_SECONDS = 1.0


@click.command(epilog="Example: pydfsnode fs setrep -w --timeout 60 2 /logs")
@click.argument("replication", type=click.IntRange(1, 16))
@paths_argument
@click.option("-R", "recursive", is_flag=True, help="Accepted; directories are always done whole.")
@click.option("-w", "wait", is_flag=True, help="Wait until every chunk has its copies.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="With -w: then say what is missing and exit with 1.",
)
@json_option
@client_config_option
def setrep(
    replication: int,
    paths: tuple[str, ...],
    recursive: bool,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Set how many copies files have, of a directory all files below it.

    Copies are made, and those that are too many deleted, in the background.
    """
    changed: list[str] = []

    async def change(fs: AsyncFileSystem, status: FileStatus) -> None:
        if status.is_directory:
            return
        await fs.set_replication(status.path, replication)
        changed.append(status.path)
        rows.add(
            f"Replication {replication} set: {status.path}",
            path=status.path, replication=replication,
        )  # fmt: skip

    async def wait_for_all(fs: AsyncFileSystem, refusals: Refusals) -> None:
        deadline = time.monotonic() + timeout
        live = len((await fs.cluster_status()).live_chunkservers())
        if live < replication:
            note(f"{plural(live, 'chunkserver')} live: {replication} copies cannot be made")
            raise click.exceptions.Exit(1)
        for path in changed:
            await refusals.around(_wait(fs, path, replication, deadline, refusals))

    with Rows(as_json) as rows:
        for_each_entry(paths, change, recursive=True)
        if wait:
            run(wait_for_all)


async def _wait(
    fs: AsyncFileSystem, path: str, replication: int, deadline: float, refusals: Refusals
) -> None:
    while missing := await _missing(fs, path, replication):
        if time.monotonic() >= deadline:
            note(f"{path}: {missing}; 'pydfsnode cluster status' says what goes on")
            refusals.count += 1
            return
        await sleep(POLL_SECONDS)


async def _missing(fs: AsyncFileSystem, path: str, replication: int) -> str:
    """What is to do for *path* to have *replication* copies of each chunk, "" for nothing."""
    try:
        found = await fs.locations(path, consistency=LINEARIZABLE)
    except NotFound:  # deleted meanwhile
        return ""
    copies = [len(chunk.replicas) for chunk in found.chunks if chunk.version]  # 0: inline
    few = sum(1 for count in copies if count < replication)
    many = sum(1 for count in copies if count > replication)
    said = [f"{plural(few, 'chunk')} with too few copies"] * bool(few)
    said += [f"{plural(many, 'chunk')} with too many"] * bool(many)
    return " and ".join(said)

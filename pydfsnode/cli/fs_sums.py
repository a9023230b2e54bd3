"""`fs du`, `fs count`, `fs df`: how much there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_copy import accepted_option
from pydfsnode.cli.fs_paths import Refusals, for_each, human_option, paths_argument, run
from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import aligned_rows, freshness_json, print_json, short_size

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Summary

SUMMARIES_AT_ONCE = 16
_snapshots_option = accepted_option("-x", is_flag=True, why="snapshots are never counted.")
_header_option = click.option("-v", "header", is_flag=True, help="A line with the columns' names.")


@click.command(epilog="Example: pydfsnode fs du -s -h '/user/*'")
@paths_argument
@click.option("-s", "summarize", is_flag=True, help="One total for each path.")
@_snapshots_option
@human_option
@_header_option
@consistency_option
@json_option
@client_config_option
def du(paths: tuple[str, ...], summarize: bool, human: bool, header: bool, as_json: bool) -> None:
    """Sum the sizes below a path: bytes, bytes with all replicas, path."""
    found: list[dict[str, Any]] = []

    async def sum_one(fs: AsyncFileSystem, path: str) -> None:
        entries = [path] if summarize else [entry.path for entry in await fs.ls(path)]
        limit = asyncio.Semaphore(SUMMARIES_AT_ONCE)

        async def total(entry: str) -> Summary:
            async with limit:
                return await fs.du(entry)

        totals = await asyncio.gather(*(total(entry) for entry in entries))
        found.extend(
            {
                "path": entry,
                "bytes": summary.bytes,
                "bytes_replicated": summary.bytes_replicated,
                "files": summary.files,
                "directories": summary.directories,
                **freshness_json(summary.freshness),
            }
            for entry, summary in zip(entries, totals, strict=True)
        )

    try:
        for_each(paths, sum_one)
    finally:
        if as_json:
            print_json(found)
        else:
            size = short_size if human else str
            rows: list[tuple[str, ...]] = [
                (size(f["bytes"]), size(f["bytes_replicated"]), f["path"]) for f in found
            ]
            _print(("SIZE", "DISK_SPACE_CONSUMED", "PATHNAME"), rows, header)


@click.command(epilog="Example: pydfsnode fs count -q -h -v /user/ann")
@paths_argument
@click.option("-q", "quotas", is_flag=True, help="Quotas too, and what is left of them.")
@_snapshots_option
@click.option("-u", "only_quotas", is_flag=True, help="Only quotas and what is left of them.")
@human_option
@_header_option
@consistency_option
@json_option
@client_config_option
def count(
    paths: tuple[str, ...],
    quotas: bool,
    only_quotas: bool,
    human: bool,
    header: bool,
    as_json: bool,
) -> None:
    """Count directories (the path itself too), files and bytes below a path.

    \b
    With -q first: quota of names, what is left of it, quota of bytes of all
    replicas, what is left of it ("none" and "inf" where there is none).
    """
    found: list[tuple[str, Summary]] = []

    async def count_one(fs: AsyncFileSystem, path: str) -> None:
        found.append((path, await fs.du(path)))

    def counted(path: str, summary: Summary) -> tuple[str, ...]:
        size = short_size if human else str
        shown: tuple[str, ...] = ()
        if quotas or only_quotas:
            names, space = summary.directories + summary.files, summary.bytes_replicated
            shown += _quota(summary.names_quota, names, str)
            shown += _quota(summary.space_quota, space, size)
        if not only_quotas:
            shown += (str(summary.directories), str(summary.files), size(summary.bytes))
        return (*shown, path)

    try:
        for_each(paths, count_one)
    finally:
        if as_json:
            print_json([_count_json(path, summary) for path, summary in found])
        else:
            head = ("QUOTA", "REM_QUOTA", "SPACE_QUOTA", "REM_SPACE_QUOTA") * (
                quotas or only_quotas
            )
            head += ("DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE") * (not only_quotas)
            _print((*head, "PATHNAME"), [counted(*one) for one in found], header)


def _quota(limit: int, used: int, shown: Any) -> tuple[str, str]:
    if not limit:
        return "none", "inf"
    left = limit - used
    return shown(limit), shown(left) if left >= 0 else f"-{shown(-left)}"


def _count_json(path: str, summary: Summary) -> dict[str, Any]:
    return {
        "path": path,
        "directories": summary.directories,
        "files": summary.files,
        "bytes": summary.bytes,
        "bytes_replicated": summary.bytes_replicated,
        "names_quota": summary.names_quota or None,
        "space_quota": summary.space_quota or None,
        **freshness_json(summary.freshness),
    }


@click.command(epilog="Example: pydfsnode fs df -h")
@human_option
@json_option
@client_config_option
def df(human: bool, as_json: bool) -> None:
    """Show how full the live chunkservers are: size, used, free, share used."""

    async def show(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        status = await fs.cluster_status()
        live = status.live_chunkservers()
        used = sum(server.used_bytes for server in live)
        free = sum(server.free_bytes for server in live)
        total = used + free
        if as_json:
            print_json({"size_bytes": total, "used_bytes": used, "free_bytes": free})
            return
        size = short_size if human else str
        share = f"{100 * used / total:.0f}%" if total else "-"
        row = (status.cluster_id, size(total), size(used), size(free), share)
        _print(("CLUSTER", "SIZE", "USED", "FREE", "USE%"), [row], header=True, names=1)

    run(show)


def _print(
    head: tuple[str, ...], rows: list[tuple[str, ...]], header: bool, names: int = 0
) -> None:
    """Print *rows*: numbers but for the last column, or for the first *names* columns."""
    numbers = [column >= names if names else column < len(head) - 1 for column in range(len(head))]
    for line in aligned_rows([head, *rows] if header else rows, numbers):
        click.echo(line)

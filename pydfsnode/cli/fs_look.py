"""`fs ls`, `fs stat`, `fs du`: looking without changing."""

from __future__ import annotations

import asyncio
import stat as stat_bits
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import aligned_rows, binary_size, freshness_json, print_json, short_size
from pydfsnode.cli.session import for_each

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus, Summary

PAGE_ROWS = 1000
"""Rows aligned together; a longer listing is printed as it comes."""
SUMMARIES_AT_ONCE = 16
_JSON_FIELDS = (
    "path", "type", "size", "replication", "owner", "group", "mode", "mtime_ms", "checksum",
    "chunk_bytes", "under_construction",
)  # fmt: skip
_paths_argument = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
_human_option = click.option("-h", "human", is_flag=True, help="Sizes for people: 1.5K, 20M.")


def status_json(status: FileStatus) -> dict[str, Any]:
    """What `--json` promises of a file or directory; mode is octal text, as in "0644"."""
    found = {name: getattr(status, name) for name in _JSON_FIELDS}
    found["mode"] = f"{status.mode:04o}"
    return found | freshness_json(status.freshness)


@click.command()
@_paths_argument
@click.option("-R", "-r", "recursive", is_flag=True, help="Everything below, too.")
@_human_option
@click.option("-d", "itself", is_flag=True, help="A directory itself, not its entries.")
@click.option("-C", "names_only", is_flag=True, help="Only paths.")
@consistency_option
@json_option
@client_config_option
def ls(
    paths: tuple[str, ...],
    recursive: bool,
    human: bool,
    itself: bool,
    names_only: bool,
    as_json: bool,
) -> None:
    """List directories: mode, replication, owner, group, size, time (UTC), path."""
    found: list[dict[str, Any]] = []

    async def list_one(fs: AsyncFileSystem, path: str) -> None:
        page: list[FileStatus] = []
        if itself:
            page.append(await fs.info(path))
        else:
            entries = _below(fs, path) if recursive else fs.scandir(path)
            async for entry in entries:
                page.append(entry)
                if len(page) == PAGE_ROWS and not as_json:
                    _print_entries(page, human, names_only)
                    page = []
        if as_json:
            found.extend(status_json(entry) for entry in page)
        else:
            _print_entries(page, human, names_only)

    try:
        for_each(paths, list_one)
    finally:
        if as_json:
            print_json(found)


async def _below(fs: AsyncFileSystem, path: str) -> Any:
    """As `find`, without a directory that was asked for itself."""
    first = True
    async for entry in fs.find(path):
        if not (first and entry.is_directory):
            yield entry
        first = False


def _print_entries(entries: list[FileStatus], human: bool, names_only: bool) -> None:
    if names_only:
        for entry in entries:
            click.echo(entry.path)
        return
    rows = [
        (
            mode_text(entry),
            "-" if entry.is_directory else str(entry.replication),
            entry.owner or "-",
            entry.group or "-",
            short_size(entry.size) if human else str(entry.size),
            time_text(entry.mtime_ms),
            entry.path,
        )
        for entry in entries
    ]
    for line in aligned_rows(rows, (False, True, False, False, True, False, False)):
        click.echo(line)


def mode_text(status: FileStatus) -> str:
    """As in "drwxr-xr-x"."""
    kind = stat_bits.S_IFDIR if status.is_directory else stat_bits.S_IFREG
    return stat_bits.filemode(kind | status.mode)


def time_text(at_ms: int) -> str:
    """Milliseconds since 1970 as "2026-01-31 17:05", UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


@click.command()
@_paths_argument
@consistency_option
@json_option
@client_config_option
def stat(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what is known of a path."""

    async def show(fs: AsyncFileSystem, path: str) -> None:
        status = await fs.info(path)
        if as_json:
            print_json(status_json(status))
            return
        click.echo(status.path)
        rows = [("type", status.type)]
        if status.is_directory:
            rows.append(("entries", str(status.child_count)))
        else:
            state = " (being written)" if status.under_construction else ""
            rows += [
                ("size", f"{status.size} ({binary_size(status.size)}){state}"),
                ("replication", str(status.replication)),
                ("chunk size", binary_size(status.chunk_bytes)),
                ("checksum", status.checksum or "-"),
            ]
        rows += [
            ("owner", f"{status.owner or '-'}:{status.group or '-'}"),
            ("mode", f"{status.mode:04o} {mode_text(status)}"),
            ("modified", f"{time_text(status.mtime_ms)} UTC"),
        ]
        for line in aligned_rows(rows, (False, False)):
            click.echo(f"  {line}")

    for_each(paths, show)


@click.command()
@_paths_argument
@click.option("-s", "summarize", is_flag=True, help="One total for each path.")
@_human_option
@consistency_option
@json_option
@client_config_option
def du(paths: tuple[str, ...], summarize: bool, human: bool, as_json: bool) -> None:
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
            rows = [(size(f["bytes"]), size(f["bytes_replicated"]), f["path"]) for f in found]
            for line in aligned_rows(rows, (True, True, False)):
                click.echo(line)

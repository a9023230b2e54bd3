"""`fs stat`, `fs checksum`: what is known of one path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import for_each, paths_argument
from pydfsnode.cli.fs_status import mode_text, status_json, time_text
from pydfsnode.cli.options import client_config_option, consistency_option, json_option
from pydfsnode.cli.output import Rows, aligned_rows, binary_size, print_json
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.errors import FileUnderConstruction, IsADirectory

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

_LETTERS: dict[str, Callable[[FileStatus], str]] = {
    "a": lambda status: f"{status.mode:o}",
    "A": lambda status: mode_text(status).rstrip("+")[1:],
    "b": lambda status: str(status.size),
    "F": lambda status: "directory" if status.is_directory else "regular file",
    "g": lambda status: status.group,
    "n": lambda status: status.name or "/",
    "o": lambda status: str(status.chunk_bytes),
    "r": lambda status: str(status.replication),
    "u": lambda status: status.owner,
    "x": lambda status: time_text(status.atime_ms, seconds=True),
    "X": lambda status: str(status.atime_ms),
    "y": lambda status: time_text(status.mtime_ms, seconds=True),
    "Y": lambda status: str(status.mtime_ms),
    "%": lambda _status: "%",
}


@click.command(epilog="Example: pydfsnode fs stat -c '%F %a %u:%g %b %y %n' /reports")
@click.option("-c", "--format", "form", metavar="FORMAT", help="What to print, in %-letters.")
@click.argument("paths", metavar="[FORMAT] PATH...", nargs=-1, required=True, type=ClusterPath())
@consistency_option
@json_option
@client_config_option
def stat(paths: tuple[str, ...], form: str | None, as_json: bool) -> None:
    """Show what is known of a path.

    \b
    FORMAT, also as the first argument when it holds a %, as with `hdfs dfs`:
      %n name   %F type   %b bytes   %o bytes of a chunk   %r replication
      %u owner  %g group  %a mode, octal   %A mode, letters
      %y %x modified, accessed (UTC)   %Y %X the same in ms since 1970
    """
    if form is None and "%" in paths[0]:
        form, paths = paths[0], paths[1:]
        if not paths:
            raise click.UsageError(f"no path behind the format {form!r}")

    async def show(fs: AsyncFileSystem, path: str) -> None:
        status = await fs.info(path)
        if as_json:
            print_json(status_json(status))
        elif form is not None:
            click.echo(formatted(form, status))
        else:
            _print(status)

    for_each(paths, show)


def formatted(form: str, status: FileStatus) -> str:
    """*form* with each %-letter replaced; one that nobody knows stays, as with `hdfs dfs`."""

    def value(match: re.Match[str]) -> str:
        letter = _LETTERS.get(match[1])
        return match[0] if letter is None else letter(status)

    return re.sub(r"%(.)", value, form)


def _print(status: FileStatus) -> None:
    click.echo(status.path)
    rows = [("type", status.type)]
    if status.is_directory:
        rows.append(("entries", str(status.child_count)))
    else:
        state = " (being written)" if status.under_construction else ""
        state += " (kept by the masters)" if status.inline else ""
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
        ("accessed", f"{time_text(status.atime_ms)} UTC"),
    ]
    for line in aligned_rows(rows, (False, False)):
        click.echo(f"  {line}")


@click.command(epilog="Example: pydfsnode fs checksum '/backups/*.tar'")
@paths_argument
@consistency_option
@json_option
@client_config_option
def checksum(paths: tuple[str, ...], as_json: bool) -> None:
    """Print the checksums of files: path, algorithm, value in hex, separated by tabs.

    It is the CRC32C of the whole content: `crc32c` of a local copy is the same, whatever the
    chunk size.
    """

    async def show(fs: AsyncFileSystem, path: str) -> None:
        status = await fs.info(path)
        if status.is_directory:
            raise IsADirectory(f"'{path}' is a directory and has no checksum")
        if status.under_construction:
            raise FileUnderConstruction(f"'{path}' is being written and has no checksum yet")
        algorithm, _, value = status.checksum.partition(":")
        rows.add(
            f"{status.path}\t{algorithm.upper()}\t{value}",
            path=status.path, algorithm=algorithm, checksum=value,
        )  # fmt: skip

    with Rows(as_json) as rows:
        for_each(paths, show)

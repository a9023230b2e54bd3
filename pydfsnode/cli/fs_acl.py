"""`fs getfacl`, `fs setfacl`: access control lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import paths_argument, recursive_option
from pydfsnode.cli.fs_trees import for_each_entry
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Acl, FileStatus

_DEFAULT = "default:"
_STICKY = 0o1000
_recursive_option = recursive_option("Everything below, too.")


@click.command(epilog="Example: pydfsnode fs getfacl -R /reports")
@paths_argument
@_recursive_option
@json_option
@client_config_option
def getfacl(paths: tuple[str, ...], recursive: bool, as_json: bool) -> None:
    """Show access control lists, also of what has only a mode."""
    found: list[tuple[str, dict[str, Any], list[str]]] = []

    async def show(fs: AsyncFileSystem, status: FileStatus) -> None:
        acl = await fs.acl(status.path)
        row = {
            "path": status.path,
            "owner": acl.owner,
            "group": acl.group,
            "mode": f"{acl.mode:04o}",
            "entries": [*acl.entries, *acl.default_entries],
        }
        found.append((status.path, row, _lines(status.path, acl)))

    try:
        for_each_entry(paths, show, recursive=recursive)
    finally:
        found.sort(key=lambda one: one[0])
        if as_json:
            print_json([row for _, row, _ in found])
        else:
            for _, _, lines in found:
                click.echo("\n".join([*lines, ""]))


def _lines(path: str, acl: Acl) -> list[str]:
    lines = [f"# file: {path}", f"# owner: {acl.owner}", f"# group: {acl.group}"]
    if acl.mode & _STICKY:
        lines.append("# flags: --t")
    for entries in (acl.entries, acl.default_entries):
        lines += _with_effect(entries)
    return lines


def _with_effect(entries: Sequence[str]) -> list[str]:
    """*entries*, each with what the mask among them leaves of it where that is less."""
    parsed = [entry.removeprefix(_DEFAULT).split(":") for entry in entries]
    mask = next((letters for kind, _, letters in parsed if kind == "mask"), "rwx")
    lines: list[str] = []
    for entry, (kind, name, letters) in zip(entries, parsed, strict=True):
        left = "".join(a if a == b else "-" for a, b in zip(letters, mask, strict=True))
        is_masked = (kind == "group" or (kind == "user" and name)) and left != letters
        lines.append(f"{entry}\t#effective:{left}" if is_masked else entry)
    return lines


@click.command(
    epilog="Example: pydfsnode fs setfacl -R -m user:bob:r-x,default:group:eng:rwx /reports"
)
@click.option("-b", "remove_all", is_flag=True, help="Remove all but owner, group and other.")
@click.option("-k", "remove_default", is_flag=True, help="Remove the default entries.")
@click.option("-m", "modify", metavar="ENTRIES", help="Add these or change them.")
@click.option("-x", "remove", metavar="ENTRIES", help="Remove these: user:bob,group:eng.")
@click.option("--set", "replace", metavar="ENTRIES", help="Have these and no others.")
@paths_argument
@_recursive_option
@client_config_option
def setfacl(
    remove_all: bool,
    remove_default: bool,
    modify: str | None,
    remove: str | None,
    replace: str | None,
    paths: tuple[str, ...],
    recursive: bool,
) -> None:
    """Change access control lists.

    ENTRIES: user:NAME:rwx, group:NAME:r-x, mask::r-x, other::---, with an empty NAME for the owner
    and the group, with default: in front for what new entries of a directory get; commas between.
    """
    changes = [
        ("remove_all", "" if remove_all else None),
        ("remove_default", "" if remove_default else None),
        ("modify", modify),
        ("remove", remove),
        ("set", replace),
    ]
    wanted = [(change, text) for change, text in changes if text is not None]
    if len(wanted) != 1 and not (modify and remove and len(wanted) == 2):
        raise click.UsageError("give one of -b -k -m -x --set, or -m and -x together")

    async def change_one(fs: AsyncFileSystem, status: FileStatus) -> None:
        for change, text in wanted:
            entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
            if not status.is_directory:  # only directories have default entries
                kept = tuple(entry for entry in entries if not entry.startswith(_DEFAULT))
                if recursive and (change == "remove_default" or (entries and not kept)):
                    continue
                entries = kept if recursive else entries
            await fs.set_acl(status.path, entries, change)

    for_each_entry(paths, change_one, recursive=recursive)

"""`fs getfattr`, `fs setfattr`: extended attributes."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.fs_paths import for_each, paths_argument, recursive_option
from pydfsnode.cli.fs_trees import for_each_entry
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json
from pydfsnode.errors import NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

_HEX, _BASE64 = "0x", "0s"
_CODECS = ("text", "hex", "base64")


@click.command(epilog="Example: pydfsnode fs getfattr -d /reports/a")
@click.option("-d", "dump", is_flag=True, help="All of them.")
@click.option("-n", "name", metavar="NAME", help="This one.")
@click.option("-e", "codec", type=click.Choice(_CODECS), help="How values are shown.")
@paths_argument
@recursive_option("Everything below, too.")
@json_option
@client_config_option
def getfattr(
    dump: bool,
    name: str | None,
    codec: str | None,
    paths: tuple[str, ...],
    recursive: bool,
    as_json: bool,
) -> None:
    """Show extended attributes.

    Values are text; 0x and hex or 0s and base64 where they are none, or as -e says.
    """
    if dump == (name is not None):
        raise click.UsageError("give -d for all of them or -n NAME for one")
    found: list[dict[str, Any]] = []

    async def show(fs: AsyncFileSystem, status: FileStatus) -> None:
        values = await fs.xattrs(status.path)
        if name is not None:
            if name not in values:
                raise NotFound(f"'{status.path}' has no attribute {name}")
            values = {name: values[name]}
        shown = {key: encoded(value, codec) for key, value in sorted(values.items())}
        found.append({"path": status.path, "xattrs": shown})

    try:
        for_each_entry(paths, show, recursive=recursive)
    finally:
        found.sort(key=lambda row: str(row["path"]))
        if as_json:
            print_json(found)
        else:
            for row in found:
                _print(row["path"], row["xattrs"])


def _print(path: str, xattrs: dict[str, str]) -> None:
    click.echo(f"# file: {path}")
    for name, value in xattrs.items():
        plain = not value.startswith((_HEX, _BASE64))
        quoted = f'"{value}"' if plain else value
        click.echo(f"{name}={quoted}" if value else name)
    click.echo()


def encoded(value: bytes, codec: str | None) -> str:
    """*value* as text, "0x6869" or "0saGk="; `decoded` gives it back."""
    if codec == "hex":
        return _HEX + value.hex()
    if codec != "base64":
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = _BASE64
        if text.isprintable() and not text.startswith((_HEX, _BASE64, '"')):
            return text
    return _BASE64 + base64.b64encode(value).decode()


def decoded(text: str) -> bytes:
    """The value that *text* means: "hi", hi, 0x6869 and 0saGk= are the same.

    Raises:
        click.BadParameter: it is no hex or base64 although it begins so.
    """
    try:
        if text.lower().startswith(_HEX):
            return bytes.fromhex(text[2:])
        if text.lower().startswith(_BASE64):
            return base64.b64decode(text[2:], validate=True)
    except (ValueError, binascii.Error):
        raise click.BadParameter(f"{text!r} is no hex (0x…) or base64 (0s…)") from None
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text.encode()


@click.command(epilog="Example: pydfsnode fs setfattr -n user.origin -v 'camera 7' /photos/1.jpg")
@click.option("-n", "name", metavar="NAME", help="Set this: user.… or, as a superuser, trusted.…")
@click.option("-v", "value", metavar="VALUE", help="To this: text, 0x and hex, 0s and base64.")
@click.option("-x", "removed", metavar="NAME", help="Remove this.")
@paths_argument
@client_config_option
def setfattr(
    name: str | None, value: str | None, removed: str | None, paths: tuple[str, ...]
) -> None:
    """Set or remove an extended attribute."""
    if (name is None) == (removed is None) or (removed is not None and value is not None):
        raise click.UsageError("give -n NAME, and -v VALUE if it has one, or -x NAME")
    content = decoded(value or "")

    async def change(fs: AsyncFileSystem, path: str) -> None:
        if removed is not None:
            await fs.remove_xattr(path, removed)
        elif name is not None:
            await fs.set_xattr(path, name, content)

    for_each(paths, change, changes=True)

"""`fs test`: a question about a path, answered by the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_paths import LINEARIZABLE, Refusals, run
from pydfsnode.cli.options import client_config_option
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.errors import AccessDenied, DomainError, InvalidPath, NotADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import FileStatus

_PROBE = "user.pydfsnode.test"
"""An extended attribute that no file has: removing it changes nothing and needs write access."""


@click.command(epilog="Example: pydfsnode fs test -d /reports && echo there")
@click.argument("path", type=ClusterPath())
@click.option("-e", "exists", is_flag=True, help="It exists.")
@click.option("-d", "directory", is_flag=True, help="It is a directory.")
@click.option("-f", "file", is_flag=True, help="It is a file.")
@click.option("-s", "filled", is_flag=True, help="It is not empty.")
@click.option("-z", "empty", is_flag=True, help="It is a file of no bytes.")
@click.option("-r", "readable", is_flag=True, help="You may read it.")
@click.option("-w", "writable", is_flag=True, help="You may write it.")
@client_config_option
def test(path: str, **questions: bool) -> None:
    """Answer one question about PATH: exit code 0 is yes, 1 is no."""
    asked = [question for question, wanted in questions.items() if wanted]
    if len(asked) != 1:
        raise click.UsageError("ask exactly one of -e -d -f -s -z -r -w")

    async def ask(fs: AsyncFileSystem, _refusals: Refusals) -> None:
        try:
            status = await fs.info(path, consistency=LINEARIZABLE)
            answer = await _answer(fs, status, asked[0])
        except (NotFound, NotADirectory):
            answer = False
        if not answer:
            raise click.exceptions.Exit(1)

    run(ask)


async def _answer(fs: AsyncFileSystem, status: FileStatus, question: str) -> bool:
    match question:
        case "directory":
            return status.is_directory
        case "file":
            return not status.is_directory
        case "filled":
            return bool(status.child_count if status.is_directory else status.size)
        case "empty":
            return not status.is_directory and status.size == 0
        case "readable":
            return await _readable(fs, status)
        case "writable":
            return await _writable(fs, status)
    return True


async def _readable(fs: AsyncFileSystem, status: FileStatus) -> bool:
    """Asks the masters by reading: they know the caller's groups and the lists."""
    try:
        if status.is_directory:
            async for _ in fs.scandir(status.path, consistency=LINEARIZABLE):
                break
        else:
            async with await fs.open_reader(status.path, consistency=LINEARIZABLE):
                pass
    except AccessDenied:
        return False
    return True


async def _writable(fs: AsyncFileSystem, status: FileStatus) -> bool:
    """Asks the masters by a change that changes nothing."""
    try:
        await fs.remove_xattr(status.path, _PROBE)
    except (AccessDenied, InvalidPath):  # InvalidPath: inside a snapshot
        return False
    except DomainError:
        return True  # there is no such attribute
    return True

"""`fs cat`: the bytes of files to standard output, and from standard input."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_copy import STANDARD, accepted_option
from pydfsnode.cli.fs_paths import for_each, paths_argument
from pydfsnode.cli.options import client_config_option, consistency_option

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

PIECE_BYTES = 1024 * 1024
unchecked_option = accepted_option(
    "-ignoreCrc", is_flag=True, why="what has a wrong checksum is never given out."
)


@click.command(epilog="Example: pydfsnode fs cat '/logs/*.txt' | grep error")
@paths_argument
@unchecked_option
@consistency_option
@client_config_option
def cat(paths: tuple[str, ...]) -> None:
    """Print files to standard output, one behind the other."""
    for_each(paths, print_file)


async def print_file(fs: AsyncFileSystem, path: str) -> None:
    """Print all of a file."""
    await print_range(fs, path, 0, None)


async def print_range(fs: AsyncFileSystem, path: str, start: int, end: int | None) -> int:
    """Print the bytes [start, end) of a file, cut at its end; returns where that was."""
    position = start
    async with (
        await fs.open_reader(path) as reader,
        aclosing(reader.packets(start, end)) as packets,
    ):
        async for packet in packets:
            sys.stdout.buffer.write(packet)
            position += len(packet)
    sys.stdout.buffer.flush()
    return position


async def pieces(source: str) -> AsyncIterator[bytes]:
    """A local file, or standard input for "-", piece by piece."""
    if source == STANDARD:
        while piece := await _from_standard_input():
            yield piece
        return
    with await asyncio.to_thread(Path(source).open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def _from_standard_input() -> bytes:
    """Its next piece, b"" at its end.

    In a daemon thread: one that nobody has to wait for, as Ctrl-C cannot end a read from a terminal
    or a silent pipe.
    """
    import threading

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def tell(finish: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(lambda: None if answer.done() else finish())
        except RuntimeError:  # the loop is closed: the command was interrupted
            return

    def read() -> None:
        try:
            piece = _read_piece()
        except (OSError, ValueError) as error:
            problem = error
            tell(lambda: answer.set_exception(problem))
        else:
            tell(lambda: answer.set_result(piece))

    threading.Thread(target=read, name="standard-input", daemon=True).start()
    return await answer


def _read_piece() -> bytes:
    """A whole piece of standard input, less at its end.

    Past Python's buffer: a thread that waits in it would be a fatal error when the process ends.
    """
    try:
        number = sys.stdin.fileno()
    except OSError:  # something else stands in for it
        return sys.stdin.buffer.read(PIECE_BYTES)
    read = bytearray()
    while len(read) < PIECE_BYTES and (more := os.read(number, PIECE_BYTES - len(read))):
        read += more
    return bytes(read)

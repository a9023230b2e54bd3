"""`pydfsnode cluster backup`: the namespace in one sealed file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from pydfsnode.cli.options import client_config_option, given_client_config, json_option
from pydfsnode.cli.output import binary_size, note, print_json
from pydfsnode.cli.session import with_file_system
from pydfsnode.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.roles.master.backup_file import BackupContent

STDOUT = "-"
PART_SUFFIX = ".part"
SYNC_EVERY_BYTES = 4 << 20
_EPILOG = """\b
Example: pydfsnode cluster backup /mnt/backups/names-monday.bak
Example: pydfsnode cluster backup - | ssh vault 'cat > names.bak'
Example: pydfsnode cluster backup --verify names.bak --kek-file m2-kek.hex
"""


@dataclass(frozen=True, slots=True)
class Written:
    """`key_id`: of the key-encryption key that opens it."""

    file: str
    written_by: str
    bytes: int
    index: int
    key_id: str


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE|-")
@click.option("--from", "master", metavar="NAME", default="", help="The master that writes it "
              "[default: a follower, which spares the leader].")  # fmt: skip
@click.option("--verify", is_flag=True, help="Write nothing: read FILE and check all of it.")
@click.option(
    "--kek-file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --verify: the key-encryption key of the master that wrote it. Without one only "
    "whether the file is whole is checked.",
)
@json_option
@client_config_option
def command(file: str, master: str, verify: bool, kek_file: Path | None, as_json: bool) -> None:
    """Write names, attributes, small files and snapshots of the namespace to FILE, "-" for a pipe.

    It holds all that was acknowledged before the command began, as of one moment, while reads and
    writes go on. Contents of larger files stay on the chunkservers and are not in it.

    FILE is sealed: who restores it needs the key-encryption key of the master that wrote it. Keep a
    copy of that key apart from the masters and from the backups. FILE appears when it is whole.
    """
    if verify:
        _show(_checked(file, kek_file), as_json)
        return
    if kek_file is not None:
        raise UsageError("--kek-file is for --verify: the master that writes has its key")
    if as_json and file == STDOUT:
        raise UsageError("--json and the backup cannot both go to standard output")
    written = _write(file, master)
    if as_json:
        print_json(written)
        return
    note(
        f"{written.written_by} wrote {binary_size(written.bytes)}, the state after entry "
        f"{written.index:,}; to be opened with key {written.key_id}"
    )


def _write(file: str, master: str) -> Written:
    from pydfsnode.client.backup import choose_master, receive_backup
    from pydfsnode.client.connections import ConnectionPool
    from pydfsnode.config import load_client_config
    from pydfsnode.security.tls import TlsStore

    config = load_client_config(given_client_config())

    async def take(fs: AsyncFileSystem) -> Written:
        chosen = choose_master((await fs.cluster_members()).members, master)
        pool = ConnectionPool(TlsStore.load(config.tls))
        try:
            with _target(file) as write:
                channel = pool.channel("master", chosen.id, chosen.listen)
                head, size = await receive_backup(channel, write)
        finally:
            await pool.close()
        return Written(file, chosen.id, size, head.index, head.kek_id)

    return with_file_system(take)


@contextmanager
def _target(file: str) -> Iterator[Callable[[bytes], object]]:
    """What takes the pieces: they are *file*, durably, when the block ends well; else nothing is.

    Raises:
        StorageError: it cannot be written.
    """
    from pydfsnode.security.files import sync_directory

    if file == STDOUT:
        if sys.stdout.isatty():
            raise UsageError("a backup is no text: send standard output to a file or a program")
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    place = Path(file)
    part = place.with_name(place.name + PART_SUFFIX)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                yield partial(_write_steadily, opened)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(part, place)
            sync_directory(place.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}") from error


def _write_steadily(opened: BinaryIO, piece: bytes) -> None:
    """Sync at each step: all at the end would stall a master's log on the same disk for as long."""
    before = opened.tell() // SYNC_EVERY_BYTES
    opened.write(piece)
    if opened.tell() // SYNC_EVERY_BYTES > before:
        opened.flush()
        os.fdatasync(opened.fileno())


def _checked(file: str, kek_file: Path | None) -> BackupContent:
    from pydfsnode.roles.master.backup_file import inspect_backup
    from pydfsnode.security.key_sources import KekFile

    with opened_backup(file) as opened:
        return inspect_backup(opened, file, None if kek_file is None else KekFile(kek_file))


@contextmanager
def opened_backup(file: str) -> Iterator[BinaryIO]:
    """*file*, or standard input for "-", to be read once.

    Raises:
        StorageError: it cannot be read.
    """
    if file == STDOUT:
        yield sys.stdin.buffer
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
    with opened:
        yield opened


def _show(found: BackupContent, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    click.echo(f"cluster   {found.cluster_id}   written by {found.written_by}")
    click.echo(f"time      {time_text(found.time_ms)}")
    click.echo(f"state     after entry {found.index:,} of term {found.term}")
    click.echo(f"key       {found.key_id}")
    click.echo(f"size      {binary_size(found.bytes)}")
    if not found.state_hash:
        click.echo("The file is whole. What is in it was not looked at: give --kek-file for that.")
        return
    click.echo(
        f"content   {found.files:,} files, {found.directories:,} directories, {found.rows:,} rows"
    )
    click.echo(f"hash      {found.state_hash}")


def time_text(time_ms: int) -> str:
    """A time in UTC, for people."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

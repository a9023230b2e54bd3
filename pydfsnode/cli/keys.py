"""`pydfsnode keys status|rotate`: the keys that everything on disk is sealed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.durations import shown_time
from pydfsnode.cli.lazy import Lazy, lazy_group
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json, print_table
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.key_state import ChunkserverKeys, KeyState, MasterKeys

KEK_TIMEOUT_MS = 120_000
_POLL_S = 1.0


@click.group(
    cls=lazy_group(
        {
            "status": Lazy("keys:status", "Show who has which keys, and what is sealed anew."),
            "rotate": Lazy("keys:rotate", "Seal with a new key from now on; the rest follows."),
        }
    )
)
def group() -> None:
    """The keys that everything on disk is sealed with."""


@click.command(epilog="Example: pydfsnode keys status")
@json_option
@client_config_option
def status(as_json: bool) -> None:
    """Show which keys the masters and chunkservers hold and need, and how far re-sealing is."""
    _show(with_file_system(lambda fs: fs.keys.state()), as_json)


@click.command(
    epilog="""\b
Examples: pydfsnode keys rotate
          pydfsnode keys rotate --wait
          pydfsnode keys rotate --kek"""
)
@click.option("--kek", is_flag=True, help="Change the key-encryption keys instead; no data moves.")
@click.option("--wait", is_flag=True, help="Return when nothing needs an older key any more.")
@json_option
@client_config_option
def rotate(kek: bool, wait: bool, as_json: bool) -> None:
    """Seal with a new key from now on, on every master and for every new chunk.

    What is there is sealed anew in the background; an old key is destroyed when a scan has found
    nothing that needs it. With --kek each master wraps its data keys by another key-encryption key:
    keep the old one as long as you keep backups that were written under it.
    """
    if kek:
        state = with_file_system(lambda fs: fs.keys.rotate_kek(), KEK_TIMEOUT_MS)
        _show(state, as_json)
        failed = [master.id for master in state.masters if master.problem]
        if failed:
            raise click.ClickException(
                f"not done by {', '.join(failed)}: they keep the key-encryption key they had; "
                "put right what is said above and repeat"
            )
        return

    async def work(fs: AsyncFileSystem) -> KeyState:
        state = await fs.keys.rotate()
        return await _settled(fs, state) if wait else state

    _show(with_file_system(work), as_json)


async def _settled(fs: AsyncFileSystem, state: KeyState) -> KeyState:
    import asyncio

    while state.behind:
        await asyncio.sleep(_POLL_S)
        state = await fs.keys.state()
    return state


def _show(state: KeyState, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    epochs = _numbers(state.chunk_key_epochs)
    click.echo(f"Rotation {state.rotation}; the masters hold the chunk keys of epoch {epochs}.")
    _show_files(state)
    click.echo()
    print_table(
        ["MASTER", "ROTATION", "DATA KEYS", "KEK", "KEK FROM", "STATE"],
        [
            [m.id, str(m.rotation), _numbers(m.epochs), m.kek_id or "-", m.kek_source or "-",
             _master_text(m, state.rotation)]
            for m in state.masters
        ],
    )  # fmt: skip
    click.echo()
    print_table(
        ["CHUNKSERVER", "NEWEST KEY", "NEEDS FROM", "STATE"],
        [
            [s.id, str(s.key_epoch), str(s.verified_epoch) if s.verified_epoch else "-",
             _server_text(s, state.rotation)]
            for s in state.chunkservers
        ],
    )  # fmt: skip


def _show_files(state: KeyState) -> None:
    files = state.files
    if not files.held and not files.removed:
        return
    click.echo(f"Files with a key of their own: {files.held:,}.")
    if files.waiting:
        due = shown_time(files.due_ms)
        click.echo(f"Keys of deleted ones: {files.waiting:,}, to be forgotten from {due} on.")
    if state.forgetting and files.orders:
        click.echo(f"Keys of deleted files are being forgotten by {', '.join(state.forgetting)}.")


def _numbers(epochs: list[int]) -> str:
    return ", ".join(map(str, epochs)) or "-"


def _master_text(master: MasterKeys, rotation: int) -> str:
    if master.problem:
        return master.problem
    if master.phase:
        return (
            f"{master.phase}: {master.rows_seen:,} rows seen, {master.rows_stale:,} of them old, "
            f"{master.rows_resealed:,} sealed anew"
        )
    if master.rotation < rotation or len(master.epochs) > 1:
        return "about to begin"
    return "done"


def _server_text(server: ChunkserverKeys, rotation: int) -> str:
    if not server.live:
        return "not live"
    if server.verified_epoch >= rotation:
        return "done"
    return f"re-sealing: {server.resealed_chunks:,} chunks done, {server.stale_chunks:,} known left"

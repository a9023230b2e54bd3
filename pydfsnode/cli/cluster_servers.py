"""`pydfsnode cluster decommission|recommission|maintenance`: chunkservers out of service and back.

They need an admin's certificate. Each names the end that is wanted: repeat it when in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.durations import parse_duration, shown_time
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import plural, print_json, print_table
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.fleet import Duty, FleetState

_ids = click.argument("node_ids", metavar="ID...", nargs=-1, required=True)
_wait = click.option("--wait", is_flag=True, help="Return when they may be stopped.")


@click.command(epilog="Example: pydfsnode cluster decommission c4 --wait")
@_ids
@_wait
@json_option
@client_config_option
def decommission(node_ids: tuple[str, ...], wait: bool, as_json: bool) -> None:
    """Empty chunkservers: everything is copied elsewhere, then they are decommissioned.

    They take no new chunks from now on and are read from until nothing depends on them. Refused
    when the others are too few for the replication, or have too little room.
    """

    async def work(fs: AsyncFileSystem) -> FleetState:
        state = await fs.decommission(*node_ids)
        return await _waited(fs, node_ids, as_json) if wait else state

    _show(with_file_system(work), node_ids, as_json)


@click.command(epilog="Example: pydfsnode cluster recommission c4")
@_ids
@json_option
@client_config_option
def recommission(node_ids: tuple[str, ...], as_json: bool) -> None:
    """Take chunkservers back into service; what was moved away stays where it is."""
    state = with_file_system(lambda fs: fs.recommission(*node_ids))
    if as_json:
        print_json(state)
    else:
        click.echo(f"{', '.join(node_ids)} in service")


@click.command(epilog="Example: pydfsnode cluster maintenance c4 --for 2h --wait")
@_ids
@click.option("--for", "duration", metavar="TIME", help="How long: 90s, 30m, 2h or 1d.")
@click.option("--end", is_flag=True, help="They are back.")
@_wait
@json_option
@client_config_option
def maintenance(
    node_ids: tuple[str, ...], duration: str | None, end: bool, wait: bool, as_json: bool
) -> None:
    """Chunkservers go away for a while, and their replicas are not made anew elsewhere.

    A chunk without a live replica on another chunkserver is copied first: with --wait this returns
    when they may be stopped. When the time is over what is still silent is repaired.
    """
    if end == (duration is not None):
        raise click.UsageError("give --for TIME, or --end when they are back")
    seconds = parse_duration(duration) if duration is not None else 0

    async def work(fs: AsyncFileSystem) -> FleetState:
        if end:
            return await fs.recommission(*node_ids)
        state = await fs.maintain(node_ids, seconds * 1000)
        return await _waited(fs, node_ids, as_json) if wait else state

    state = with_file_system(work)
    if end and not as_json:
        click.echo(f"{', '.join(node_ids)} in service")
    else:
        _show(state, node_ids, as_json)


async def _waited(fs: AsyncFileSystem, node_ids: Sequence[str], silent: bool) -> FleetState:
    from pydfsnode.cli.cluster_watching import wait_for

    def duties(state: FleetState) -> list[Duty]:
        return [duty for duty in state.duties if duty.id in node_ids]

    return await wait_for(
        fs,
        lambda state: all(duty.is_done for duty in duties(state)),
        lambda state: "   ".join(f"{duty.id} {progress(duty)}" for duty in duties(state)),
        silent=silent,
    )


def progress(duty: Duty) -> str:
    """How far it is, as in "12 of 480 chunks left"."""
    if duty.is_done:
        return "may be stopped"
    if not duty.counted:
        return "counting what it holds"
    left = max(duty.chunks_left, duty.chunks_held if duty.state == "decommissioning" else 0)
    text = f"{plural(left, 'chunk')} left"
    if duty.chunks_stuck:
        text += f", {duty.chunks_stuck:,} stuck: {duty.stuck_because}"
    return text


def state_of(duty: Duty) -> str:
    """As in "maintenance until 2026-11-23 14:05"."""
    until = f" until {shown_time(duty.until_ms)}" if duty.until_ms else ""
    return duty.state + until


def print_duties(duties: Sequence[Duty]) -> None:
    """The table of what is out of service."""
    print_table(
        ("CHUNKSERVER", "STATE", "CHUNKS", "LEFT", "MOVING", "SINCE", "BY", "PROGRESS"),
        [
            (
                duty.id,
                state_of(duty),
                f"{duty.chunks_held:,}" if duty.counted else "-",
                f"{duty.chunks_left:,}" if duty.counted else "-",
                f"{duty.moves_running:,}",
                shown_time(duty.since_ms),
                duty.user,
                progress(duty),
            )
            for duty in duties
        ],
        right="CHUNKS LEFT MOVING",
    )


def _show(state: FleetState, node_ids: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    print_duties([duty for duty in state.duties if duty.id in node_ids])

"""`pydfsnode cluster safemode`: whether the masters take changes and order repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.fleet import FleetState


@click.group(epilog="With HDFS these are `hdfs dfsadmin -safemode get|enter|leave|wait`.")
@client_config_option
def group() -> None:
    """Safe mode: no repair and, when an operator ordered it, no changes of the namespace.

    After its start a master orders no repair until the chunkservers have reported: files are read
    and written meanwhile. What an operator orders stays until it is left, also after a failover.
    """


@group.command(epilog="Example: pydfsnode cluster safemode get")
@json_option
@client_config_option
def get(as_json: bool) -> None:
    """Show whether safe mode is on, and why."""
    _show(with_file_system(lambda fs: fs.fleet_state()), as_json)


@group.command(epilog="Example: pydfsnode cluster safemode enter")
@json_option
@client_config_option
def enter(as_json: bool) -> None:
    """Make the namespace read-only: nothing is created, changed, deleted or repaired."""
    _show(with_file_system(lambda fs: fs.set_safe_mode(True)), as_json)


@group.command(epilog="Example: pydfsnode cluster safemode leave")
@json_option
@client_config_option
def leave(as_json: bool) -> None:
    """End safe mode, also that after a start of the leader."""
    _show(with_file_system(lambda fs: fs.set_safe_mode(False)), as_json)


@group.command(epilog="Example: pydfsnode cluster safemode wait")
@json_option
@client_config_option
def wait(as_json: bool) -> None:
    """Return when safe mode is off."""
    from pydfsnode.cli.cluster_watching import wait_for

    state = with_file_system(
        lambda fs: wait_for(fs, lambda state: not state.safe_mode.on, _line, silent=as_json)
    )
    _show(state, as_json)


def _line(state: FleetState) -> str:
    """As `hdfs dfsadmin -safemode get` says it, with the reason."""
    found = state.safe_mode
    if not found.on:
        return "Safe mode is OFF"
    by = f" by {found.user}" if found.by_operator else ""
    return f"Safe mode is ON{by}: {found.reason}"


def _show(state: FleetState, as_json: bool) -> None:
    if as_json:
        print_json(state.safe_mode)
    else:
        click.echo(_line(state))

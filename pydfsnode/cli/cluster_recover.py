"""`pydfsnode cluster recover-quorum`: go on with one master when the majority is lost for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import json_option
from pydfsnode.cli.output import print_json
from pydfsnode.errors import UsageError

if TYPE_CHECKING:
    from pydfsnode.roles.master.recovery import Survivor

_RISK = """\
This makes {name} the only member of its cluster. What it risks:
  - writes that were acknowledged and that only the lost masters hold are gone;
  - writes that were refused or never answered may appear, if {name} holds them;
  - if the others are not lost, two clusters go on from here: stop them now, and empty their
    data_dir before they start again.
Do it on the master with the highest last term, and of those the highest last index."""
_NEXT = """\
{name} is the only member now ({member}). Next:
  1. start it: pydfsnode serve --config {config}
  2. empty the data_dir of every other old master, start it without --bootstrap
  3. pydfsnode cluster add-master NAME=HOST:PORT, for each"""


@click.command(
    epilog="Example: pydfsnode cluster recover-quorum --inspect --config /etc/pydfsnode/m1.toml"
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration of the stopped master that survived.",
)
@click.option("--inspect", is_flag=True, help="Only print what this master holds.")
@click.option("--yes-lose-what-only-others-hold", "yes", is_flag=True, help="Really do it.")
@json_option
def command(config_path: Path, inspect: bool, yes: bool, as_json: bool) -> None:
    """Make ONE stopped master the only member, when the majority of masters is lost for good.

    Stop every master that still runs, look at each with --inspect, and use the one that holds
    most. Nothing is changed without --yes-lose-what-only-others-hold.
    """
    from pydfsnode.config import load_node_config
    from pydfsnode.roles.master import recovery

    config = load_node_config(config_path)
    if inspect:
        _print(recovery.inspect(config), as_json)
        return
    if not yes:
        found = recovery.inspect(config)
        _print(found, as_json=False)
        click.echo()
        click.echo(_RISK.format(name=found.name))
        raise UsageError("nothing was changed: repeat with --yes-lose-what-only-others-hold")
    survivor = recovery.recover(config)
    if as_json:
        print_json(survivor)
        return
    click.echo(_NEXT.format(name=survivor.name, member=survivor.member, config=config_path))


def _print(found: Survivor, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    click.echo(f"master   {found.name} ({found.member})")
    click.echo(f"members  {', '.join(found.members) or 'none: it belongs to no cluster'}")
    click.echo(f"log      last term {found.last_term}   last index {found.last_index:,}")
    click.echo(f"term     {found.term}   applied {found.applied_index:,}")

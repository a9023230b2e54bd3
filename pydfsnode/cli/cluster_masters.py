"""`pydfsnode cluster members|add-master|remove-master|transfer-leader`: who the masters are.

Changes need an admin's certificate. Each names the end that is wanted: repeat it when in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json, print_table
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.members import Members

F = TypeVar("F", bound=Callable[..., Any])


def _timeout_option(default: float) -> Callable[[F], F]:
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=default,
        show_default=True,
        help="Seconds until it must be done.",
    )


@click.command(epilog="Example: pydfsnode cluster members --json")
@_timeout_option(10.0)
@json_option
@client_config_option
def members(timeout: float, as_json: bool) -> None:
    """Show the masters: who votes, who learns, how far each has the log."""
    _print(with_file_system(lambda fs: fs.cluster_members(), int(timeout * 1000)), as_json)


@click.command(epilog="Example: pydfsnode cluster add-master m4=10.0.0.4:7001")
@click.argument("master", metavar="NAME=HOST:PORT")
@click.option("--learner", is_flag=True, help="Only give it the log; it does not vote.")
@_timeout_option(300.0)
@json_option
@client_config_option
def add_master(master: str, learner: bool, timeout: float, as_json: bool) -> None:
    """Add a running master, and return when it holds the log and votes.

    Start it first, without --bootstrap and with an empty data_dir; it waits to be added. A member
    whose address changed is added again with the new one.
    """
    from pydfsnode.config import Peer

    peer = Peer.parse(master)
    found = with_file_system(
        lambda fs: fs.add_master(peer.node_id, peer.listen, learner_only=learner),
        int(timeout * 1000),
    )
    _done(found, as_json, f"{peer.node_id} is a {'learner' if learner else 'voter'} now")


@click.command(epilog="Example: pydfsnode cluster remove-master m2")
@click.argument("name")
@click.option("--force", is_flag=True, help="Although too few of the others answer now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_timeout_option(60.0)
@json_option
@client_config_option
def remove_master(name: str, force: bool, yes: bool, timeout: float, as_json: bool) -> None:
    """Take a master out; a leader hands over first. Stop it afterwards and empty its data_dir.

    With --force nothing that was acknowledged is lost, but nothing can be written either until
    a majority of those that are left answers.
    """
    if force and not yes:
        click.confirm(
            f"Remove {name} even if too few masters are left to write anything?", abort=True
        )
    found = with_file_system(lambda fs: fs.remove_master(name, force=force), int(timeout * 1000))
    _done(found, as_json, f"{name} is no member any more: stop it")


@click.command(epilog="Example: pydfsnode cluster transfer-leader m3")
@click.argument("name", default="")
@_timeout_option(30.0)
@json_option
@client_config_option
def transfer_leader(name: str, timeout: float, as_json: bool) -> None:
    """Make the master NAME the leader, or the one that follows best."""
    done = with_file_system(lambda fs: fs.transfer_leader(name), int(timeout * 1000))
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done.leader} leads; for {done.gap_ms} ms nobody did")


def _done(found: Members, as_json: bool, what: str) -> None:
    if not as_json:
        click.echo(what)
        click.echo()
    _print(found, as_json)


def _print(found: Members, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    changing = "   the voters are being changed" if found.changing else ""
    click.echo(
        f"masters  leader {found.leader or 'none'}   term {found.term}   "
        f"members since entry {found.configuration_index:,}{changing}"
    )
    click.echo()
    print_table(
        ("MASTER", "MEMBER", "ROLE", "MATCH", "LAG", "ADDRESS", "SEEN", "STATE", "DIRECTORY"),
        [
            (
                member.id,
                member.membership,
                member.role,
                f"{member.match_index:,}",
                f"{member.lag:,}",
                member.listen,
                "yes" if member.recently_active else "no",
                member.replication or "-",
                f"{member.incarnation:08x}" if member.incarnation else "-",
            )
            for member in found.members
        ],
        right="MATCH LAG",
    )

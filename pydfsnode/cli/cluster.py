"""`pydfsnode cluster`: the cluster as its leader sees it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.lazy import Lazy, lazy_group
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import binary_size, coloured, print_json, print_table
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import (
        ChunkserverState,
        ClusterStatus,
        MasterState,
        NodeLinks,
    )
    from pydfsnode.rpc.peer_health import PeerState


@click.group(
    name="cluster",
    cls=lazy_group(
        {
            "status": Lazy("cluster:status", "Health, masters and chunkservers."),
            "report": Lazy("cluster_report:command", "Capacity, chunkservers, work in progress."),
            "fsck": Lazy("cluster_fsck:command", "Check that every file can be read."),
            "decommission": Lazy("cluster_servers:decommission", "Empty chunkservers for good."),
            "recommission": Lazy("cluster_servers:recommission", "Take them back into service."),
            "maintenance": Lazy("cluster_servers:maintenance", "Chunkservers go for a while."),
            "balance": Lazy("cluster_balance:command", "Even out the space used."),
            "safemode": Lazy("cluster_safemode:group", "Read-only and no repair: get, enter, ..."),
            "members": Lazy("cluster_masters:members", "Who the masters are."),
            "add-master": Lazy("cluster_masters:add_master", "Add a running master."),
            "remove-master": Lazy("cluster_masters:remove_master", "Take a master out."),
            "transfer-leader": Lazy("cluster_masters:transfer_leader", "Hand leadership over."),
            "backup": Lazy("cluster_backup:command", "Write the namespace to a sealed file."),
            "restore": Lazy(
                "cluster_restore:command", "Make a first master of a backup: all are lost."
            ),
            "recover-quorum": Lazy(
                "cluster_recover:command", "Go on with one master: the majority is lost for good."
            ),
        }
    ),
)
@client_config_option
def group() -> None:
    """Look at and operate a cluster."""


@click.command(epilog="Example: pydfsnode cluster status --json")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds to look for a leader.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also the links between nodes, and to them.")
@json_option
@client_config_option
def status(timeout: float, verbose: bool, as_json: bool) -> None:
    """Health with its findings, the masters, the chunkservers.

    With -v also how the calls of every master and chunkserver to others went, and this command's
    own: the breaker of each link (open: the node failed again and again and is asked once in a
    while), and every kind of fault met since the start. Exits with 0 whenever a leader answered:
    scripts look at `health` in --json; with -v that has "node_links".
    """

    async def look(fs: AsyncFileSystem) -> tuple[ClusterStatus, list[NodeLinks], list[PeerState]]:
        found = await fs.cluster_status()
        links = await fs.node_links(found) if verbose else []
        return found, links, fs.health.peers()

    found, links, own = with_file_system(look, timeout_ms=int(timeout * 1000))
    if as_json:
        print_json({**asdict(found), "node_links": links} if verbose else found)
        return
    _print(found)
    if verbose:
        click.echo()
        _print_links(links, own)


def _print_links(links: list[NodeLinks], own: list[PeerState]) -> None:
    rows = [
        (node.node, each.peer, each.address, each.breaker, each.faults, each.last_failure)
        for node in links
        for each in node.links
    ]
    rows += [
        ("here", each.peer, each.address, str(each.state), each.faults, each.last_failure)
        for each in own
    ]
    print_table(
        ("FROM", "TO", "ADDRESS", "BREAKER", "FAULTS", "LAST FAILURE"),
        [
            (origin, peer, address, breaker, _faults_text(faults), last or "-")
            for origin, peer, address, breaker, faults, last in rows
        ],
    )
    for node in links:
        if node.problem:
            click.echo(f"{node.node} does not say: {node.problem}")


def _faults_text(faults: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in faults.items()) or "-"


def _print(found: ClusterStatus) -> None:
    click.echo(f"cluster  {found.cluster_id}   {coloured(found.health)}")
    for check in found.checks:
        click.echo(f"  {check.severity} {check.code}: {check.message}")
        click.echo(f"      -> {check.remedy}")
    unsafe = "" if found.fsync == "always" else f"   fsync {found.fsync} (UNSAFE)"
    click.echo(
        f"masters  leader {found.leader or 'none'}   term {found.term}   "
        f"commit {found.commit_index:,}   applied {found.applied_index:,}{unsafe}"
    )
    repairs = f"   {found.repairs_running:,} being copied" if found.repairs_running else ""
    click.echo(
        f"chunks   {found.chunks:,}   under-replicated {found.under_replicated:,}   "
        f"missing {found.missing:,}{repairs}"
    )
    click.echo(f"files    {found.files:,}   directories {found.directories:,}")
    if found.safe_mode:
        click.echo(f"safe mode is ON: {found.safe_mode}")
    click.echo()
    _print_masters(found.masters)
    click.echo()
    print_table(
        ("CHUNKSERVER", "STATE", "CHUNKS", "USED", "FREE", "RACK", "ADDRESS", "HEARD"),
        [
            (
                server.id,
                state_text(server),
                f"{server.chunks:,}",
                binary_size(server.used_bytes),
                binary_size(server.free_bytes),
                server.rack,
                server.listen,
                f"{server.last_heartbeat_ms_ago / 1000:.1f} s ago",
            )
            for server in found.chunkservers
        ],
        right="CHUNKS USED FREE",
    )


def state_text(server: ChunkserverState) -> str:
    """As in "live" or "live, decommissioning"."""
    if server.admin_state == "in service":
        return server.state
    return f"{server.state}, {server.admin_state}"


def _print_masters(masters: list[MasterState]) -> None:
    head = ["MASTER", "ROLE", "MATCH", "LAG", "ADDRESS", "SEEN"]
    rows = [
        [
            master.id,
            master.role,
            f"{master.match_index:,}",
            f"{master.lag:,}",
            master.listen,
            "yes" if master.recently_active else "no",
        ]
        for master in masters
    ]
    if any(master.membership != "voter" for master in masters):
        head.insert(2, "MEMBERSHIP")
        for master, row in zip(masters, rows, strict=True):
            row.insert(2, master.membership)
    print_table(head, rows, right="MATCH LAG")

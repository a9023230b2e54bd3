"""`pydfsnode cluster report`: capacity, chunkservers and work in progress, as dfsadmin shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.cluster_balance import line as balance_line
from pydfsnode.cli.cluster_servers import print_duties, state_of
from pydfsnode.cli.durations import shown_time
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import binary_size, plural, print_json
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.fleet import FleetState, Scrub
    from pydfsnode.client.model import ChunkserverState, ClusterStatus


@click.command(epilog="Example: pydfsnode cluster report --json")
@json_option
@client_config_option
def command(as_json: bool) -> None:
    """Show capacity, every chunkserver, and what is copied, drained, balanced and repaired.

    The words are those of `hdfs dfsadmin -report`.
    """

    async def work(fs: AsyncFileSystem) -> tuple[ClusterStatus, FleetState]:
        return await fs.cluster_status(), await fs.fleet_state()

    status, fleet = with_file_system(work)
    if as_json:
        print_json(_json(status, fleet))
    else:
        _print(status, fleet)


def capacity(servers: list[ChunkserverState]) -> tuple[int, int, int]:
    """(configured, used, remaining) bytes of the live ones."""
    live = [server for server in servers if server.state == "live"]
    used = sum(server.used_bytes for server in live)
    free = sum(server.free_bytes for server in live)
    return used + free, used, free


def _json(status: ClusterStatus, fleet: FleetState) -> dict[str, Any]:
    total, used, free = capacity(status.chunkservers)
    return {
        "cluster_id": status.cluster_id,
        "health": status.health,
        "capacity_bytes": total,
        "used_bytes": used,
        "free_bytes": free,
        "chunks": fleet.safe_mode.chunks_wanted,
        "under_replicated": status.under_replicated,
        "missing": status.missing,
        "safe_mode": fleet.safe_mode,
        "copies_running": fleet.copies_running,
        "deletions_running": fleet.deletions_running,
        "out_of_service": fleet.duties,
        "balance": fleet.balance,
        "chunkservers": status.chunkservers,
    }


def _print(status: ClusterStatus, fleet: FleetState) -> None:
    total, used, free = capacity(status.chunkservers)
    if fleet.safe_mode.on:
        click.echo(f"Safe mode is ON: {fleet.safe_mode.reason}")
    _row("Configured Capacity", f"{total} ({binary_size(total)})")
    _row("DFS Remaining", f"{free} ({binary_size(free)})")
    _row("DFS Used", f"{used} ({binary_size(used)})")
    _row("DFS Used%", _share(used, total))
    _row("Blocks", f"{fleet.safe_mode.chunks_wanted:,}")
    _row("Under replicated blocks", f"{status.under_replicated:,}")
    _row("Missing blocks", f"{status.missing:,}")
    click.echo()
    click.echo("Work in progress")
    _row("Copies of endangered blocks", f"{fleet.copies_running:,}")
    _row("Deletions", f"{fleet.deletions_running:,}")
    _row("Balance", balance_line(fleet.balance))
    if fleet.duties:
        click.echo()
        print_duties(fleet.duties)
    for state, title in (("live", "Live"), ("dead", "Dead")):
        servers = [server for server in status.chunkservers if server.state == state]
        if servers:
            click.echo()
            click.echo("-" * 49)
            click.echo(f"{title} chunkservers ({len(servers)}):")
        for server in servers:
            click.echo()
            _print_server(server, fleet)


def _print_server(server: ChunkserverState, fleet: FleetState) -> None:
    total = server.used_bytes + server.free_bytes
    duty = fleet.duty(server.id)
    _row("Name", f"{server.id} ({server.listen})")
    _row("Rack", server.rack)
    _row("Decommission Status", "Normal" if duty is None else state_of(duty))
    _row("Configured Capacity", f"{total} ({binary_size(total)})")
    _row("DFS Used", f"{server.used_bytes} ({binary_size(server.used_bytes)})")
    _row("DFS Remaining", f"{server.free_bytes} ({binary_size(server.free_bytes)})")
    _row("DFS Used%", _share(server.used_bytes, total))
    _row("Num of Blocks", f"{server.chunks:,}")
    reasons = f": {'; '.join(server.health_reasons)}" if server.health_reasons else ""
    _row("Health", f"{server.condition} ({server.health_score:.2f}){reasons}")
    disks = plural(server.disks, "disk")
    _row("Disks", disks + (f", {server.failed_disks} failed" if server.failed_disks else ""))
    if server.scrub is not None:
        _row("Scrub", _scrub_text(server.scrub))
    _row("Xceivers", f"{server.streams:,}")
    _row("Last contact", f"{server.last_heartbeat_ms_ago / 1000:.1f} s ago")


def _scrub_text(scrub: Scrub) -> str:
    """As in "12.5% of this round, due 2026-12-04 10:00; 1 round done; 0 corrupt found"."""
    total = scrub.done_bytes + scrub.left_bytes
    found = f"{scrub.corrupt_found:,} corrupt found"
    if not scrub.began_ms or not total:
        return f"nothing to verify; {found}"
    return (
        f"{_share(scrub.done_bytes, total)} of this round, due {shown_time(scrub.due_ms)}; "
        f"{plural(scrub.rounds, 'round')} done; {found}"
    )


def _row(name: str, value: str) -> None:
    click.echo(f"{name}: {value}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.2f}%"

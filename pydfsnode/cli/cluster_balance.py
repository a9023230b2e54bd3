"""`pydfsnode cluster balance`: even out the share of used space of the chunkservers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.fs_size import parse_size
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import binary_size, plural, print_json
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.fleet import Balance, FleetState

_THRESHOLD = re.compile(r"(\d+(?:\.\d+)?)\s*%?")


def parse_threshold(text: str) -> float:
    """ "10%" or "10" as 0.1.

    Raises:
        click.BadParameter: no number above 0 and up to 100, or too fine.
    """
    match = _THRESHOLD.fullmatch(text.strip())
    if match is None or not 0.0001 <= float(match[1]) <= 100:
        raise click.BadParameter(f"{text!r} is no share: write 10% or 2.5%")
    return float(match[1]) / 100


@click.command(epilog="Example: pydfsnode cluster balance --threshold 5% --bytes-per-s 100M --wait")
@click.option("--threshold", default="10%", show_default=True,
              help="How far a share may be from the mean, in percentage points.")  # fmt: skip
@click.option("--bytes-per-s", "rate", default="50M", show_default=True,
              help="Of all moves together.")  # fmt: skip
@click.option("--stop", is_flag=True, help="Begin no more moves; those on their way arrive.")
@click.option("--show", is_flag=True, help="Only show how it stands.")
@click.option("--wait", is_flag=True, help="Return when it has ended.")
@json_option
@client_config_option
def command(
    threshold: str, rate: str, stop: bool, show: bool, wait: bool, as_json: bool
) -> None:  # fmt: skip
    """Move chunks from the fullest chunkservers to the emptiest, until they are even.

    The masters do it, also after a failover; it ends by itself. A replica is deleted only when its
    copy is there, and never moved to where the others of its chunk are closer.
    """
    if stop and wait and not show:
        raise click.UsageError("--stop ends it: there is nothing to wait for")
    share, bytes_per_s = parse_threshold(threshold), parse_size(rate)
    if not bytes_per_s:
        raise click.BadParameter("--bytes-per-s: 1 or more are needed")

    async def work(fs: AsyncFileSystem) -> FleetState:
        if stop:
            return await fs.stop_balance()
        state = await fs.fleet_state() if show else await fs.balance(share, bytes_per_s)
        return await _waited(fs, as_json) if wait else state

    state = with_file_system(work)
    if as_json:
        print_json(state.balance)
    else:
        click.echo(line(state.balance))


async def _waited(fs: AsyncFileSystem, silent: bool) -> FleetState:
    from pydfsnode.cli.cluster_watching import wait_for

    def is_done(state: FleetState) -> bool:
        return not state.balance.on and not state.balance.moves_running

    return await wait_for(fs, is_done, lambda state: line(state.balance), silent=silent)


def line(balance: Balance) -> str:
    """How it stands, in one line."""
    moved = f"{plural(balance.moved_chunks, 'chunk')} moved ({binary_size(balance.moved_bytes)})"
    even = f"mean {percent(balance.mean_ppm)}, farthest {percent(balance.spread_ppm)} away"
    if balance.on:
        return (
            f"balancing to {percent(balance.threshold_ppm)} at "
            f"{binary_size(balance.bytes_per_s)}/s: {moved}, {balance.moves_running:,} on their "
            f"way, {binary_size(balance.bytes_left)} left; {even}"
        )
    going = f", {balance.moves_running:,} still on their way" if balance.moves_running else ""
    why = f" ({balance.ended_because})" if balance.ended_because else ""
    return f"no balance is on{why}{going}: {moved}; {even}"


def percent(ppm: int) -> str:
    """123_000 as "12.3%"."""
    share = ppm / 10_000
    return f"{share:.1f}%" if share >= 1 or not ppm else f"{share:.4f}%"

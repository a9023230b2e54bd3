"""`pydfsnode audit search|tail`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pydfsnode.cli.audit_paths import found_paths, paths_argument
from pydfsnode.cli.durations import parse_duration
from pydfsnode.cli.options import json_option
from pydfsnode.cli.output import print_json, print_table

if TYPE_CHECKING:
    from pydfsnode.security.audit.record import Record
    from pydfsnode.security.audit.search import Query

F = TypeVar("F", bound=Callable[..., Any])
POLL_S = 0.25
_FILTERS = (
    click.option("--user", default="", help="Who asked."),
    click.option("--via", default="", help="Who acted for the user: gateway/NAME."),
    click.option("--path", default="", help="What was touched, or a directory above it."),
    click.option("--cmd", default="", help="The operation: create, rename, setSafeMode, ..."),
    click.option("--kind", default="", help="namespace, chunk, admin, security, raft or trail."),
    click.option("--outcome", default="", help="'ok', or an error as AccessDenied."),
    click.option("--request-id", default="", help="Everything of one request."),
    click.option("--denied", is_flag=True, help="Only what was not allowed."),
)


def _filters(command: F) -> F:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command(
    epilog="""\b
Examples: pydfsnode audit search /var/lib/pydfsnode-audit --user alice --since 1h
          pydfsnode audit search m1/ m2/ m3/ --path /projects --cmd delete --json
          pydfsnode audit search m1/ --denied --since 2026-11-23T08"""
)
@paths_argument
@_filters
@click.option("--since", default="", metavar="TIME", help="2026-11-23T17:46 (UTC), or 2h ago.")
@click.option("--until", default="", metavar="TIME", help="Before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True,
              help="So many at most, the first.")  # fmt: skip
@json_option
def search(
    paths: tuple[Path, ...], data_dirs: tuple[Path, ...], since: str, until: str, limit: int,
    as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Find records, those of several nodes together in the order of time."""
    from itertools import islice

    from pydfsnode.security.audit.search import Query, search_trails

    query = Query(**filters, since=_moment(since), until=_moment(until))
    found = list(islice(search_trails(found_paths(paths, data_dirs), query), limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ["TIME", "NODE", "USER", "FROM", "OPERATION", "SOURCE", "DESTINATION", "OUTCOME"],
        [_row(record) for record in found],
    )


@click.command(epilog="Example: pydfsnode audit tail /var/lib/pydfsnode-audit --denied")
@paths_argument
@_filters
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True,
              help="So many of the last records of each trail first.")  # fmt: skip
@click.option("--follow/--no-follow", default=True, help="Go on with what comes.")
@json_option
def tail(
    paths: tuple[Path, ...], data_dirs: tuple[Path, ...], lines: int, follow: bool, as_json: bool,
    **filters: Any,
) -> None:  # fmt: skip
    """Print the last records and then what is appended, until interrupted; JSON: one a line."""
    import msgspec

    from pydfsnode.security.audit.search import Following

    following = Following(found_paths(paths, data_dirs), _query(filters), lines)
    while True:
        for record in following.step():
            if as_json:
                click.echo(msgspec.json.encode(record).decode())
            else:
                click.echo("  ".join(cell for cell in _row(record) if cell != "-"))
        if not follow:
            return
        time.sleep(POLL_S)


def _query(filters: dict[str, Any]) -> Query:
    from pydfsnode.security.audit.search import Query

    return Query(**filters)


def _row(record: Record) -> list[str]:
    refused = "" if record.allowed else "DENIED: "
    user = f"{record.user} via {record.via}" if record.via else record.user
    return [
        record.time, record.node, user or "-", record.ip or "-", record.cmd,
        record.src or (record.detail[:60] if record.detail else "-"), record.dst or "-",
        f"{refused}{record.outcome}",
    ]  # fmt: skip


def _moment(text: str) -> str:
    """The beginning of a record's time; "2h" is two hours ago."""
    if not text or (text[0].isdigit() and text[4:5] == "-"):
        return text
    from pydfsnode.security.audit.record import iso_time

    return iso_time(round((time.time() - parse_duration(text)) * 1000))

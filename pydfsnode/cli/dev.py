"""`pydfsnode dev`: a whole cluster on this machine, with its own certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from pydfsnode.cli.options import json_option
from pydfsnode.cli.output import plural, print_json, print_table

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULT = "~/.local/share/pydfsnode/dev"


def _dir_option(command: F) -> F:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(_DEFAULT),
        show_default=_DEFAULT,
        help="Where the cluster lives.",
    )(command)


@click.group(name="dev")
def group() -> None:
    """A whole cluster on this machine: masters, chunkservers and their certificates."""


@group.command(epilog="Example: pydfsnode dev up --dir /tmp/try --masters 1 --chunkservers 1")
@_dir_option
@click.option("--masters", type=int, help="1, 3, 5 or 7. [default: 3; fixed once made]")
@click.option("--chunkservers", type=int, help="More than there are adds new ones. [default: 3]")
@click.option("--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True,
              help="Seconds until it must serve.")  # fmt: skip
@json_option
def up(
    directory: Path, masters: int | None, chunkservers: int | None, timeout: float, as_json: bool
) -> None:
    """Make the cluster if there is none, start what does not run, return when it serves."""
    from pydfsnode.cli.dev_cluster import DevCluster

    cluster = DevCluster(directory)
    with cluster.locked():
        spec = cluster.prepare(masters, chunkservers)
        started = cluster.start(spec)
        cluster.wait_until_serving(spec, timeout, started)
        cluster.install_authority()
    if as_json:
        print_json(cluster.status())
        return
    running = len(spec.nodes)
    what = f"started {', '.join(started)}; " if started and len(started) < running else ""
    click.echo(
        f"{what}{plural(len(spec.of_role('master')), 'master')} and "
        f"{plural(len(spec.of_role('chunkserver')), 'chunkserver')} serve in "
        f"{cluster.layout.directory}"
    )
    click.echo("use it:")
    click.echo(f"    export PYDFSNODE_CONFIG={_quoted(str(cluster.layout.client_config))}")
    click.echo("    pydfsnode fs ls /")


@group.command(epilog="Example: pydfsnode dev down m2 c1")
@click.argument("nodes", nargs=-1, metavar="[NODE...]")
@_dir_option
@click.option("--grace", type=click.FloatRange(min=0), default=10.0, show_default=True,
              help="Seconds before a node is killed.")  # fmt: skip
def down(nodes: tuple[str, ...], directory: Path, grace: float) -> None:
    """Stop the cluster, or only the nodes named. Its data stays; `dev up` starts it again."""
    from pydfsnode.cli.dev_cluster import DevCluster

    cluster = DevCluster(directory)
    cluster.load()
    with cluster.locked():
        stopped = cluster.stop(grace, nodes)
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@group.command(epilog="Example: pydfsnode dev status --json")
@_dir_option
@json_option
def status(directory: Path, as_json: bool) -> None:
    """Show the nodes and whether they run."""
    from pydfsnode.cli.dev_cluster import DevCluster

    cluster = DevCluster(directory)
    found = cluster.status()
    if as_json:
        print_json(found)
        return
    print_table(
        ("NODE", "ROLE", "ALIVE", "PID", "ADDRESS", "GRPC", "HTTPS"),
        [
            (
                node["id"], node["role"], "yes" if node["alive"] else "no", str(node["pid"] or "-"),
                node["listen"], node["grpc_listen"], node["http_listen"],
            )
            for node in found["nodes"]
        ],
        right="PID",
    )  # fmt: skip
    click.echo(f"client configuration: {found['client_config']}")


@group.command(epilog="Example: pydfsnode dev logs -f m1")
@click.argument("node", required=False)
@_dir_option
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True,
              help="Of each node.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
def logs(node: str | None, directory: Path, lines: int, follow: bool) -> None:
    """Print the last lines of one node's log, or of all."""
    from pydfsnode.cli.dev_cluster import DevCluster
    from pydfsnode.errors import UsageError

    cluster = DevCluster(directory)
    ids = [spec.id for spec in cluster.load().nodes]
    if node is not None and node not in ids:
        raise UsageError(f"no node '{node}' here: there are {', '.join(ids)}")
    chosen = [node] if node is not None else ids
    tails = {name: _tail(cluster.layout.log(name), lines) for name in chosen}
    while True:
        for name, tail in tails.items():
            for line in next(tail):
                click.echo(line if node is not None else f"{name:<4} {line}")
        if not follow:
            return
        _pause()


def _tail(log: Path, count: int) -> Iterator[list[str]]:
    """The last *count* lines, then with each step what was added since."""
    position, rest = 0, ""
    first = True
    while True:
        text = ""
        if log.exists():
            with log.open("r", errors="replace") as file:
                file.seek(position)
                text = file.read()
                position = file.tell()
        *lines, rest = (rest + text).split("\n")
        yield lines[-count:] if first and count else [] if first else lines
        first = False


def _pause() -> None:
    import time

    time.sleep(0.3)


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)

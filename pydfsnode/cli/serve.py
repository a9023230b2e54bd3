"""`pydfsnode serve`: run one node in the foreground."""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pydfsnode.cli.serve_join import join_first
from pydfsnode.errors import ConfigError, DiskFull

if TYPE_CHECKING:
    from pydfsnode.config import NodeConfig

_ROLES = ("master", "chunkserver", "gateway")


@click.command(epilog="Example: pydfsnode serve --role master --config /etc/pydfsnode/m1.toml")
@click.option("--role", type=click.Choice(_ROLES), help="What this node is.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The node's configuration (TOML); the flags below override it.",
)
@click.option("--node-id", help="This node's name, as in its certificate.")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where its data is.")
@click.option("--listen", metavar="HOST:PORT", help="Framed transport.")
@click.option("--grpc-listen", metavar="HOST:PORT", help="gRPC.")
@click.option("--http-listen", metavar="HOST:PORT", help="Health and metrics (HTTPS).")
@click.option("--masters", metavar="M1=HOST:PORT,M2=...", help="All masters.")
@click.option("--bootstrap/--no-bootstrap", default=None, help="Begin a new cluster's log.")
@click.option("--rack", help="Where the chunkserver stands.")
@click.option(
    "--fsync",
    type=click.Choice(["always", "batch", "off"]),
    help="batch and off lose acknowledged writes with the power: for tests only.",
)
@click.option("--join", metavar="HOST:PORT", help="HTTPS of a master that lets this node in.")
@click.option("--join-token", metavar="TOKEN", help="As 'certs token' printed it; seen by others.")
@click.option(
    "--join-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that holds it. [default: $PYDFSNODE_JOIN_TOKEN]",
)
@click.option("--ca-hash", metavar="sha256:HEX", help="The CA's pin, printed with the token.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least grave lines that are logged.",
)
def command(
    config_path: Path,
    join: str | None,
    join_token: str | None,
    join_token_file: Path | None,
    ca_hash: str | None,
    **flags: Any,
) -> int:
    """Run a node in the foreground until SIGTERM or Ctrl-C.

    Exits with 0 when it was asked to stop, else with one sentence that says why.
    """
    from pydfsnode.client.event_loop import run
    from pydfsnode.config import load_node_config

    config = load_node_config(config_path, _overrides(flags))
    join_first(config, join, join_token, join_token_file, ca_hash)
    try:
        return run(_role(config))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(
                f"{error.filename or config.data_dir}: the disk is full: make room, start again"
            ) from None
        raise


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    """The configuration fields that flags were given for; their paths are the caller's."""
    given = {name: value for name, value in flags.items() if value is not None}
    if "masters" in given:
        given["masters"] = [part.strip() for part in given["masters"].split(",")]
    if "data_dir" in given:
        given["data_dir"] = str(Path(given["data_dir"]).absolute())
    return given


def _role(config: NodeConfig) -> Coroutine[Any, Any, int]:
    """The coroutine that is the node; a role's code is imported only here."""
    if config.role == "master":
        from pydfsnode.roles.master.role import run as run_master

        return run_master(config)
    if config.role == "chunkserver":
        from pydfsnode.roles.chunkserver.role import run as run_chunkserver

        return run_chunkserver(config)
    raise ConfigError(
        f"role '{config.role}' is not in this version of pydfsnode: use master or chunkserver"
    )

"""`pydfsnode serve --join`: a new node gets its certificate before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.output import note
from pydfsnode.errors import UsageError

if TYPE_CHECKING:
    from pydfsnode.config import NodeConfig

TOKEN_VARIABLE = "PYDFSNODE_JOIN_TOKEN"


def join_first(
    config: NodeConfig, address: str | None, token: str | None, token_file: Path | None,
    pin: str | None,
) -> None:  # fmt: skip
    """Join when *address* is given and there is no certificate yet; else do nothing.

    Raises:
        UsageError: no token, or no pin. PydfsError: see `security.joining.join`.
    """
    if address is None:
        if token or token_file or pin:
            raise UsageError("--join-token and --ca-hash go with --join HOST:PORT of a master")
        return
    if Path(config.tls.cert).exists():
        return  # joined already: the same command starts the node again
    if pin is None:
        raise UsageError("--join needs --ca-hash sha256:...: 'pydfsnode certs token' prints it")
    from pydfsnode.security.joining import join

    identity = join(
        address, _token(token, token_file), pin, config.role, config.node_id, config.tls
    )
    click.echo(f"joined as {identity.uri}: {config.tls.cert}", err=True)


def _token(token: str | None, token_file: Path | None) -> str:
    if token is not None:
        note("a token on the command line is seen in the list of processes: --join-token-file")
        return token
    if token_file is not None:
        try:
            return token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{token_file}: the token cannot be read: {error}") from None
    found = os.environ.pop(TOKEN_VARIABLE, "").strip()
    if not found:
        raise UsageError(f"--join needs a token: --join-token-file FILE, or ${TOKEN_VARIABLE}")
    return found

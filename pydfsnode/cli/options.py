"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_CONFIG_KEY = "pydfsnode.client_config"


def _remember(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_CONFIG_KEY] = value


def client_config_option(command: F) -> F:
    """`--config FILE`: accepted by the root, a group and a command alike; the innermost counts."""
    return click.option(
        "--config",
        metavar="FILE",
        expose_value=False,
        callback=_remember,
        help="The client's configuration [default: $PYDFSNODE_CONFIG, else "
        "~/.config/pydfsnode/client.toml].",
    )(command)


def given_client_config() -> str | None:
    """What `--config` was given in this invocation, or None."""
    value: str | None = click.get_current_context().meta.get(_CONFIG_KEY)
    return value


def json_option(command: F) -> F:
    """`--json`: the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)

"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_CONFIG_KEY = "pydfsnode.client_config"
_CONSISTENCY_KEY = "pydfsnode.consistency"


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


def _remember_consistency(
    ctx: click.Context, _parameter: click.Parameter, value: str | None
) -> None:
    if value is None:
        return
    from pydfsnode.client.consistency import Consistency
    from pydfsnode.errors import ConfigError

    try:
        Consistency.parse(value)
    except ConfigError as error:
        raise click.BadParameter(error.message) from None
    ctx.meta[_CONSISTENCY_KEY] = value


def consistency_option(command: F) -> F:
    """`--consistency MODE`: of what the command reads; `cli.session` passes it on."""
    return click.option(
        "--consistency",
        metavar="MODE",
        expose_value=False,
        callback=_remember_consistency,
        help="How fresh: linearizable, lease, follower, bounded:MS or stale "
        "[default: as configured, else linearizable].",
    )(command)


def given_consistency() -> str | None:
    """What `--consistency` was given in this invocation, or None."""
    context = click.get_current_context(silent=True)
    value: str | None = None if context is None else context.meta.get(_CONSISTENCY_KEY)
    return value


def json_option(command: F) -> F:
    """`--json`: the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)

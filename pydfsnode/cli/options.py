"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_CONFIG_KEY = "pydfsnode.client_config"
_CONSISTENCY_KEY = "pydfsnode.consistency"
_TIMEOUT_KEY = "pydfsnode.timeout_ms"
_RETRIES_KEY = "pydfsnode.retries"


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


def _remember_timeout(ctx: click.Context, _parameter: click.Parameter, value: float | None) -> None:
    if value is not None:
        ctx.meta[_TIMEOUT_KEY] = round(value * 1000)


def _remember_retries(ctx: click.Context, _parameter: click.Parameter, value: int | None) -> None:
    if value is not None:
        ctx.meta[_RETRIES_KEY] = value


def add_patience(command: click.Command) -> None:
    """Give *command*, and those below it, `--timeout` and `--retries`: all that take `--config`.

    A command with an option of its own of that name keeps it.
    """
    taken = {name for parameter in command.params for name in parameter.opts}
    if "--config" in taken:
        command.params += [each for each in _patience() if each.opts[0] not in taken]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_patience(inner)


def _patience() -> list[click.Option]:
    return [
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0.001),
            metavar="SECONDS",
            expose_value=False,
            callback=_remember_timeout,
            help="Give each operation up after this time. Until then masters and servers that "
            "fail are ridden out: others are asked, and a change is asked for again under the "
            "same id, so that it takes effect once [default: as configured, else 30].",
        ),
        click.Option(
            ["--retries"],
            type=click.IntRange(min=0),
            metavar="N",
            expose_value=False,
            callback=_remember_retries,
            help="Ask again at most so often after faults, 0 for never; to look for the leader "
            "among the masters is no retry [default: as often as the timeout allows].",
        ),
    ]


def given_timeout_ms() -> int | None:
    """What `--timeout` was given in this invocation, in milliseconds, or None."""
    context = click.get_current_context(silent=True)
    value: int | None = None if context is None else context.meta.get(_TIMEOUT_KEY)
    return value


def given_retries() -> int | None:
    """What `--retries` was given in this invocation, or None."""
    context = click.get_current_context(silent=True)
    value: int | None = None if context is None else context.meta.get(_RETRIES_KEY)
    return value

"""Runs a command's work against the configured cluster."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from pydfsnode.cli.options import (
    given_client_config,
    given_consistency,
    given_retries,
    given_timeout_ms,
)
from pydfsnode.cli.output import note
from pydfsnode.obs.log import configure, get_logger
from pydfsnode.obs.request_scope import request

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.model import Freshness

LOG_VARIABLE = "PYDFSNODE_LOG"
"""Names a file that gets a line for every call of a command, with its request and trace ids."""

_log = get_logger("cli")
T = TypeVar("T")


def with_file_system(
    work: Callable[[AsyncFileSystem], Awaitable[T]], timeout_ms: int | None = None
) -> T:
    """Connect with the configuration that was given, do *work*, close.

    Says on standard error when something read may be old: JSON has that beside what was read.

    Args:
        timeout_ms: of each operation, in place of the configuration's.
    Raises:
        ConfigError, CertificateInvalid: no or a wrong configuration.
        PydfsError: what *work* raises.
    """
    from pydfsnode.client.event_loop import run
    from pydfsnode.config import client_config_path, load_client_config
    from pydfsnode.errors import ClusterError
    from pydfsnode.security import renewal_advice

    _begin_log()
    renewal_advice.adviser.say = note
    config = load_client_config(given_client_config())
    config.consistency = given_consistency() or config.consistency
    config.retries = config.retries if given_retries() is None else given_retries()
    timeout_ms = given_timeout_ms() if timeout_ms is None else timeout_ms
    if timeout_ms is not None:
        config.timeout_ms, config.timeouts_ms = timeout_ms, {}

    async def connected() -> T:
        from pydfsnode.client.filesystem import AsyncFileSystem

        with request() as scope:
            _log.debug("command", request_id=scope.request_id)
            async with await AsyncFileSystem.connect(config) as fs, _told_to_wait(fs):
                try:
                    return await work(fs)
                finally:
                    _tell_age(fs.stalest)

    try:
        return run(connected())
    except ClusterError as error:
        from pydfsnode.cli.diagnosis import diagnosed

        where = str(client_config_path(given_client_config()))
        raise diagnosed(error, config, where) from None


def _begin_log() -> None:
    """Every call of this command as a line of a file, if the environment names one."""
    path = os.environ.get(LOG_VARIABLE)
    if path:
        from pathlib import Path

        configure("debug", getpass.getuser(), "client", Path(path))


def age_text(staleness_ms: int, served_by: str) -> str:
    """As in "may be up to 40 ms old (m2 answered)"."""
    age = f"up to {staleness_ms} ms old" if staleness_ms >= 0 else "old; nobody knows how old"
    return f"may be {age} ({served_by} answered)"


def _tell_age(stalest: Freshness | None) -> None:
    context = click.get_current_context(silent=True)
    as_json = context is not None and context.params.get("as_json", False)
    if stalest is not None and stalest.may_miss and not as_json:
        note(age_text(stalest.staleness_ms, stalest.served_by))


@asynccontextmanager
async def _told_to_wait(fs: AsyncFileSystem) -> AsyncIterator[None]:
    """Says once when no master has answered for a while: silence looks like a hang."""
    import asyncio

    async def watch() -> None:
        while True:
            await asyncio.sleep(_PATIENCE_SECONDS)
            if (problem := fs.waiting_because()) is not None:
                note(f"still waiting: {problem} (Ctrl-C to give up)")
                return

    task = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        task.cancel()


_PATIENCE_SECONDS = 3.0

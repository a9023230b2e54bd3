"""Waiting for long work of the fleet: one line that is written anew, or lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.fleet import FleetState

POLL_SECONDS = 1.0


async def wait_for(
    fs: AsyncFileSystem,
    is_done: Callable[[FleetState], bool],
    line: Callable[[FleetState], str],
    *,
    silent: bool,
) -> FleetState:
    """Look at the fleet until *is_done*, and tell *line* of what is seen whenever it changes."""
    import asyncio

    told = _Told(silent)
    while True:
        state = await fs.fleet_state()
        told.say(line(state))
        if is_done(state):
            told.end()
            return state
        await asyncio.sleep(POLL_SECONDS)


class _Told:
    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._on_terminal = sys.stderr.isatty()
        self._last = ""

    def say(self, text: str) -> None:
        if self._silent or text == self._last:
            return
        if self._on_terminal:
            click.echo("\r" + text.ljust(len(self._last)), nl=False, err=True)
        else:
            click.echo(text, err=True)
        self._last = text

    def end(self) -> None:
        if self._on_terminal and self._last:
            click.echo(err=True)

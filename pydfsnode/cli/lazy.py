"""Command groups whose commands are imported only when they run.

`--help` lists them from the table alone, so that it costs no import of what the commands need.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is ("module:attribute" below pydfsnode.cli) and its line in the help."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group that knows its commands by name until one is asked for."""

    table: Mapping[str, Lazy] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(f"pydfsnode.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])


def lazy_group(table: Mapping[str, Lazy]) -> type[LazyGroup]:
    """A class for `@click.group(cls=...)` with these commands."""
    return type("Group", (LazyGroup,), {"table": table})

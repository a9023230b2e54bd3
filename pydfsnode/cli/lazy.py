"""Command groups whose commands are imported only when they run.

`--help` lists them from the table alone, so that it costs no import of what the commands need.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import add_patience

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is ("module:attribute" below pydfsnode.cli) and its line in the help."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group that knows its commands by name until one is asked for."""

    table: Mapping[str, Lazy] = {}
    other_names: Mapping[str, str] = {}
    """Targets of names that are taken but not listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command."""
        entry = self.table.get(cmd_name)
        target = self.other_names.get(cmd_name) if entry is None else entry.target
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(f"pydfsnode.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        add_patience(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options that begin so, without importing a command."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.table.items()
            if name.startswith(incomplete)
        ]


def lazy_group(table: Mapping[str, Lazy]) -> type[LazyGroup]:
    """A class for `@click.group(cls=...)` with these commands."""
    return type("Group", (LazyGroup,), {"table": table})

"""Paths in the cluster as arguments, completed by asking the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.types import StringParamType

from pydfsnode.cli.options import given_client_config
from pydfsnode.errors import PydfsError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pydfsnode.client.model import FileStatus

TIMEOUT_MS = 1000
"""Nobody waits longer for the Tab key."""
SHOWN_MAX = 200


class ClusterPath(StringParamType):
    """A path in the cluster.

    Args:
        local: it may be a local path as well, as the last one of `fs get`.
    """

    def __init__(self, local: bool = False) -> None:
        self._local = local

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The entries of the directory that is being typed; none when nobody answers."""
        from click.shell_completion import CompletionItem

        if self._local and not incomplete.startswith("/"):
            return [CompletionItem(incomplete, type="file")]
        directory, _, begun = incomplete.rpartition("/")
        try:
            with ctx.scope(cleanup=False):
                found = _entries(directory or "/", begun)
        except (PydfsError, OSError):
            return []  # a message would break the line that is being typed
        return [CompletionItem(_typed(entry), help=entry.type) for entry in found]


class LocalPath(StringParamType):
    """A local path; behind others, where the path in the cluster comes last, either."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Local names, and for what begins with "/" those of the cluster once one is given."""
        from click.shell_completion import CompletionItem

        given = any(ctx.params.get(name) for name in ("sources", "destination"))
        if given and incomplete.startswith("/"):
            return ClusterPath().shell_complete(ctx, param, incomplete)
        return [CompletionItem(incomplete, type="file")]


def _typed(entry: FileStatus) -> str:
    return f"{entry.path}/" if entry.is_directory else entry.path


def _entries(directory: str, begun: str) -> list[FileStatus]:
    """The first entries of *directory* whose names begin with *begun*."""
    from pydfsnode.client.event_loop import run
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.config import load_client_config

    config = load_client_config(given_client_config())
    config.timeout_ms = TIMEOUT_MS

    async def look() -> list[FileStatus]:
        found: list[FileStatus] = []
        async with await AsyncFileSystem.connect(config) as fs:
            async for entry in fs.scandir(directory, consistency="stale"):
                if entry.name.startswith(begun):
                    found.append(entry)
                if len(found) == SHOWN_MAX:
                    break
        return found

    return run(look())

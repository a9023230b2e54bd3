"""What the verbs of `fs` share: many paths, patterns, and refusals told one by one.

What the namespace refuses for one path is told and the others are still done; the exit code is 1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from pydfsnode.cli.fs_glob import matches
from pydfsnode.cli.output import note, refusal_text
from pydfsnode.cli.path_type import ClusterPath
from pydfsnode.cli.session import age_text, with_file_system
from pydfsnode.errors import DomainError

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem, Reads

F = TypeVar("F", bound=Callable[..., object])
LINEARIZABLE = "linearizable"
"""How what decides on a change is read."""

paths_argument = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=ClusterPath()
)
human_option = click.option("-h", "human", is_flag=True, help="Sizes for people: 1.5K, 20M.")


def recursive_option(help_text: str) -> Callable[[F], F]:
    """`-R`: the parameter `recursive`."""
    return click.option("-R", "recursive", is_flag=True, help=help_text)


class Refusals:
    """Tells what the namespace refuses, each as one sentence, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    async def around(self, work: Awaitable[object]) -> None:
        """Await *work*; a DomainError is told instead of raised."""
        try:
            await work
        except DomainError as error:
            self.tell(error)

    def tell(self, error: DomainError) -> None:
        """Tell and count *error*."""
        self.count += 1
        note(_with_age(error))


def _with_age(error: DomainError) -> str:
    """The message, with the age of the state that it speaks of when that may be old."""
    staleness_ms = int(error.fields.get("staleness_ms", 0))
    if not staleness_ms:
        return refusal_text(error)
    age = age_text(staleness_ms, str(error.fields.get("served_by")))
    return f"{refusal_text(error)}; this {age}"


def run(work: Callable[[AsyncFileSystem, Refusals], Awaitable[None]]) -> None:
    """Do *work* on the configured cluster.

    Raises:
        click.exceptions.Exit: with 1, at the end, when something was refused.
    """
    refusals = Refusals()

    async def told(fs: AsyncFileSystem) -> None:
        await refusals.around(work(fs, refusals))

    with_file_system(told)
    if refusals.count:
        raise click.exceptions.Exit(1)


def for_each(
    patterns: Sequence[str],
    work: Callable[[AsyncFileSystem, str], Awaitable[None]],
    *,
    changes: bool = False,
    at_once: int = 1,
) -> None:
    """Do *work* for each path that *patterns* mean.

    Args:
        changes: *work* changes something: patterns are then expanded linearizably.
        at_once: paths that are worked on at the same time, each path once among them.
    Raises:
        click.exceptions.Exit: with 1, at the end, when one was refused.
    """

    async def all_of_them(fs: AsyncFileSystem, refusals: Refusals) -> None:
        import asyncio

        waiting: dict[str, None] = {}

        async def flush() -> None:
            await asyncio.gather(*(refusals.around(work(fs, path)) for path in waiting))
            waiting.clear()

        async for path in expanded(fs, patterns, refusals, LINEARIZABLE if changes else None):
            waiting[path] = None
            if len(waiting) >= at_once:
                await flush()
        await flush()

    run(all_of_them)


async def expanded(
    fs: AsyncFileSystem, patterns: Sequence[str], refusals: Refusals, consistency: Reads = None
) -> AsyncIterator[str]:
    """The paths that *patterns* mean; one that means too much is told."""
    for pattern in patterns:
        found: list[str] = []
        try:
            found = await matches(fs, pattern, consistency)
        except DomainError as error:
            refusals.tell(error)
        for path in found:
            yield path

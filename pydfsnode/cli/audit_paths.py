"""Which files an `audit` command looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pydfsnode.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)


def paths_argument(command: F) -> F:
    """`PATH...` and `--data-dir`: the parameters `paths` and `data_dirs`."""
    command = click.argument("paths", nargs=-1, type=_PATH, metavar="[PATH]...")(command)
    return click.option(
        "--data-dir", "data_dirs", multiple=True, type=_PATH, metavar="DIR",
        help="A node's data directory: its trail is in DIR-audit, if not configured otherwise.",
    )(command)  # fmt: skip


def found_paths(paths: Sequence[Path], data_dirs: Sequence[Path]) -> list[Path]:
    """The files and directories that were named.

    Raises:
        UsageError: there is none, or nothing of a trail.
    """
    from pydfsnode.security.audit.trail_files import trail_files

    named = [*paths, *(each.with_name(f"{each.name}-audit") for each in data_dirs)]
    if not named:
        raise UsageError(
            "name the files or directories of trails: a node's is DATA_DIR-audit, or dir of "
            "[audit] in its configuration"
        )
    for each in named:
        if not each.exists():
            raise UsageError(f"{each}: there is no such file or directory")
        if not trail_files([each]):
            raise UsageError(f"{each}: holds no audit trail (NODE-TRAIL-NUMBER.jsonl or .log)")
    return named

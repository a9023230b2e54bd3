"""How results look: JSON for programs, aligned text in a pipe, tables on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from pydfsnode import errors
from pydfsnode.cli.advice import advice_once

if TYPE_CHECKING:
    from pydfsnode.client.model import Freshness

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_WORDS: dict[type[errors.PydfsError], str] = {
    errors.NotFound: "No such file or directory",
    errors.AlreadyExists: "File exists",
    errors.NotADirectory: "Is not a directory",
    errors.IsADirectory: "Is a directory",
    errors.DirectoryNotEmpty: "Directory is not empty",
    errors.AccessDenied: "Permission denied",
    errors.NotSupported: "Operation not supported",
}
"""Those of `hdfs dfs`, which scripts look for."""


_COLOURS = {
    "OK": "green", "WARN": "yellow", "ERROR": "red",
    "live": "green", "live, decommissioning": "yellow", "live, maintenance": "yellow",
    "dead": "red", "leader": "cyan", "candidate": "yellow",
}  # fmt: skip
"""Of words that tell how something is."""


def print_json(value: Any) -> None:
    """Print dataclasses, lists and mappings as one JSON document."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def freshness_json(freshness: Freshness | None) -> dict[str, Any]:
    """{"freshness": the label} of a read that was not the default, else {}."""
    return {} if freshness is None else {"freshness": freshness}


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
    """Print *rows* under *head*.

    Args:
        right: the heads, separated by spaces, of columns that are aligned to the right (numbers).
    """
    numbers = [title in right.split() for title in head]
    if sys.stdout.isatty():
        _print_rich(head, rows, numbers)
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        click.echo(_aligned(row, widths, numbers))


def coloured(word: str) -> str:
    """*word* in the colour of what it tells, on a terminal and without NO_COLOR."""
    colour = _COLOURS.get(word)
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    return click.style(word, fg=colour)


def aligned_rows(rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> list[str]:
    """*rows* as lines with aligned columns and no head."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(numbers))]
    return [_aligned(row, widths, numbers) for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    cells = [
        cell.rjust(width) if number else cell.ljust(width)
        for cell, width, number in zip(row, widths, numbers, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _print_rich(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]
) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    for title, number in zip(head, numbers, strict=True):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        # Text: "[x]" in a name is no markup.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)


def binary_size(size: int) -> str:
    """1536 as "1.5 KiB"."""
    return _scaled(size, 1024, _BINARY)


def decimal_size(size: float) -> str:
    """1500000 as "1.5 MB", as rates and totals are given."""
    return _scaled(size, 1000, _DECIMAL)


def _scaled(size: float, step: int, units: Sequence[str]) -> str:
    position = 0
    while size >= step and position < len(units) - 1:
        size /= step
        position += 1
    unit = units[position]
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def short_size(size: int) -> str:
    """As `hdfs dfs -ls -h`: 1536 as "1.5K", 512 as "512"."""
    return binary_size(size).replace("iB", "").replace(" B", "").replace(" ", "")


def plural(count: int, noun: str, many: str = "") -> str:
    """2014, "file" as "2,014 files"; *many* where that is not *noun* with an s."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def refusal_text(error: errors.PydfsError) -> str:
    """As in "'/x' does not exist: No such file or directory [2001]", with what to do about it."""
    words = _WORDS.get(type(error), "")
    text = error.message
    if words and words.lower() not in text.lower():
        text += f": {words}"
    if remedy := advice_once(error):
        text += f"; {remedy}"
    return f"{text} [{error.code}]"


def local_error_text(error: OSError, path: str = "") -> str:
    """As in "/x: Permission denied", with what to do about it; *path* where it names none."""
    name = error.filename or path
    if not error.strerror:
        return str(error)
    text = f"{name}: {error.strerror}" if name else str(error)
    return f"{text}; {remedy}" if (remedy := advice_once(error)) else text


class Rows:
    """What a command did, path by path: a sentence each as it comes, or one JSON list at the end.

    Use as a context manager around the work.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._as_json:
            print_json(self._rows)

    def add(self, sentence: str, **row: Any) -> None:
        """Print *sentence*, or keep *row* for the list."""
        if self._as_json:
            self._rows.append(row)
        else:
            click.echo(sentence)


def note(message: str) -> None:
    """One sentence on standard error, as errors are written."""
    click.echo(f"pydfsnode: {message}", err=True)

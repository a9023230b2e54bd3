"""A number of bytes as people write it."""

from __future__ import annotations

import re

import click

_UNITS = "KMGTPE"
_FORM = re.compile(rf"(\d+)([{_UNITS}]?)(?:I?B)?")


def parse_size(text: str) -> int:
    """ "4096", "4k", "10G", "10GiB": units are powers of 1024, as with `hdfs dfs`.

    Raises:
        click.BadParameter: it is no number of bytes.
    """
    match = _FORM.fullmatch(text.upper())
    if match is None:
        raise click.BadParameter(f"{text!r} is no number of bytes: write 4096, 4K or 10G")
    return int(match[1]) << (10 * (_UNITS.index(match[2]) + 1) if match[2] else 0)

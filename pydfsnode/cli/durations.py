"""A time as people write it, and times for people."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FORM = re.compile(r"(\d+)([smhd])")


def parse_duration(text: str) -> int:
    """ "90s", "30m", "2h", "1d" in seconds.

    Raises:
        click.BadParameter: it is no time, or none at all.
    """
    match = _FORM.fullmatch(text.strip().lower())
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{text!r} is no time: write 90s, 30m, 2h or 1d")
    return int(match[1]) * _SECONDS[match[2]]


def shown_time(at_ms: int) -> str:
    """Local time to the minute, as in "2026-11-23 14:05"."""
    from datetime import datetime

    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")

"""Modes as `chmod` takes them: octal, or letters that change what is there."""

from __future__ import annotations

import re
from collections.abc import Callable

from pydfsnode.errors import UsageError

Change = Callable[[int, bool], int]
"""From a mode, and whether it is a directory's, to the new mode."""

_OCTAL = re.compile(r"[01]?[0-7]{3}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXt]*)+)")
_ACTION = re.compile(r"([-+=])([rwxXt]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_STICKY = 0o1000


def parse_mode(text: str) -> Change:
    """What *text* does to a mode: "755", "1777", "u+x,g-w", "a=r", "+t", "go=".

    Raises:
        UsageError: it is neither; setuid and setgid do not exist.
    """
    if _OCTAL.fullmatch(text):
        return lambda _mode, _is_directory: int(text, 8)
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    actions: list[tuple[str, str, str]] = []
    for clause in clauses:
        if clause is None:
            raise UsageError(
                f"{text!r} is no mode: write octal (755, 1777) or letters (u+x,g-w, a=r, +t)"
            )
        actions += [
            (clause[1] or "a", action[1], action[2]) for action in _ACTION.finditer(clause[2])
        ]

    def change(mode: int, is_directory: bool) -> int:
        for who, sign, letters in actions:
            mode = _changed(mode, is_directory, who, sign, letters)
        return mode

    return change


def _changed(mode: int, is_directory: bool, who: str, sign: str, letters: str) -> int:
    bits = sum(_BITS[letter] for letter in set(letters) if letter in _BITS)
    if "X" in letters and (is_directory or mode & 0o111):  # X: where executing makes sense already
        bits |= 1
    classes = _SHIFTS if "a" in who else set(who)
    chosen = sum(bits << _SHIFTS[letter] for letter in classes)
    if sign == "=":
        mode &= ~sum(7 << _SHIFTS[letter] for letter in classes)
    if "t" in letters and not {"a", "o"}.isdisjoint(who):
        chosen |= _STICKY
    return mode & ~chosen if sign == "-" else mode | chosen

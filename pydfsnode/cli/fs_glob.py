"""Patterns in paths, expanded by the client on pages of directories.

As `hdfs dfs` has them: `*` `?` `[abc]` `[^a-z]` `{one,two}`, and `\\` before a character that is
meant as it is. As a shell does, a pattern that nothing matches stands for itself.
"""

from __future__ import annotations

import fnmatch
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from pydfsnode.client import paths
from pydfsnode.errors import AccessDenied, InvalidArgument, NotADirectory, NotFound

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem, Reads

_SPECIAL = frozenset("*?[{\\")
_ALTERNATIVES_MAX = 1024


async def matches(fs: AsyncFileSystem, pattern: str, consistency: Reads = None) -> list[str]:
    """The existing paths that *pattern* means, in order; [pattern] when it is none or finds none.

    Raises:
        InvalidArgument: its braces mean too much.
    """
    if _SPECIAL.isdisjoint(pattern):
        return [pattern]
    found: set[str] = set()
    for alternative in alternatives(pattern):
        found.update(await _existing(fs, alternative, consistency))
    return sorted(found) or [pattern]


async def _existing(fs: AsyncFileSystem, pattern: str, consistency: Reads) -> list[str]:
    """Of a pattern without braces, name by name from the root down."""
    found = ["/"]
    certain = True  # whether the paths found so far are known to exist
    for part in (part for part in pattern.split("/") if part):
        if _SPECIAL.isdisjoint(part):
            found = [paths.join(directory, part) for directory in found]
            certain = False
            continue
        names = compiled(part)
        below: list[str] = []
        for directory in found:
            below += await _entries(fs, directory, names, consistency)
        found, certain = below, True
    if certain:
        return found
    return [path for path in found if await fs.exists(path, consistency=consistency)]


async def _entries(
    fs: AsyncFileSystem, directory: str, names: re.Pattern[str], consistency: Reads
) -> list[str]:
    found: list[str] = []
    try:
        async for entry in fs.scandir(directory, consistency=consistency):
            if entry.path == directory:  # a file lists itself
                return []
            if names.match(entry.name):
                found.append(entry.path)
    except (NotFound, NotADirectory, AccessDenied):
        return []  # nothing there that could match; what is asked for itself is still refused
    return found


def alternatives(pattern: str) -> list[str]:
    """*pattern* with each combination of what its braces hold: "/{a,b}" as "/a" and "/b".

    Raises:
        InvalidArgument: there are too many.
    """
    done: list[str] = []
    pending = [pattern]
    while pending:
        text = pending.pop()
        braces = _braces(text)
        if braces is None:
            done.append(text)
        else:
            start, commas, end = braces
            edges = [start, *commas, end]
            pending += [
                text[:start] + text[left + 1 : right] + text[end + 1 :]
                for left, right in pairwise(edges)
            ]
        if len(pending) + len(done) > _ALTERNATIVES_MAX:
            raise InvalidArgument(f"{pattern!r} means more than {_ALTERNATIVES_MAX} patterns")
    return done


def _braces(text: str) -> tuple[int, list[int], int] | None:
    """The first outermost pair of braces and the commas that divide it; None when there is none."""
    depth = start = position = 0
    commas: list[int] = []
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter == "{":
            if depth == 0:
                start, commas = position, []
            depth += 1
        elif letter == "," and depth == 1:
            commas.append(position)
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                return start, commas, position
        position += 1
    return None


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of one name, without braces, as a regular expression."""
    return re.compile(fnmatch.translate(shell_pattern(pattern)))


def shell_pattern(pattern: str, any_case: bool = False) -> str:
    """A pattern of one name, without braces, as the masters take it: * ? [abc] [!a-z].

    Args:
        any_case: "A" is to match "a" as well.
    """
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "[" and (end := pattern.find("]", position + 1)) > 0:
            parts.append(_one_of(pattern[position:end], any_case))
            position = end + 1
        elif letter == "\\" and position < len(pattern):
            parts.append(f"[{_cases(pattern[position], any_case)}]")
            position += 1
        elif letter in "*?":
            parts.append(letter)
        else:
            cases = _cases(letter, any_case)
            parts.append(letter if cases == letter != "[" else f"[{cases}]")
    return "".join(parts)


def _one_of(inside: str, any_case: bool) -> str:
    """What stands between "[" and "]", with them."""
    negated = "!" if inside[0] in "^!" else ""
    return f"[{negated}{_cases(inside[len(negated) :], any_case)}]"


def _cases(letters: str, any_case: bool) -> str:
    if not any_case:
        return letters
    swapped = letters.swapcase()
    return letters if swapped == letters or len(swapped) != len(letters) else letters + swapped

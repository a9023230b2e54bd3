"""Search a tree by name, step by step: a step looks at a bounded number of inodes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import lru_cache

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.find_places import Place, place_at
from pydfsnode.meta.results import FileView, Found
from pydfsnode.meta.state import Namespace

LOOKED_AT_MAX = 2_000
"""Inodes that one step looks at: a few milliseconds."""


def find(
    namespace: Namespace,
    path: str,
    caller: Caller,
    pattern: str = "",
    kind: str | None = None,
    start_after: str = "",
    limit: int = 0,
) -> Found:
    """One step of the search below *path*, itself included; each directory before its entries.

    Also inside a snapshot; what lies below a directory does not include its snapshots.

    What *caller* may not list is passed over.

    Args:
        pattern: of the last name, as a shell's (* ? [...]); "": all.
        kind: "file" or "directory"; None or "": both.
        start_after: `next` of the step before; what it names need not exist any more.
        limit: matches, at most LIST_ENTRIES_MAX; 0: that many.

    Raises:
        InvalidPath, NotFound, NotADirectory, AccessDenied: of *path*.
        InvalidArgument: the pattern is too long, or start_after is not below *path*.
    """
    if not 0 < limit <= limits.LIST_ENTRIES_MAX:
        limit = limits.LIST_ENTRIES_MAX
    top = place_at(namespace.tree, path, caller)
    search = _Search(caller, pattern, kind or "", limit)
    if start_after:
        search.resume(top, path, start_after)
    else:
        search.begin(top, path)
    return search.run()


class _Search:
    """A walk in order, with the entries that are left in the directories down to where it is."""

    def __init__(self, caller: Caller, pattern: str, kind: str, limit: int) -> None:
        self._caller = caller
        self._matches = _matcher(pattern).match if pattern else None
        self._kind = kind
        self._limit = limit
        self._found: list[FileView] = []
        self._way: list[tuple[Iterator[tuple[str, Place | None]], str]] = []
        self._looked_at = 0
        self._last = ""

    def begin(self, top: Place, path: str) -> None:
        """From the top, itself first."""
        self._look(top, path.rpartition("/")[2], path)

    def resume(self, top: Place, path: str, start_after: str) -> None:
        """From behind *start_after*. Raises InvalidArgument unless that lies below *path*."""
        self._last = start_after
        if start_after == path:
            self._enter(top, path)
            return
        prefix = path if path == "/" else path + "/"
        if not start_after.startswith(prefix):
            raise InvalidArgument(
                f"the search in {paths.shown(path)} cannot go on behind {paths.shown(start_after)}"
            )
        at: Place | None = top
        for name in start_after[len(prefix) :].split("/"):
            if at is None or not self._enter(at, path, name):
                return
            at, path = at.child(name), paths.join(path, name)
        if at is not None:
            self._enter(at, path)

    def run(self) -> Found:
        """Walk on until enough was looked at or found."""
        while self._way and self._has_room():
            entries, path = self._way[-1]
            following = next(entries, None)
            if following is None:
                self._way.pop()
                continue
            name, place = following
            self._look(place, name, paths.join(path, name))
        return Found(self._found, bool(self._way), self._last)

    def _look(self, place: Place | None, name: str, path: str) -> None:
        self._looked_at += 1
        self._last = path
        if place is None:
            return
        kind = "directory" if place.is_directory else "file"
        matches = self._matches is None or self._matches(name) is not None
        if matches and self._kind in ("", kind):
            self._found.append(place.view(path))
        self._enter(place, path)

    def _enter(self, place: Place, path: str, after: str = "") -> bool:
        """Go into *place* next, behind *after*, if it is a directory that the caller may list."""
        if not place.is_directory or not place.may_list(self._caller):
            return False
        self._way.append((place.entries(after), path))
        return True

    def _has_room(self) -> bool:
        return self._looked_at < LOOKED_AT_MAX and len(self._found) < self._limit


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    if len(pattern.encode(errors="replace")) > limits.NAME_BYTES_MAX:
        raise InvalidArgument(
            f"a pattern of {len(pattern)} characters: at most {limits.NAME_BYTES_MAX} bytes"
        )
    return re.compile(fnmatch.translate(pattern))

"""Search a tree by name, step by step: a step looks at a bounded number of inodes."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.access import EXECUTE, READ, may
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.results import FileView, Found
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import Tree

LOOKED_AT_MAX = 2_000
"""Inodes that one step looks at: a few milliseconds."""
_PAGE = 256


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
    top = namespace.tree.walk(path, caller)
    search = _Search(namespace.tree, caller, pattern, kind or "", limit)
    if start_after:
        search.resume(top, path, start_after)
    else:
        search.begin(top, path)
    return search.run()


class _Search:
    """A walk in order, with the directories on the way from the top down to where it is."""

    def __init__(self, tree: Tree, caller: Caller, pattern: str, kind: str, limit: int) -> None:
        self._tree = tree
        self._caller = caller
        self._matches = _matcher(pattern).match if pattern else None
        self._kind = kind
        self._limit = limit
        self._found: list[FileView] = []
        self._way: list[tuple[Inode, str, str]] = []  # directory, its path, the last name seen
        self._looked_at = 0
        self._last = ""

    def begin(self, top: Inode, path: str) -> None:
        """From the top, itself first."""
        self._look(top, path)

    def resume(self, top: Inode, path: str, start_after: str) -> None:
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
        at: Inode | None = top
        for name in start_after[len(prefix) :].split("/"):
            if at is None or not self._enter(at, path):
                return
            self._way[-1] = (at, path, name)
            at, path = self._tree.table.child(at, name), paths.join(path, name)
        if at is not None:
            self._enter(at, path)

    def run(self) -> Found:
        """Walk on until enough was looked at or found."""
        while self._way and self._has_room():
            directory, path, after = self._way.pop()
            page = self._tree.table.page(directory, after, _PAGE)
            for inode in page:
                entered = self._look_below(directory, path, inode)
                if entered or not self._has_room():
                    break
            else:
                if len(page) == _PAGE:
                    self._way.append((directory, path, page[-1].name))
        return Found(self._found, bool(self._way), self._last)

    def _look_below(self, directory: Inode, path: str, inode: Inode) -> bool:
        """Look at *inode* in *directory*; returns whether the way leads into it now."""
        depth = len(self._way)
        self._way.append((directory, path, inode.name))
        self._look(inode, paths.join(path, inode.name))
        entered = len(self._way) > depth + 1
        if not entered and self._has_room():
            self._way.pop()  # the page goes on
        return entered

    def _look(self, inode: Inode, path: str) -> None:
        self._looked_at += 1
        self._last = path
        kind = "directory" if inode.is_directory else "file"
        matches = self._matches is None or self._matches(inode.name) is not None
        if matches and self._kind in ("", kind):
            self._found.append(self._tree.view(inode, path))
        self._enter(inode, path)

    def _enter(self, inode: Inode, path: str) -> bool:
        """Go into *inode* next, if it is a directory that the caller may list."""
        if not inode.is_directory:
            return False
        acl = self._tree.acl_of(inode)
        if not may(inode, self._caller, READ | EXECUTE, acl):
            return False
        self._way.append((inode, path, ""))
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

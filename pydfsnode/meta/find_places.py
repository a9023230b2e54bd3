"""What a search comes by: what is there now, what a snapshot saw, and `.snapshot` itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pydfsnode._fast import Inode
from pydfsnode.meta import access
from pydfsnode.meta.access import EXECUTE, READ
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.history_reading import Seen, SeenTree
from pydfsnode.meta.queries import is_past
from pydfsnode.meta.results import FileView
from pydfsnode.meta.snapshot_queries import Reached, resolve, shelf_view
from pydfsnode.meta.tree import Tree

_PAGE_MIN, _PAGE_MAX = 16, 256


class Place(Protocol):
    """A file or directory at one path."""

    @property
    def is_directory(self) -> bool:
        """Whether it can have entries."""

    def may_list(self, caller: Caller) -> bool:
        """Whether *caller* may list this directory."""

    def view(self, path: str) -> FileView:
        """What to tell about it, at *path*."""

    def child(self, name: str) -> Place | None:
        """The entry *name* of this directory."""

    def entries(self, after: str) -> Iterator[tuple[str, Place | None]]:
        """The entries of this directory by name, from behind *after*.

        None: what was to be passed over, at the cost of an entry.
        """


def place_at(tree: Tree, path: str, caller: Caller) -> Place:
    """What *path* leads to.

    Raises:
        InvalidPath, NotFound, NotADirectory, AccessDenied.
    """
    if not is_past(path):
        return Present(tree, tree.walk(path, caller))
    found = resolve(tree, path, caller)
    return Past(found.seen, found.inode) if isinstance(found, Reached) else Shelf(tree, found)


class Present:
    """As it is now."""

    __slots__ = ("_inode", "_tree")

    def __init__(self, tree: Tree, inode: Inode) -> None:
        self._tree, self._inode = tree, inode

    @property
    def is_directory(self) -> bool:
        """See Place."""
        return self._inode.is_directory

    def may_list(self, caller: Caller) -> bool:
        """See Place."""
        return access.may(self._inode, caller, READ | EXECUTE, self._tree.acl_of(self._inode))

    def view(self, path: str) -> FileView:
        """See Place."""
        return self._tree.view(self._inode, path)

    def child(self, name: str) -> Present | None:
        """See Place."""
        inode = self._tree.table.child(self._inode, name)
        return None if inode is None else Present(self._tree, inode)

    def entries(self, after: str) -> Iterator[tuple[str, Present | None]]:
        """See Place."""
        tree, count = self._tree, _PAGE_MIN
        while True:
            page = tree.table.page(self._inode, after, count)
            for inode in page:
                yield inode.name, Present(tree, inode)
            if len(page) < count:
                return
            after, count = page[-1].name, min(2 * count, _PAGE_MAX)


class Past:
    """As a snapshot saw it."""

    __slots__ = ("_inode", "_seen")

    def __init__(self, seen: SeenTree, inode: Seen) -> None:
        self._seen, self._inode = seen, inode

    @property
    def is_directory(self) -> bool:
        """See Place."""
        return self._inode.is_directory

    def may_list(self, caller: Caller) -> bool:
        """See Place."""
        return access.may(self._inode, caller, READ | EXECUTE, self._seen.acl_of(self._inode))

    def view(self, path: str) -> FileView:
        """See Place."""
        return self._seen.view(self._inode, path)

    def child(self, name: str) -> Past | None:
        """See Place."""
        inode_id = self._seen.child(self._inode.inode_id, name)
        return Past(self._seen, self._seen.inode(inode_id)) if inode_id else None

    def entries(self, after: str) -> Iterator[tuple[str, Past | None]]:
        """See Place."""
        seen = self._seen
        for name, inode_id in seen.scanned(self._inode.inode_id, after):
            yield name, Past(seen, seen.inode(inode_id)) if inode_id else None


class Shelf:
    """`.snapshot` of a directory: its entries are the snapshots."""

    __slots__ = ("_directory", "_tree")
    is_directory = True

    def __init__(self, tree: Tree, directory: Inode) -> None:
        self._tree, self._directory = tree, directory

    def may_list(self, caller: Caller) -> bool:
        """See Place."""
        acl = self._tree.acl_of(self._directory)
        return access.may(self._directory, caller, READ | EXECUTE, acl)

    def view(self, path: str) -> FileView:
        """See Place."""
        return shelf_view(self._tree, self._directory, path)

    def child(self, name: str) -> Past | None:
        """See Place."""
        seq = self._tree.history.find(self._directory, name)
        return self._top(seq) if seq else None

    def entries(self, after: str) -> Iterator[tuple[str, Past | None]]:
        """See Place."""
        index = self._tree.history.index
        seqs = index.of_directory.get(self._directory.inode_id, ())
        for name, seq in sorted((index.snapshots.rows[seq].name, seq) for seq in seqs):
            if name > after:
                yield name, self._top(seq)

    def _top(self, seq: int) -> Past:
        seen = SeenTree(self._tree, seq)
        return Past(seen, seen.inode(self._directory.inode_id))

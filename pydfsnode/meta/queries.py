"""Questions to the namespace that change nothing; each as *caller* may see it."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.meta import paths, snapshot_queries
from pydfsnode.meta.access import EXECUTE, READ
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.looking import RESERVED_NAME
from pydfsnode.meta.results import FileView, Listing, LocatedChunk, Summary
from pydfsnode.meta.state import Namespace

_RESERVED_PART = f"/{RESERVED_NAME}"


def stat(namespace: Namespace, path: str, caller: Caller) -> FileView:
    """The file or directory at *path*.

    Raises:
        InvalidPath, NotFound, NotADirectory, AccessDenied.
    """
    if is_past(path):
        return snapshot_queries.stat(namespace, path, caller)
    tree = namespace.tree
    return tree.view(tree.walk(path, caller), path)


def list_directory(
    namespace: Namespace, path: str, caller: Caller, start_after: str = "", limit: int = 0
) -> Listing:
    """A page of the entries of *path* in byte order of their names; a file lists as itself.

    Args:
        start_after: the last name of the page before; it need not exist any more.
        limit: entries, at most LIST_ENTRIES_MAX; 0: that many.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: read and execute are needed.
    """
    if is_past(path):
        return snapshot_queries.list_directory(
            namespace, path, caller, start_after, _page_size(limit)
        )
    tree = namespace.tree
    inode, page, more = list_inodes(namespace, path, caller, start_after, limit)
    if inode.is_file:
        return Listing([tree.view(inode, path) for inode in page], False)
    return Listing([tree.view(entry, paths.join(path, entry.name)) for entry in page], more)


def list_inodes(
    namespace: Namespace, path: str, caller: Caller, start_after: str = "", limit: int = 0
) -> tuple[Inode, list[Inode], bool]:
    """As `list_directory`, of what is there now: what lies at *path*, the page, and `more`."""
    tree = namespace.tree
    inode = tree.walk(path, caller)
    if inode.is_file:
        return inode, [] if start_after else [inode], False
    tree.require(inode, caller, READ | EXECUTE, path)
    limit = _page_size(limit)
    page = tree.table.page(inode, start_after, limit + 1)
    more = len(page) > limit
    if more:
        page.pop()
    return inode, page, more


def _page_size(limit: int) -> int:
    return limit if 0 < limit <= limits.LIST_ENTRIES_MAX else limits.LIST_ENTRIES_MAX


def is_past(path: str) -> bool:
    """Whether *path* leads into a snapshot."""
    return _RESERVED_PART in path and RESERVED_NAME in paths.parse(path)


def locate(namespace: Namespace, path: str, caller: Caller) -> tuple[FileView, list[LocatedChunk]]:
    """The file and its finished chunks; one that is still written shows what is finished so far.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
        AccessDenied: read is needed.
    """
    if is_past(path):
        return snapshot_queries.locate(namespace, path, caller)
    tree = namespace.tree
    file = tree.walk_file(path, caller)
    tree.require(file, caller, READ, path)
    return tree.view(file, path), located(tree.table.chunks(file))


def located(chunks: list[tuple[int, int, int, int]]) -> list[LocatedChunk]:
    """*chunks* (id, version, length, crc32c) with their offsets."""
    found: list[LocatedChunk] = []
    offset = 0
    for chunk_id, version, length, crc32c in chunks:
        found.append(LocatedChunk(chunk_id, version, offset, length, crc32c, True))
        offset += length
    return found


def summary(namespace: Namespace, path: str, caller: Caller) -> Summary:
    """What *path* and everything below it adds up to, and its quotas; at once, however much.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: read and execute on a directory are needed.
    """
    if is_past(path):
        return snapshot_queries.summary(namespace, path, caller)
    tree = namespace.tree
    inode = tree.walk(path, caller)
    if inode.is_file:
        return Summary(0, 1, inode.size, inode.size * inode.replication)
    tree.require(inode, caller, READ | EXECUTE, path)
    extras = tree.extras.get(inode.inode_id)
    return Summary(
        1 + inode.directories_below, inode.files_below, inode.bytes_below, inode.space_below,
        0 if extras is None else extras.names_max, 0 if extras is None else extras.bytes_max,
    )  # fmt: skip

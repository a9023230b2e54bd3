"""Questions to the namespace that change nothing."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import IsADirectory
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import Directory, File
from pydfsnode.meta.results import FileView, Listing, LocatedChunk, Summary
from pydfsnode.meta.state import Namespace


def stat(namespace: Namespace, path: str) -> FileView:
    """The file or directory at *path*. Raises InvalidPath, NotFound, NotADirectory."""
    tree = namespace.tree
    return tree.view(tree.walk(paths.parse(path)), path)


def list_directory(
    namespace: Namespace, path: str, start_after: str = "", limit: int = 0
) -> Listing:
    """A page of the entries of *path* in byte order of their names; a file lists as itself.

    Args:
        start_after: the last name of the page before; it need not exist any more.
        limit: entries, at most LIST_ENTRIES_MAX; 0: that many.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
    """
    tree = namespace.tree
    inode = tree.walk(paths.parse(path))
    if type(inode) is not Directory:
        return Listing([] if start_after else [tree.view(inode, path)], False)
    if not 0 < limit <= limits.LIST_ENTRIES_MAX:
        limit = limits.LIST_ENTRIES_MAX
    names = tree.names_after(inode, start_after, limit + 1)
    below = tree.entries[inode.inode_id]
    page = [tree.view(tree.inodes[below[name]], paths.join(path, name)) for name in names[:limit]]
    return Listing(page, len(names) > limit)


def locate(namespace: Namespace, path: str) -> tuple[FileView, list[LocatedChunk]]:
    """The file and its finished chunks; one that is still written shows what is finished so far.

    Raises:
        InvalidPath, NotFound, NotADirectory, IsADirectory: no file is there.
    """
    tree = namespace.tree
    file = tree.walk(paths.parse(path))
    if type(file) is not File:
        raise IsADirectory(f"{paths.shown(path)} is a directory", path=path)
    located: list[LocatedChunk] = []
    offset = 0
    for chunk_id in file.chunks:
        chunk = tree.chunks[chunk_id]
        if chunk.done:
            located.append(
                LocatedChunk(chunk_id, chunk.version, offset, chunk.length, chunk.crc32c, True)
            )
            offset += chunk.length
    return tree.view(file, path), located


def summary(namespace: Namespace, path: str) -> Summary:
    """What *path* and everything below it adds up to. Takes time in proportion to that.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
    """
    tree = namespace.tree
    directories = files = size = replicated = 0
    waiting = [tree.walk(paths.parse(path)).inode_id]
    while waiting:
        inode = tree.inodes[waiting.pop()]
        if type(inode) is File:
            files += 1
            size += inode.size
            replicated += inode.size * inode.replication
        else:
            directories += 1
            waiting.extend(tree.entries[inode.inode_id].values())
    return Summary(directories, files, size, replicated)

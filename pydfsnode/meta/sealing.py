"""Whether the chunks of a file are sealed at rest, where directories say so, and its own key."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidPath
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import paths
from pydfsnode.meta.file_keys import BY_FILE, SEAL_XATTR
from pydfsnode.meta.tree import Tree

__all__ = ["BY_DEFAULT", "CHOICES", "FILE", "PLAIN", "SEALED", "SEAL_XATTR"]

BY_DEFAULT, SEALED, PLAIN, FILE = 0, 1, 2, 3
"""As `SealChoice` of the schema."""
CHOICES = {b"on": SEALED, b"off": PLAIN, BY_FILE: FILE}


def directory_choice(tree: Tree, inode: Inode | None) -> int:
    """What *inode*, or the nearest directory above, says; BY_DEFAULT: none does."""
    while inode is not None:
        extras = tree.extras.get(inode.inode_id) if inode.is_directory else None
        if extras is not None:
            choice = CHOICES.get(extras.xattrs.get(SEAL_XATTR, b""))
            if choice is not None:
                return choice
        # Above the root there is the root itself.
        inode = tree.table.parent(inode) if inode.inode_id != ROOT_INODE_ID else None
    return BY_DEFAULT


def seal_choice(tree: Tree, inode: Inode | None) -> int:
    """How the chunks of the file *inode* lie; BY_DEFAULT: nothing says so, or it is nowhere.

    FILE: it has a key of its own, wherever it lies now. A file that was made elsewhere, or before
    its directory chose that, has none: its chunks are SEALED there.
    """
    if inode is not None and tree.file_keys.get(inode.inode_id) is not None:
        return FILE
    choice = directory_choice(tree, inode)
    return SEALED if choice == FILE else choice


def chunk_seal_choice(tree: Tree, chunk_id: int) -> int:
    """As `seal_choice`, for the file that holds a chunk or held it when a snapshot was made."""
    inode_id = tree.inode_of_chunk(chunk_id)
    if inode_id and tree.file_keys.get(inode_id) is not None:
        return FILE
    return seal_choice(tree, tree.table.get(inode_id) if inode_id else None)


def wants_key(tree: Tree, path: str) -> bool:
    """Whether a file that is made at *path* gets a key of its own, as things are now."""
    if not tree.file_keys.keyed_directories:
        return False
    try:
        names = paths.parse(path)
    except InvalidPath:
        return False
    inode = tree.table.get(ROOT_INODE_ID)
    for name in names[:-1]:
        assert inode is not None
        below = tree.table.child(inode, name)
        if below is None or not below.is_directory:
            break
        inode = below
    return directory_choice(tree, inode) == FILE


def key_of_chunk(tree: Tree, chunk_id: int) -> bytes | None:
    """The key of the file that holds a chunk; None: it has none, or nothing holds the chunk."""
    inode_id = tree.inode_of_chunk(chunk_id)
    return tree.file_keys.get(inode_id) if inode_id else None

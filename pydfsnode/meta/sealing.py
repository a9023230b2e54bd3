"""Whether the chunks of a file are sealed at rest, where its directories say so."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta.tree import Tree

SEAL_XATTR = "trusted.seal"
"""Of a directory: for every chunk that is begun or copied below, unless one nearer says else."""
BY_DEFAULT, SEALED, PLAIN = 0, 1, 2
"""As `SealChoice` of the schema."""
CHOICES = {b"on": SEALED, b"off": PLAIN}


def seal_choice(tree: Tree, inode: Inode | None) -> int:
    """What the nearest directory above *inode* says; BY_DEFAULT: none does, or it is nowhere."""
    while inode is not None:
        extras = tree.extras.get(inode.inode_id) if inode.is_directory else None
        if extras is not None:
            choice = CHOICES.get(extras.xattrs.get(SEAL_XATTR, b""))
            if choice is not None:
                return choice
        # Above the root there is the root itself.
        inode = tree.table.parent(inode) if inode.inode_id != ROOT_INODE_ID else None
    return BY_DEFAULT

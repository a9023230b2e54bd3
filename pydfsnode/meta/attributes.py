"""Questions about extended attributes, ACLs and quotas; they change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pydfsnode.meta import acl
from pydfsnode.meta.access import EXECUTE, READ
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.ops.set_xattr import TRUSTED

if TYPE_CHECKING:
    from pydfsnode.meta.state import Namespace


class AclView(msgspec.Struct, frozen=True):
    """An ACL with every entry in order, those of the mode too; without one, only those.

    `entries` and `default_entries` (each with "default:" before it) can be set again as they are.
    """

    owner: str
    group: str
    mode: int
    entries: tuple[str, ...]
    default_entries: tuple[str, ...]


class QuotaView(msgspec.Struct, frozen=True):
    """Limits, 0: none, and what counts against them: every name, itself too; every replica."""

    names_max: int
    names_used: int
    bytes_max: int
    bytes_used: int


def get_xattrs(namespace: Namespace, path: str, caller: Caller) -> dict[str, bytes]:
    """The extended attributes of *path* by name; "trusted." ones for superusers only.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: needs READ.
    """
    tree = namespace.tree
    inode = tree.walk(path, caller)
    tree.require(inode, caller, READ, path)
    xattrs = (tree.extras.get(inode.inode_id) or Extras()).xattrs
    return {
        name: value
        for name, value in xattrs.items()
        if caller.superuser or not name.startswith(TRUSTED)
    }


def get_acl(namespace: Namespace, path: str, caller: Caller) -> AclView:
    """Who may do what with *path*.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: a directory above may not be passed.
    """
    tree = namespace.tree
    inode = tree.walk(path, caller)
    entries = acl.read(inode.mode, tree.extras.get(inode.inode_id))
    return AclView(
        inode.owner, inode.group, inode.mode, acl.ordered(entries.access),
        tuple(f"default:{entry}" for entry in acl.ordered(entries.default)),
    )  # fmt: skip


def quota_of(namespace: Namespace, path: str, caller: Caller) -> QuotaView:
    """Quotas and use of *path*; a file has no quota of its own.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: a directory needs READ and EXECUTE.
    """
    tree = namespace.tree
    inode = tree.walk(path, caller)
    if inode.is_directory:
        tree.require(inode, caller, READ | EXECUTE, path)
    extras = tree.extras.get(inode.inode_id) or Extras()
    names_used = inode.files_below + inode.directories_below + inode.is_directory
    return QuotaView(extras.names_max, names_used, extras.bytes_max, inode.space_below)

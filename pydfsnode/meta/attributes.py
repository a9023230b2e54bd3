"""Questions about extended attributes, ACLs and quotas; they change nothing."""

from __future__ import annotations

import msgspec

from pydfsnode.meta import acl, snapshot_queries
from pydfsnode.meta.access import EXECUTE, READ
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.history_reading import Seen
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.ops.set_xattr import TRUSTED
from pydfsnode.meta.queries import is_past
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


def _at(namespace: Namespace, path: str, caller: Caller, wanted: int) -> tuple[Seen, Extras | None]:
    """What lies, or lay, at *path*, where *caller* has the bits *wanted*, and its extras."""
    tree = namespace.tree
    if is_past(path):
        return snapshot_queries.attributes_at(tree, path, caller, wanted)
    inode = tree.walk(path, caller)
    tree.require(inode, caller, wanted, path)
    return inode, tree.extras.get(inode.inode_id)


def get_xattrs(namespace: Namespace, path: str, caller: Caller) -> dict[str, bytes]:
    """The extended attributes of *path* by name; "trusted." ones for superusers only.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: needs READ.
    """
    _, extras = _at(namespace, path, caller, READ)
    xattrs = (extras or Extras()).xattrs
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
    inode, extras = _at(namespace, path, caller, 0)
    entries = acl.read(inode.mode, extras)
    return AclView(
        inode.owner, inode.group, inode.mode, acl.ordered(entries.access),
        tuple(f"default:{entry}" for entry in acl.ordered(entries.default)),
    )  # fmt: skip


def quota_of(namespace: Namespace, path: str, caller: Caller) -> QuotaView:
    """Quotas and use of *path*; a file has no quota of its own.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        AccessDenied: a directory needs READ and EXECUTE.
        InvalidArgument: there is too much to count inside a snapshot.
    """
    if is_past(path):
        past = snapshot_queries.summary(namespace, path, caller)
        names_used = past.directories + past.files
        return QuotaView(past.names_max, names_used, past.bytes_max, past.bytes_replicated)
    tree = namespace.tree
    inode = tree.walk(path, caller)
    if inode.is_directory:
        tree.require(inode, caller, READ | EXECUTE, path)
    extras = tree.extras.get(inode.inode_id) or Extras()
    names_used = inode.files_below + inode.directories_below + inode.is_directory
    return QuotaView(extras.names_max, names_used, extras.bytes_max, inode.space_below)

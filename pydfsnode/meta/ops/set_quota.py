"""Limit the names and the bytes below a directory."""

from __future__ import annotations

import msgspec

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

KEEP = -1
QUOTA_MAX = (1 << 63) - 1


class SetQuota(Op, frozen=True, array_like=True, tag=19):
    """KEEP: stays as it is; 0: none.

    Names count the directory itself; bytes count every wanted replica. A quota may be below what is
    there already: then nothing more fits until enough is deleted.
    """

    path: str
    names_max: int = KEEP
    bytes_max: int = KEEP


def apply(tree: Tree, op: SetQuota) -> FileView:
    """The directory's view; when both quotas are kept, nothing changes.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: a quota.
        InvalidPath, NotFound, NotADirectory: no directory is there.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Setting a quota")
    for quota in (op.names_max, op.bytes_max):
        if not KEEP <= quota <= QUOTA_MAX:
            raise InvalidArgument(
                f"quota {quota} is not within 0 (none) to {QUOTA_MAX}", path=op.path
            )
    directory = tree.walk_directory(op.path, caller)
    if op.names_max == KEEP and op.bytes_max == KEEP:
        return tree.view(directory, op.path)
    extras = tree.extras.get(directory.inode_id) or Extras()
    names_max = extras.names_max if op.names_max == KEEP else op.names_max
    bytes_max = extras.bytes_max if op.bytes_max == KEEP else op.bytes_max
    tree.modified(directory)
    tree.set_extras(
        directory, msgspec.structs.replace(extras, names_max=names_max, bytes_max=bytes_max)
    )
    directory.ctime_ms = tree.clock_ms
    return tree.view(directory, op.path)

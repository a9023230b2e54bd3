"""Set an extended attribute of a file or directory."""

from __future__ import annotations

import msgspec

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidArgument, NotFound, NotSupported
from pydfsnode.meta import paths
from pydfsnode.meta.access import STICKY, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree

USER, TRUSTED = "user.", "trusted."


class SetXattr(Op, frozen=True, array_like=True, tag=16):
    """`create`: there must be none of this name. `replace`: there must be one. Both: as neither."""

    path: str
    name: str
    value: bytes
    create: bool = False
    replace: bool = False


def apply(tree: Tree, op: SetXattr) -> FileView:
    """The view of the file or directory.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        NotSupported, InvalidArgument: the name, or too many attributes, or too many bytes in all.
        AccessDenied: "user." needs WRITE, in a directory with the sticky bit its owner; "trusted."
            a superuser.
        AlreadyExists, NotFound: what `create` or `replace` rules out.
    """
    checked_xattr_name(op.name, op.path)
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    require_changeable(tree, inode, caller, op.name, op.path)
    extras = tree.extras.get(inode.inode_id) or Extras()
    exists = op.name in extras.xattrs
    if exists and op.create and not op.replace:
        raise AlreadyExists(
            f"{paths.shown(op.path)} has an extended attribute {op.name!r} already", path=op.path
        )
    if not exists and op.replace and not op.create:
        raise no_such_xattr(op.name, op.path)
    # By name, so that the order of the changes leaves no trace.
    xattrs = dict(sorted({**extras.xattrs, op.name: op.value}.items()))
    _check_size(xattrs, op.path)
    tree.modified(inode)
    tree.set_extras(inode, msgspec.structs.replace(extras, xattrs=xattrs))
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)


def checked_xattr_name(name: str, path: str) -> None:
    """Raise NotSupported or InvalidArgument unless an extended attribute can have this name."""
    prefix = next((prefix for prefix in (USER, TRUSTED) if name.startswith(prefix)), None)
    if prefix is None:
        raise NotSupported(
            f"the extended attribute {name[:80]!r} is of no supported namespace: its name must "
            f"begin with {USER!r}, or {TRUSTED!r} for superusers",
            path=path,
        )
    if name == prefix or len(name.encode()) > limits.NAME_BYTES_MAX or "\0" in name:
        raise InvalidArgument(
            f"{name[:80]!r} is no name of an extended attribute: something without NUL must follow "
            f"{prefix!r}, and all of it has at most {limits.NAME_BYTES_MAX} bytes",
            path=path,
        )


def _check_size(xattrs: dict[str, bytes], path: str) -> None:
    if len(xattrs) > limits.XATTRS_MAX:
        raise InvalidArgument(
            f"{paths.shown(path)} has {limits.XATTRS_MAX} extended attributes, and that is the "
            "most: remove one first",
            path=path,
        )
    size = sum(len(name.encode()) + len(value) for name, value in xattrs.items())
    if size > limits.XATTR_BYTES_MAX:
        raise InvalidArgument(
            f"the extended attributes of {paths.shown(path)} would have {size} bytes with their "
            f"names; the most is {limits.XATTR_BYTES_MAX}",
            path=path,
        )


def require_changeable(tree: Tree, inode: Inode, caller: Caller, name: str, path: str) -> None:
    """Raise AccessDenied unless *caller* may set and remove the extended attribute *name*."""
    if name.startswith(TRUSTED):
        tree.require_superuser(caller, f"The extended attribute {name!r} of {paths.shown(path)}")
    elif inode.is_directory and inode.mode & STICKY:
        tree.require_owner(inode, caller, path)
    else:
        tree.require(inode, caller, WRITE, path)


def no_such_xattr(name: str, path: str) -> NotFound:
    """The error for a missing one."""
    return NotFound(f"{paths.shown(path)} has no extended attribute {name!r}", path=path)

"""How a caller finds inodes: by path, as far as permissions allow; errors name the path."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from pydfsnode._fast import Inode, InodeTable
from pydfsnode.errors import (
    AccessDenied,
    InvalidPath,
    InvariantViolation,
    IsADirectory,
    NotADirectory,
    NotFound,
    QuotaExceeded,
)
from pydfsnode.meta import access, paths
from pydfsnode.meta.access import EXECUTE, STICKY, WRITE
from pydfsnode.meta.caller import Caller, parse_caller
from pydfsnode.meta.inodes import HAS_ACL, HAS_EXTRAS, IS_INLINE, IS_OPEN, Extras
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tables import Table

RESERVED_NAME = ".snapshot"
_RESERVED_PART = f"/{RESERVED_NAME}"
_CALLERS_KEPT_MAX = 4096


class Entry(NamedTuple):
    """A place in a directory that exists, and what is there now."""

    parent: Inode
    name: str
    inode: Inode | None


class Looking:
    """The part of `Tree` that changes nothing."""

    table: InodeTable
    extras: Table[Extras]
    quota_count: int
    _callers: dict[str, Caller]

    # ---- callers

    def caller(self, text: str) -> Caller:
        """The caller that an operation's `user` names. Raises InvalidArgument."""
        known = self._callers.get(text)
        if known is None:
            if len(self._callers) >= _CALLERS_KEPT_MAX:
                self._callers.clear()
            known = self._callers[text] = parse_caller(text)
        return known

    # ---- paths

    def deepest(self, path: str, caller: Caller) -> tuple[Inode, int]:
        """The deepest existing inode on the way along *path*, and how many names are missing.

        Raises:
            InvalidPath: also for a reserved name in it, which only `queries` resolve.
            AccessDenied: a directory on the way may not be passed.
        """
        if _RESERVED_PART in path and RESERVED_NAME in paths.parse(path):
            raise InvalidPath(
                f"{paths.shown(path)}: the name {RESERVED_NAME!r} is reserved", path=path
            )
        may_pass = None if caller.superuser else partial(self._pass, caller, path)
        found = self.table.find(path, may_pass)
        if found is None:
            paths.parse(path)
            raise InvariantViolation(f"the path {paths.shown(path)} cannot be walked")
        return found

    def _pass(self, caller: Caller, path: str, directory: Inode) -> None:
        if not access.may(directory, caller, EXECUTE, self.acl_of(directory)):
            raise access.denied(directory, caller, EXECUTE, path)

    def walk(self, path: str, caller: Caller) -> Inode:
        """The inode at *path*.

        Raises:
            InvalidPath, AccessDenied.
            NotFound, NotADirectory: naming the part of the path that is missing or a file.
        """
        inode, missing = self.deepest(path, caller)
        if missing:
            raise _absent(inode, path, missing)
        return inode

    def walk_directory(self, path: str, caller: Caller) -> Inode:
        """The directory at *path*; as `walk`, and NotADirectory for a file."""
        inode = self.walk(path, caller)
        if not inode.is_directory:
            raise not_a_directory(path)
        return inode

    def walk_file(self, path: str, caller: Caller) -> Inode:
        """The file at *path*; as `walk`, and IsADirectory."""
        inode = self.walk(path, caller)
        if not inode.is_file:
            raise IsADirectory(f"{paths.shown(path)} is a directory", path=path)
        return inode

    def entry(self, path: str, caller: Caller) -> Entry:
        """The place that *path* names, in a parent that exists.

        Raises:
            InvalidPath: also for "/", which is no entry, and for a reserved name.
            AccessDenied, NotFound, NotADirectory: the parent.
        """
        inode, missing = self.deepest(path, caller)
        if missing == 0:
            name = inode.name
            if not name:
                raise InvalidPath("'/' is no entry of a directory", path="/")
            parent = self.table.parent(inode)
            assert parent is not None
            return Entry(parent, name, inode)
        if missing > 1 or not inode.is_directory:
            raise _absent(inode, path, missing)
        return Entry(inode, new_name(path), None)

    # ---- permissions

    def acl_of(self, inode: Inode) -> tuple[str, ...]:
        """The access ACL, () when there is none."""
        if not inode.flags & HAS_ACL:
            return ()
        extras = self.extras.get(inode.inode_id)
        return () if extras is None else extras.acl

    def require(self, inode: Inode, caller: Caller, wanted: int, path: str) -> None:
        """Raise AccessDenied unless *caller* has all bits of *wanted* (access.READ, ...)."""
        if not caller.superuser and not access.may(inode, caller, wanted, self.acl_of(inode)):
            raise access.denied(inode, caller, wanted, path)

    def require_owner(self, inode: Inode, caller: Caller, path: str) -> None:
        """Raise AccessDenied unless *caller* owns *inode* or is a superuser."""
        if not caller.superuser and inode.owner != caller.user:
            raise AccessDenied(
                f"Permission denied: user={caller.user} is not the owner of {paths.shown(path)}, "
                f"{inode.owner} is",
                path=path,
            )

    def require_superuser(self, caller: Caller, what: str) -> None:
        """Raise AccessDenied unless *caller* is a superuser; *what* begins the sentence."""
        if not caller.superuser:
            raise AccessDenied(
                f"{what} needs a superuser, which user={caller.user} is not: use a certificate of "
                "role admin, or a member of supergroup"
            )

    def require_removable(self, parent: Inode, inode: Inode, caller: Caller, path: str) -> None:
        """Raise AccessDenied unless *caller* may take *inode* out of *parent* (sticky bit)."""
        if caller.superuser:
            return
        self.require(parent, caller, WRITE | EXECUTE, path)
        if parent.mode & STICKY and caller.user not in (parent.owner, inode.owner):
            raise AccessDenied(
                f"Permission denied by sticky bit: user={caller.user}, "
                f'path="{path}":{inode.owner}:{inode.group}:{access.symbolic(inode)}, '
                f"parent={parent.owner}:{parent.group}:{access.symbolic(parent)}",
                path=path,
            )

    # ---- quotas

    def require_quota(
        self, parent: Inode, names: int, space: int, below: Inode | None = None
    ) -> None:
        """Raise QuotaExceeded unless *names* and *space* fit below *parent* and all above it.

        Args:
            space: bytes of all replicas.
            below: an ancestor from which on upwards nothing is added, as for a move.
        """
        if not self.quota_count:
            return
        at: Inode | None = parent
        while at is not None and at != below:
            if at.flags & HAS_EXTRAS:
                self._require_quota_of(at, names, space)
            above = self.table.parent(at)
            at = None if above == at else above

    def _require_quota_of(self, directory: Inode, names: int, space: int) -> None:
        extras = self.extras.get(directory.inode_id)
        if extras is None:
            return
        path = self.table.path(directory)
        used = 1 + directory.files_below + directory.directories_below  # itself too, as HDFS counts
        if names > 0 and 0 < extras.names_max < used + names:
            raise QuotaExceeded(
                f"The NameSpace quota of {paths.shown(path)} is exceeded: "
                f"quota={extras.names_max} names, used={used}, needed={names}",
                path=path, quota=extras.names_max, used=used,
            )  # fmt: skip
        used = directory.space_below
        if space > 0 and 0 < extras.bytes_max < used + space:
            raise QuotaExceeded(
                f"The DiskSpace quota of {paths.shown(path)} is exceeded: "
                f"quota={extras.bytes_max} bytes of all replicas, used={used}, needed={space}",
                path=path, quota=extras.bytes_max, used=used,
            )  # fmt: skip

    # ---- views

    def view(self, inode: Inode, path: str) -> FileView:
        """What to tell about *inode*, which lies at *path*."""
        flags = inode.flags
        if inode.is_file:
            is_open = bool(flags & IS_OPEN)
            return FileView(
                path, "file", inode.size, inode.replication, inode.owner, inode.group, inode.mode,
                inode.mtime_ms, inode.ctime_ms, inode.inode_id, inode.chunk_bytes, is_open, 0,
                "" if is_open else f"crc32c:{inode.crc32c:08x}", inode.atime_ms,
                bool(flags & HAS_ACL), bool(flags & IS_INLINE),
            )  # fmt: skip
        return FileView(
            path, "directory", 0, 0, inode.owner, inode.group, inode.mode, inode.mtime_ms,
            inode.ctime_ms, inode.inode_id, 0, False, inode.child_count, "", inode.atime_ms,
            bool(flags & HAS_ACL), False,
        )  # fmt: skip


def new_name(path: str) -> str:
    """The last name of *path*, for a new entry."""
    return path[path.rindex("/") + 1 :]


def _absent(deepest: Inode, path: str, missing: int) -> NotFound | NotADirectory:
    names = paths.parse(path)
    upto = len(names) - missing
    if deepest.is_file:
        return not_a_directory(joined(names[:upto]))
    return not_found(joined(names[: upto + 1]))


def joined(names: list[str]) -> str:
    """The path of *names* from the root down."""
    return "/" + "/".join(names)


def not_found(path: str) -> NotFound:
    """The error for a missing path."""
    return NotFound(f"{paths.shown(path)} does not exist", path=path)


def not_a_directory(path: str) -> NotADirectory:
    """The error for a file where a directory is needed."""
    return NotADirectory(f"{paths.shown(path)} is a file, not a directory", path=path)

"""The part of the file system about owners, modes, times, extended attributes, ACLs and quotas."""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.client import paths
from pydfsnode.client.consistency import Reads
from pydfsnode.client.filesystem_base import FileSystemBase
from pydfsnode.client.model import Acl, FileStatus
from pydfsnode.client.wire_attributes import KEEP


class AttributeMethods(FileSystemBase):
    """Part of `AsyncFileSystem`; errors as there, and AccessDenied for who may not."""

    async def set_replication(self, path: str, replication: int) -> FileStatus:
        """How many replicas a file's chunks shall have; they are made or dropped in the background.

        Raises:
            IsADirectory: directories have no replicas.
        """
        return await self._calls.attributes.set_replication(paths.normalize(path), replication)

    async def chown(self, path: str, owner: str = "", group: str = "") -> FileStatus:
        """Give a path to another owner, group, or both; "" keeps.

        Only a superuser may change the owner; its owner may give it a group that he is in.
        """
        return await self._calls.attributes.set_owner(paths.normalize(path), owner, group)

    async def chmod(self, path: str, mode: int) -> FileStatus:
        """Set the permission bits, 0 to 0o1777; with an ACL the group bits are its mask."""
        return await self._calls.attributes.set_mode(paths.normalize(path), mode)

    async def set_times(
        self, path: str, mtime_ms: int | None = None, atime_ms: int | None = None
    ) -> FileStatus:
        """Set the times of modification and access, in ms since 1970; None keeps."""
        return await self._calls.attributes.set_times(
            paths.normalize(path), _kept(mtime_ms), _kept(atime_ms)
        )

    async def set_xattr(
        self, path: str, name: str, value: bytes, create: bool = False, replace: bool = False
    ) -> FileStatus:
        """Set one extended attribute, of a name that begins with "user." (or "trusted.").

        Raises:
            AlreadyExists: there is one, and *create*.
            NotFound: there is none, and *replace*.
            NotSupported: the name begins otherwise.
        """
        return await self._calls.attributes.set_xattr(
            paths.normalize(path), name, value, create=create, replace=replace
        )

    async def remove_xattr(self, path: str, name: str) -> FileStatus:
        """Remove one extended attribute; raises NotFound."""
        return await self._calls.attributes.remove_xattr(paths.normalize(path), name)

    async def xattrs(self, path: str, *, consistency: Reads = None) -> dict[str, bytes]:
        """The extended attributes of *path* by name."""
        return await self._calls.attributes.xattrs(paths.normalize(path), self._wanted(consistency))

    async def set_acl(
        self, path: str, entries: Sequence[str], change: str = "modify"
    ) -> FileStatus:
        """Change who may do what, by entries as "user:alice:rwx" or "default:group:eng:r-x".

        Args:
            change: "set", "modify", "remove" (permissions may be left out), "remove_default" and
                "remove_all" (no entries).

        Raises:
            InvalidArgument: an entry, or what would come out of it.
        """
        return await self._calls.attributes.set_acl(paths.normalize(path), entries, change)

    async def acl(self, path: str, *, consistency: Reads = None) -> Acl:
        """Who may do what with *path*; without an ACL, the entries that its mode amounts to."""
        return await self._calls.attributes.acl(paths.normalize(path), self._wanted(consistency))

    async def set_quota(
        self, path: str, names: int | None = None, space_bytes: int | None = None
    ) -> FileStatus:
        """Limit the names below a directory, itself too, and the bytes of all their replicas.

        Args:
            names, space_bytes: 0: no limit; None keeps.
        """
        return await self._calls.attributes.set_quota(
            paths.normalize(path), _kept(names), _kept(space_bytes)
        )


def _kept(value: int | None) -> int:
    return KEEP if value is None else value

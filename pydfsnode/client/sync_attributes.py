"""The part of the synchronous file system about attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydfsnode.client.loop_thread import SyncBase

if TYPE_CHECKING:
    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.model import Acl, FileStatus


class SyncAttributes(SyncBase):
    """Part of `FileSystem`."""

    def set_replication(self, path: str, replication: int) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_replication(path, replication))

    def chown(self, path: str, owner: str = "", group: str = "") -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.chown(path, owner, group))

    def chmod(self, path: str, mode: int) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.chmod(path, mode))

    def set_times(
        self, path: str, mtime_ms: int | None = None, atime_ms: int | None = None
    ) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_times(path, mtime_ms, atime_ms))

    def set_xattr(
        self, path: str, name: str, value: bytes, create: bool = False, replace: bool = False
    ) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_xattr(path, name, value, create, replace))

    def remove_xattr(self, path: str, name: str) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.remove_xattr(path, name))

    def xattrs(self, path: str, *, consistency: Reads = None) -> dict[str, bytes]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.xattrs(path, consistency=consistency))

    def set_acl(self, path: str, entries: Sequence[str], change: str = "modify") -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_acl(path, entries, change))

    def acl(self, path: str, *, consistency: Reads = None) -> Acl:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.acl(path, consistency=consistency))

    def set_quota(
        self, path: str, names: int | None = None, space_bytes: int | None = None
    ) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_quota(path, names, space_bytes))

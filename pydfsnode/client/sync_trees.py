"""The part of the synchronous file system about the trash and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydfsnode.client.loop_thread import SyncBase

if TYPE_CHECKING:
    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.model import Difference, FileStatus, SnapshotInfo


class SyncTrees(SyncBase):
    """Part of `FileSystem`."""

    def trash(self, path: str) -> str:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.trash(path))

    def restore(self, path: str) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.restore(path))

    def empty_trash(self) -> int:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.empty_trash())

    def create_snapshot(self, path: str, name: str) -> str:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.create_snapshot(path, name))

    def delete_snapshot(self, path: str, name: str) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.delete_snapshot(path, name))

    def rename_snapshot(self, path: str, old: str, new: str) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.rename_snapshot(path, old, new))

    def snapshots(self, path: str, *, consistency: Reads = None) -> list[SnapshotInfo]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.snapshots(path, consistency=consistency))

    def snapshot_diff(
        self, path: str, from_: str, to: str = "", *, consistency: Reads = None
    ) -> list[Difference]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.snapshot_diff(path, from_, to, consistency=consistency))

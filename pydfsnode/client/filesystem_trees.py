"""The part of the file system about the trash and snapshots of directories."""

from __future__ import annotations

from pydfsnode.client import paths
from pydfsnode.client.consistency import Reads
from pydfsnode.client.filesystem_base import FileSystemBase
from pydfsnode.client.model import Difference, FileStatus, SnapshotInfo


class TreeMethods(FileSystemBase):
    """Part of `AsyncFileSystem`; errors as there."""

    async def trash(self, path: str) -> str:
        """Move a file or tree to /user/NAME/.Trash/Current; returns where it is now.

        Raises:
            InvalidArgument: it is in a trash already, or holds one: delete it.
        """
        return (await self._calls.trees.move_to_trash(paths.normalize(path))).path

    async def restore(self, path: str) -> FileStatus:
        """Move *path*, which is in the trash, back to where it was.

        Raises:
            AlreadyExists: something else is there now.
        """
        return await self._calls.trees.restore_trash(paths.normalize(path))

    async def empty_trash(self) -> int:
        """Delete all that the caller has in the trash; returns how many files and directories."""
        return await self._calls.trees.empty_trash()

    async def create_snapshot(self, path: str, name: str) -> str:
        """Keep the directory *path* as it is now; returns the path under which that is read.

        Raises:
            AlreadyExists: there is a snapshot of that name.
        """
        return (await self._calls.trees.create_snapshot(paths.normalize(path), name)).path

    async def delete_snapshot(self, path: str, name: str) -> None:
        """Forget a snapshot of the directory *path*; raises NotFound."""
        await self._calls.trees.delete_snapshot(paths.normalize(path), name)

    async def rename_snapshot(self, path: str, old: str, new: str) -> None:
        """Give a snapshot of the directory *path* another name; raises NotFound, AlreadyExists."""
        await self._calls.trees.rename_snapshot(paths.normalize(path), old, new)

    async def snapshots(self, path: str, *, consistency: Reads = None) -> list[SnapshotInfo]:
        """The snapshots of the directory *path*."""
        return await self._calls.trees.snapshots(paths.normalize(path), self._wanted(consistency))

    async def snapshot_diff(
        self, path: str, from_: str, to: str = "", *, consistency: Reads = None
    ) -> list[Difference]:
        """What changed below the directory *path* from one snapshot to another; to "": to now."""
        return await self._calls.trees.snapshot_diff(
            paths.normalize(path), from_, to, self._wanted(consistency)
        )

"""The RPCs about the trash and about snapshots of directories."""

from __future__ import annotations

from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import Difference, FileStatus, SnapshotInfo
from pydfsnode.client.wire_asking import Asking
from pydfsnode.client.wire_values import file_status
from pydfsnode.rpc.pb import dfs_pb2 as pb


class TreeCalls:
    """Reached through `MasterCalls.trees`; errors as there."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def move_to_trash(self, path: str) -> FileStatus:
        """Move a path into its user's trash; the status has the path there."""
        answer = await self._asking.change_message("MoveToTrash", pb.MoveToTrashRequest(path=path))
        return file_status(answer.status)

    async def empty_trash(self) -> int:
        """Delete what this user has in the trash; returns how many files and directories went."""
        return int((await self._asking.change_message("EmptyTrash", pb.EmptyTrashRequest())).inodes)

    async def restore_trash(self, path: str) -> FileStatus:
        """Move a path in the trash back to where it was."""
        answer = await self._asking.change_message(
            "RestoreTrash", pb.RestoreTrashRequest(path=path)
        )
        return file_status(answer.status)

    async def create_snapshot(self, path: str, name: str) -> FileStatus:
        """Keep a directory as it is now; the status has the snapshot's path."""
        request = pb.CreateSnapshotRequest(path=path, name=name)
        return file_status((await self._asking.change_message("CreateSnapshot", request)).status)

    async def delete_snapshot(self, path: str, name: str) -> None:
        """Forget a snapshot."""
        request = pb.DeleteSnapshotRequest(path=path, name=name)
        await self._asking.change_message("DeleteSnapshot", request)

    async def rename_snapshot(self, path: str, old_name: str, new_name: str) -> None:
        """Give a snapshot another name."""
        request = pb.RenameSnapshotRequest(path=path, old_name=old_name, new_name=new_name)
        await self._asking.change_message("RenameSnapshot", request)

    async def snapshots(
        self, path: str, consistency: Consistency | None = None
    ) -> list[SnapshotInfo]:
        """The snapshots of a directory."""
        request = pb.ListSnapshotsRequest(path=path)
        answer = await self._asking.read_message("ListSnapshots", request, consistency)
        self._asking.freshness(answer)
        return [SnapshotInfo(found.name, found.created_ms) for found in answer.snapshots]

    async def snapshot_diff(
        self, path: str, from_name: str, to_name: str, consistency: Consistency | None = None
    ) -> list[Difference]:
        """What changed below a directory between two snapshots; to_name "": now."""
        request = pb.SnapshotDiffRequest(path=path, from_name=from_name, to_name=to_name)
        answer = await self._asking.read_message("SnapshotDiff", request, consistency)
        self._asking.freshness(answer)
        return [Difference(d.kind, d.path, d.target) for d in answer.differences]

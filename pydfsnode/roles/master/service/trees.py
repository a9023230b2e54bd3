"""Whole trees: the trash and snapshots of directories."""

from __future__ import annotations

from pydfsnode.meta import ops
from pydfsnode.meta.results import Done, FileView, Removed
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.service.conversions import answer
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers


class TreeHandlers:
    """See the module."""

    def __init__(self, admission: Admission) -> None:
        self._head = admission.head
        self._propose = admission.propose

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {
            "MoveToTrash": self.move_to_trash,
            "EmptyTrash": self.empty_trash,
            "RestoreTrash": self.restore_trash,
            "CreateSnapshot": self.create_snapshot,
            "DeleteSnapshot": self.delete_snapshot,
            "RenameSnapshot": self.rename_snapshot,
        }

    async def move_to_trash(
        self, request: pb.MoveToTrashRequest, call: CallContext
    ) -> pb.MoveToTrashResponse:
        """Delete in a way that can be taken back."""
        op = ops.MoveToTrash(*self._head(request.op, call), request.path)
        return answer(pb.MoveToTrashResponse, await self._propose(op, FileView))

    async def empty_trash(
        self, request: pb.EmptyTrashRequest, call: CallContext
    ) -> pb.EmptyTrashResponse:
        """Delete what the caller has in the trash."""
        op = ops.EmptyTrash(*self._head(request.op, call))
        return pb.EmptyTrashResponse(inodes=(await self._propose(op, Removed)).inodes)

    async def restore_trash(
        self, request: pb.RestoreTrashRequest, call: CallContext
    ) -> pb.RestoreTrashResponse:
        """Put something in the trash back to where it was."""
        op = ops.RestoreTrash(*self._head(request.op, call), request.path)
        return answer(pb.RestoreTrashResponse, await self._propose(op, FileView))

    async def create_snapshot(
        self, request: pb.CreateSnapshotRequest, call: CallContext
    ) -> pb.CreateSnapshotResponse:
        """Keep a directory as it is now."""
        op = ops.CreateSnapshot(*self._head(request.op, call), request.path, request.name)
        return answer(pb.CreateSnapshotResponse, await self._propose(op, FileView))

    async def delete_snapshot(
        self, request: pb.DeleteSnapshotRequest, call: CallContext
    ) -> pb.DeleteSnapshotResponse:
        """Forget a snapshot."""
        op = ops.DeleteSnapshot(*self._head(request.op, call), request.path, request.name)
        await self._propose(op, Done)
        return pb.DeleteSnapshotResponse()

    async def rename_snapshot(
        self, request: pb.RenameSnapshotRequest, call: CallContext
    ) -> pb.RenameSnapshotResponse:
        """Give a snapshot another name."""
        head = self._head(request.op, call)
        op = ops.RenameSnapshot(*head, request.path, request.old_name, request.new_name)
        await self._propose(op, Done)
        return pb.RenameSnapshotResponse()

"""Directories and entries: made, moved, deleted, put together."""

from __future__ import annotations

from pydfsnode.meta import ops
from pydfsnode.meta.results import FileView, Removed
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.service.conversions import answer, answer_bytes
from pydfsnode.roles.master.service.quick import Quick, QuickChange, encoder
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers


class EntryHandlers:
    """See the module."""

    def __init__(self, admission: Admission) -> None:
        self._head = admission.head
        self._propose = admission.propose

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {
            "Mkdirs": self.mkdirs,
            "Delete": self.delete,
            "Rename": self.rename,
            "Concat": self.concat,
        }

    def quick(self) -> Quick:
        """See `Quick`."""
        mkdirs = encoder(ops.Mkdirs, (2, "text", 0), (3, "u32", 0))
        delete = encoder(ops.Delete, (2, "text", 0), (3, "flag", 0))
        rename = encoder(ops.Rename, (2, "text", 0), (3, "text", 0), (4, "flag", 0))
        return Quick(
            {
                "Mkdirs": QuickChange(mkdirs, FileView, answer_bytes),
                "Delete": QuickChange(delete, Removed, _deleted_bytes),
                "Rename": QuickChange(rename, FileView, answer_bytes),
            }
        )

    async def mkdirs(self, request: pb.MkdirsRequest, call: CallContext) -> pb.MkdirsResponse:
        """Make a directory and the missing ones above it."""
        op = ops.Mkdirs(*self._head(request.op, call), request.path, request.mode)
        return answer(pb.MkdirsResponse, await self._propose(op, FileView))

    async def delete(self, request: pb.DeleteRequest, call: CallContext) -> pb.DeleteResponse:
        """Delete a file or directory."""
        op = ops.Delete(*self._head(request.op, call), request.path, request.recursive)
        return _deleted(await self._propose(op, Removed))

    async def rename(self, request: pb.RenameRequest, call: CallContext) -> pb.RenameResponse:
        """Move a file or directory."""
        head = self._head(request.op, call)
        op = ops.Rename(*head, request.source, request.destination, request.overwrite)
        return answer(pb.RenameResponse, await self._propose(op, FileView))

    async def concat(self, request: pb.ConcatRequest, call: CallContext) -> pb.ConcatResponse:
        """Move the chunks of files to the end of another."""
        op = ops.Concat(*self._head(request.op, call), request.target, tuple(request.sources))
        return answer(pb.ConcatResponse, await self._propose(op, FileView))


def _deleted(removed: Removed) -> pb.DeleteResponse:
    return pb.DeleteResponse(inodes=removed.inodes)


def _deleted_bytes(removed: Removed) -> bytes:
    return _deleted(removed).SerializeToString()

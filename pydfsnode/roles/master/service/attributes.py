"""Attributes of files and directories."""

from __future__ import annotations

from pydfsnode.meta import ops
from pydfsnode.meta.results import FileView
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.service.conversions import answer
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers


class AttributeHandlers:
    """See the module."""

    def __init__(self, admission: Admission) -> None:
        self._head = admission.head
        self._propose = admission.propose

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {
            "SetReplication": self.set_replication,
            "SetOwner": self.set_owner,
            "SetMode": self.set_mode,
            "SetTimes": self.set_times,
            "SetXattr": self.set_xattr,
            "RemoveXattr": self.remove_xattr,
            "SetAcl": self.set_acl,
            "SetQuota": self.set_quota,
        }

    async def set_replication(
        self, request: pb.SetReplicationRequest, call: CallContext
    ) -> pb.SetReplicationResponse:
        """How many replicas a file's chunks shall have."""
        op = ops.SetReplication(*self._head(request.op, call), request.path, request.replication)
        return answer(pb.SetReplicationResponse, await self._propose(op, FileView))

    async def set_owner(
        self, request: pb.SetOwnerRequest, call: CallContext
    ) -> pb.SetOwnerResponse:
        """Owner, group, or both."""
        head = self._head(request.op, call)
        op = ops.SetOwner(*head, request.path, request.owner, request.group)
        return answer(pb.SetOwnerResponse, await self._propose(op, FileView))

    async def set_mode(self, request: pb.SetModeRequest, call: CallContext) -> pb.SetModeResponse:
        """Permission bits."""
        op = ops.SetMode(*self._head(request.op, call), request.path, request.mode)
        return answer(pb.SetModeResponse, await self._propose(op, FileView))

    async def set_times(
        self, request: pb.SetTimesRequest, call: CallContext
    ) -> pb.SetTimesResponse:
        """Times of modification and access."""
        head = self._head(request.op, call)
        op = ops.SetTimes(*head, request.path, request.mtime_ms, request.atime_ms)
        return answer(pb.SetTimesResponse, await self._propose(op, FileView))

    async def set_xattr(
        self, request: pb.SetXattrRequest, call: CallContext
    ) -> pb.SetXattrResponse:
        """One extended attribute."""
        op = ops.SetXattr(
            *self._head(request.op, call),
            request.path,
            request.name,
            request.value,
            request.create,
            request.replace,
        )
        return answer(pb.SetXattrResponse, await self._propose(op, FileView))

    async def remove_xattr(
        self, request: pb.RemoveXattrRequest, call: CallContext
    ) -> pb.RemoveXattrResponse:
        """Without one extended attribute."""
        op = ops.RemoveXattr(*self._head(request.op, call), request.path, request.name)
        return answer(pb.RemoveXattrResponse, await self._propose(op, FileView))

    async def set_acl(self, request: pb.SetAclRequest, call: CallContext) -> pb.SetAclResponse:
        """Entries of the access and default ACL."""
        head = self._head(request.op, call)
        op = ops.SetAcl(*head, request.path, tuple(request.entries), request.change)
        return answer(pb.SetAclResponse, await self._propose(op, FileView))

    async def set_quota(
        self, request: pb.SetQuotaRequest, call: CallContext
    ) -> pb.SetQuotaResponse:
        """How many names, and bytes of all replicas, a directory may hold."""
        head = self._head(request.op, call)
        op = ops.SetQuota(*head, request.path, request.names_max, request.bytes_max)
        return answer(pb.SetQuotaResponse, await self._propose(op, FileView))

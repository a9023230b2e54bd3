"""Checkpoints of audit trails: taken into the replicated state, and told to administrators."""

from __future__ import annotations

import msgspec

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.audit_marks import AuditMark
from pydfsnode.meta.results import Done
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.own_operations import head_of_one
from pydfsnode.rpc.audit_calls import from_message, to_message
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import fault_of
from pydfsnode.security.tls import TlsStore

SERVICE = "/pydfs.v1.Security/"
PAGE_BYTES = 1024 * 1024


class AuditService:
    """Handlers of the leader."""

    def __init__(self, consensus: Consensus, tls: TlsStore) -> None:
        self._consensus = consensus
        self._tls = tls

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            SERVICE + "RecordAuditCheckpoint": self.record,
            SERVICE + "AuditCheckpoints": self.checkpoints,
        }

    async def record(
        self, request: pb.RecordAuditCheckpointRequest, call: CallContext
    ) -> pb.RecordAuditCheckpointResponse:
        """Keep how far the caller's own trail has come.

        Raises:
            AccessDenied: it is another node's. InvalidArgument: it proves nothing.
        """
        told = from_message(request.checkpoint)
        if told.node != call.identity.uri:
            raise AccessDenied(f"{call.identity} may not sign the trail of {told.node[:200]}")
        if fault := fault_of(told, self._tls.authorities):
            raise InvalidArgument(f"this checkpoint of an audit trail is no proof: {fault}")
        head = head_of_one(self._consensus.wall_ms())
        op = ops.MarkAudit(
            *head, told.node, told.trail, told.seq, told.sha256, told.at_ms, told.signature,
            told.chain_pem,
        )  # fmt: skip
        await self._consensus.propose(op, Done)
        return pb.RecordAuditCheckpointResponse()

    async def checkpoints(
        self, request: pb.AuditCheckpointsRequest, call: CallContext
    ) -> pb.AuditCheckpointsResponse:
        """The newest of each trail, those of a node together; as many as make a message."""
        namespace = await self._consensus.read()
        answer, size = pb.AuditCheckpointsResponse(), 0
        for mark in sorted(namespace.tree.audit_marks.newest.values(), key=_place):
            if _place(mark) <= request.after:
                continue
            if size >= PAGE_BYTES:
                answer.next = _place(answer.checkpoints[-1])
                break
            found = to_message(Checkpoint(*msgspec.structs.astuple(mark)))
            answer.checkpoints.append(found)
            size += found.ByteSize()
        return answer


def _place(mark: AuditMark | pb.AuditCheckpoint) -> str:
    return f"{mark.node} {mark.trail}"

"""Checkpoints of audit trails: taken into the replicated state, and told to administrators."""

from __future__ import annotations

import secrets

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.caller import SUPERUSER
from pydfsnode.meta.results import Done
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.rpc.audit_calls import from_message, to_message
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import fault_of
from pydfsnode.security.tls import TlsStore

SERVICE = "/pydfs.v1.Security/"


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
        head = secrets.randbelow(2**64 - 1) + 1, 1, 1, self._consensus.wall_ms(), SUPERUSER
        op = ops.MarkAudit(
            *head, told.node, told.trail, told.seq, told.sha256, told.at_ms, told.signature,
            told.chain_pem,
        )  # fmt: skip
        await self._consensus.propose(op, Done)
        return pb.RecordAuditCheckpointResponse()

    async def checkpoints(
        self, _: pb.AuditCheckpointsRequest, call: CallContext
    ) -> pb.AuditCheckpointsResponse:
        """The newest of each trail."""
        namespace = await self._consensus.read()
        marks = namespace.tree.audit_marks.newest.values()
        found = (
            Checkpoint(m.node, m.trail, m.seq, m.sha256, m.at_ms, m.signature, m.chain)
            for m in marks
        )
        return pb.AuditCheckpointsResponse(checkpoints=[to_message(each) for each in found])

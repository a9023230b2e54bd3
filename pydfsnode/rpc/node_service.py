"""The Node service: who answers here."""

from __future__ import annotations

from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers


class NodeService:
    """Ping: keep-alive, and a first look at a node."""

    def __init__(self, node_id: str, role: str, version: str) -> None:
        self._node_id = node_id
        self._role = role
        self._version = version

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {"/pydfs.v1.Node/Ping": self.ping}

    async def ping(self, request: pb.PingRequest, call: CallContext) -> pb.PingResponse:
        """Echo the payload."""
        return pb.PingResponse(
            payload=request.payload, node_id=self._node_id, role=self._role, version=self._version
        )

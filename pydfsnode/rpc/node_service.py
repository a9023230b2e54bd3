"""The Node service: who answers here, and how its calls to other nodes go."""

from __future__ import annotations

from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.server import Handlers


class NodeService:
    """See the module; *peers*: of all channels of this process, None: it has none."""

    def __init__(
        self, node_id: str, role: str, version: str, peers: PeerHealth | None = None
    ) -> None:
        self._node_id = node_id
        self._role = role
        self._version = version
        self._peers = peers

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {"/pydfs.v1.Node/Ping": self.ping, "/pydfs.v1.Node/Links": self.links}

    async def ping(self, request: pb.PingRequest, call: CallContext) -> pb.PingResponse:
        """Echo the payload: keep-alive, and a first look at a node."""
        return pb.PingResponse(
            payload=request.payload, node_id=self._node_id, role=self._role, version=self._version
        )

    async def links(self, request: pb.LinksRequest, call: CallContext) -> pb.LinksResponse:
        """The breakers and faults of this node's calls to others."""
        return pb.LinksResponse(links=links_of(self._peers))


def links_of(peers: PeerHealth | None) -> list[pb.PeerLink]:
    """What *peers* knows, as messages."""
    return [
        pb.PeerLink(
            peer=link.peer,
            address=link.address,
            breaker=str(link.state),
            failures=link.failures,
            retry_in_ms=link.retry_in_ms,
            last_failure=link.last_failure,
            faults=link.faults,
        )
        for link in (() if peers is None else peers.peers())
    ]

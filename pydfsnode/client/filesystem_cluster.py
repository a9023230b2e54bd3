"""The part of the file system about the cluster itself."""

from __future__ import annotations

from pydfsnode.client.filesystem_fleet import FleetMethods
from pydfsnode.client.members import Members, Transferred
from pydfsnode.client.model import ClusterStatus, NodeLinks
from pydfsnode.client.wire_keys import KeyCalls
from pydfsnode.client.wire_nodes import NodeCalls
from pydfsnode.client.wire_security import SecurityCalls


class ClusterMethods(FleetMethods):
    """Part of `AsyncFileSystem`; errors as there."""

    _nodes: NodeCalls | None

    @property
    def keys(self) -> KeyCalls:
        """What everything on disk is sealed with; for administrators."""
        return self._calls.keys

    @property
    def security(self) -> SecurityCalls:
        """Certificates: what admins ask and order."""
        return self._calls.security

    async def cluster_status(self) -> ClusterStatus:
        """How the leading master sees the cluster."""
        return await self._calls.cluster.status()

    async def node_links(self, status: ClusterStatus) -> list[NodeLinks]:
        """How the calls of all nodes in *status* to each other go; asks each node for its own."""
        return [] if self._nodes is None else await self._nodes.links(status)

    async def cluster_members(self) -> Members:
        """Who the masters are, by the log."""
        return await self._calls.cluster.members()

    async def add_master(self, node_id: str, listen: str, *, learner_only: bool = False) -> Members:
        """Add the running master *node_id* at *listen*; returns when it holds the log and votes.

        Raises:
            InvalidArgument, UnsafeChange: why it cannot be.
        """
        return await self._calls.cluster.add_server(node_id, listen, learner_only=learner_only)

    async def remove_master(self, node_id: str, *, force: bool = False) -> Members:
        """Take a master out; returns when the others are the members without it.

        Raises:
            UnsafeChange: too few would be left, and not *force*.
        """
        return await self._calls.cluster.remove_server(node_id, force=force)

    async def transfer_leader(self, to: str = "") -> Transferred:
        """Make the master *to* the leader, or the one that follows best."""
        return await self._calls.cluster.transfer_leadership(to)

"""The part of the synchronous file system about the cluster itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydfsnode.client.sync_fleet import SyncFleet

if TYPE_CHECKING:
    from pydfsnode.client.members import Members, Transferred
    from pydfsnode.client.model import ClusterStatus, NodeLinks


class SyncCluster(SyncFleet):
    """Part of `FileSystem`."""

    def cluster_status(self) -> ClusterStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cluster_status())

    def node_links(self, status: ClusterStatus) -> list[NodeLinks]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.node_links(status))

    def cluster_members(self) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cluster_members())

    def add_master(self, node_id: str, listen: str, *, learner_only: bool = False) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.add_master(node_id, listen, learner_only=learner_only))

    def remove_master(self, node_id: str, *, force: bool = False) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.remove_master(node_id, force=force))

    def transfer_leader(self, to: str = "") -> Transferred:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.transfer_leader(to))

"""Which chunkservers a writer's next chunk goes to; decided before the operation is proposed."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import LeaseExpired
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet


class Allocation:
    """The choice itself is pure (`fleet.placement`).

    Here it meets the file and the live servers.
    """

    def __init__(self, consensus: Consensus, fleet: Fleet, namespace: Namespace) -> None:
        self._consensus = consensus
        self._fleet = fleet
        self._namespace = namespace

    async def choose(self, inode_id: int, exclude: list[str]) -> tuple[str, ...]:
        """Node ids of the pipeline, in order.

        Raises:
            NotLeader: another master leads.
            LeaseExpired: the file is gone.
            NoChunkservers: nobody live has room.
        """
        file = self._file(inode_id)
        if file is None:
            await self._consensus.read()  # a new leader may still be applying what is committed
            file = self._file(inode_id)
        else:
            self._consensus.require_leader()
        if file is None:
            raise LeaseExpired(
                f"file {inode_id} is gone: it was deleted or overwritten while it was written",
                inode_id=inode_id,
            )
        return self._fleet.choose_targets(file.replication, exclude, file.chunk_bytes)

    def _file(self, inode_id: int) -> Inode | None:
        inode = self._namespace.tree.table.get(inode_id)
        return inode if inode is not None and inode.is_file else None

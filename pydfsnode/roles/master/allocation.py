"""Which chunkservers a writer's next chunk goes to; decided before the operation is proposed."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import LeaseExpired
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet

FAILED_WRITERS_MAX = 1024  # limits.py candidate
"""Files remembered whose writers said that a chunkserver failed them."""


class Allocation:
    """The choice itself is pure (`fleet.placement`).

    Here it meets the file and the live servers.
    """

    def __init__(self, consensus: Consensus, fleet: Fleet, namespace: Namespace) -> None:
        self._consensus = consensus
        self._fleet = fleet
        self._namespace = namespace
        self._failed: dict[int, frozenset[str]] = {}  # by file, the latest last

    async def choose(self, inode_id: int, exclude: list[str], peer: str = "") -> tuple[str, ...]:
        """Node ids of the pipeline, in order.

        Args:
            exclude: who just failed this writer; that counts against their health, once a file.
            peer: the writer's "host:port".

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
        self._note_failed(inode_id, exclude)
        return self._fleet.choose_targets(
            file.replication, exclude, file.chunk_bytes, _host_of(peer)
        )

    def _note_failed(self, inode_id: int, exclude: list[str]) -> None:
        """A writer excludes who failed it from all of its later chunks too: those are not news."""
        if not exclude:
            return
        known = self._failed.pop(inode_id, frozenset())
        self._failed[inode_id] = known.union(exclude)
        self._fleet.write_failed(sorted(self._failed[inode_id] - known))
        if len(self._failed) > FAILED_WRITERS_MAX:
            del self._failed[next(iter(self._failed))]

    def _file(self, inode_id: int) -> Inode | None:
        inode = self._namespace.tree.table.get(inode_id)
        return inode if inode is not None and inode.is_file else None


def _host_of(peer: str) -> str:
    """The host of "host:port", as chunkservers write theirs; gRPC puts the family before it."""
    return peer.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]

"""Whether the others can do without some chunkservers, asked before an order is taken."""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import ServerTable


class LeaveCheck:
    """`step` until it says that it is done, then `refusal`.

    Args of the constructor:
        node_ids: who shall leave, or be away for a while.
        for_good: whether all their replicas must find room elsewhere.
    """

    def __init__(
        self, servers: ServerTable, replicas: ReplicaMap, node_ids: Sequence[str], *, for_good: bool
    ) -> None:
        self._servers = servers
        self._replicas = replicas
        self._node_ids = node_ids
        self._for_good = for_good
        self._walk = replicas.sweep_of(node_ids)
        self._most_wanted = 0

    def step(self) -> bool:
        """Look at some more of what they hold; returns whether there is more."""
        if self._walk.is_done:
            return False
        for chunk_id in self._walk.step():
            wanted = self._replicas.wanted(chunk_id)
            if wanted is not None and wanted[2] > self._most_wanted:
                self._most_wanted = wanted[2]
        return not self._walk.is_done

    def refusal(self) -> str:
        """Why not, "" when they may leave."""
        staying = [s for s in self._servers.placeable() if s.node_id not in self._node_ids]
        who = ", ".join(self._node_ids)
        needed = self._most_wanted if self._for_good else min(1, self._most_wanted)
        if len(staying) < needed:
            return (
                f"{who} hold chunks that want {self._most_wanted} replicas, and only "
                f"{len(staying)} chunkservers in service would be left: start more of them first, "
                "or lower the replication ('pydfsnode fs setrep')"
            )
        used = sum(s.used_bytes for s in map(self._servers.get, self._node_ids) if s is not None)
        free = sum(max(0, s.room_bytes) for s in staying)
        if self._for_good and self._most_wanted and free < used:
            return (
                f"{who} use {used:,} bytes, and the {len(staying)} chunkservers that would be left "
                f"have {free:,} free: start more of them first, or make room"
            )
        return ""

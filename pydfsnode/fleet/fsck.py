"""How a chunk stands on the chunkservers, in the words of a file system check."""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import ServerTable
from pydfsnode.fleet.topology import Rack, concentration, is_better, parse_rack

MISSING, CORRUPT = "missing", "corrupt"
UNDER_REPLICATED, OVER_REPLICATED = "under-replicated", "over-replicated"
MISPLACED, IN_MAINTENANCE = "misplaced", "in maintenance"


@dataclass(frozen=True, slots=True)
class ChunkCondition:
    """One chunk: `replicas` count, `bad` are live and of no use.

    `problem` is the worst of what is wrong, "" when nothing is. MISSING: no live replica; CORRUPT:
    live ones, and all damaged or of another version. IN_MAINTENANCE: whole again when those come
    back that are expected to.
    """

    replicas: int
    bad: int
    problem: str


class Examiner:
    """Made for a few thousand chunks that are looked at in one go: it keeps who stands where."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap) -> None:
        self._replicas = replicas
        self._racks = {server.node_id: parse_rack(server.rack) for server in servers.live()}
        self._open_racks: dict[Rack, list[str]] = {}
        for server in servers.placeable():
            self._open_racks.setdefault(self._racks[server.node_id], []).append(server.node_id)
        self._is_well_spread: dict[tuple[Rack, ...], bool] = {}

    def look(self, chunk_id: int, replication: int) -> ChunkCondition:
        """The condition of a finished chunk that wants *replication* replicas."""
        replicas = self._replicas
        good = [*replicas.good(chunk_id), *replicas.expected(chunk_id)]
        bad = replicas.bad(chunk_id)
        return ChunkCondition(
            len(good), len(bad), self._problem(chunk_id, replication, good, bool(bad))
        )

    def _problem(self, chunk_id: int, replication: int, good: list[str], has_bad: bool) -> str:
        if not good:
            if any(self._replicas.suspects(chunk_id)) and not has_bad:
                return UNDER_REPLICATED  # whole, but ordered to be deleted: it is copied from
            return CORRUPT if has_bad else MISSING
        if len(good) < replication:
            coming = len(self._replicas.in_maintenance(chunk_id))
            return IN_MAINTENANCE if len(good) + coming >= replication else UNDER_REPLICATED
        if len(good) > replication:
            return OVER_REPLICATED
        return "" if self._is_well_placed(good) else MISPLACED

    def _is_well_placed(self, good: list[str]) -> bool:
        """Whether no server that may take replicas would spread them better over the racks."""
        racks = tuple(sorted(self._racks.get(node, ()) for node in good))
        known = self._is_well_spread.get(racks)
        if known is None:
            known = self._is_well_spread[racks] = self._cannot_be_better(racks)
        return known

    def _cannot_be_better(self, racks: tuple[Rack, ...]) -> bool:
        now = concentration(racks)
        if not now:
            return True
        return not any(
            is_better(concentration([*racks[:at], rack, *racks[at + 1 :]]), now)
            for at in range(len(racks))
            for rack in self._open_racks
            if rack not in racks
        )

"""Chunks whose replicas could be spread better over the failure domains, found and moved.

A chunk comes to lie badly when the servers of other racks were down, full or slow when it was
written or repaired, or when a server is carried to another rack. No event tells all of its chunks:
one walk after the other goes through the table of replicas in bounded steps. A move is a copy to a
better place; the most crowded replica is surplus then. Only when no copy is needed more is any
chunk moved.
"""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode import _fast as fast
from pydfsnode.fleet.bounds import (
    MISPLACED_MAX,
    MISPLACED_SCAN_CHUNKS,
    MOVES_MAX,
    SCAN_CHUNKS_MAX,
)
from pydfsnode.fleet.copies import CopyOrders
from pydfsnode.fleet.orders import Copy
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import ServerTable

_SEGMENTS_PER_STEP = 256
"""Most of a small table: an empty segment costs microseconds."""


class Misplaced:
    """For the leader only; `plan` about once a second."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap, copies: CopyOrders) -> None:
        self._servers = servers
        self._replicas = replicas
        self._copies = copies
        self._segment = 0
        self._found: dict[int, None] = {}

    @property
    def count(self) -> int:
        """Chunks found so far that could be spread better."""
        return len(self._found)

    def clear(self) -> None:
        """Forget what was found."""
        self._found.clear()

    def search(self) -> None:
        """Look at some more chunks."""
        if len(self._servers.spread().racks) < 2:
            self._found.clear()
            return
        if len(self._found) >= MISPLACED_MAX:
            return
        segments = [
            (self._segment + step) % fast.REPLICA_SEGMENTS for step in range(_SEGMENTS_PER_STEP)
        ]
        looked = 0
        for segment, chunks in zip(segments, self._replicas.live_in(segments), strict=True):
            self._found.update(dict.fromkeys(filter(self.may_improve, chunks)))
            self._segment = (segment + 1) % fast.REPLICA_SEGMENTS
            looked += len(chunks)
            if looked >= MISPLACED_SCAN_CHUNKS:
                return

    def may_improve(self, chunk_id: int) -> bool:
        """Whether the chunk has all its replicas, and they may be spread better."""
        wanted = self._replicas.wanted(chunk_id)
        good = self._replicas.good(chunk_id)
        if wanted is None or len(good) < 2 or len(good) < wanted[2]:
            return False
        racks = tuple(map(self._servers.place_of, good))
        return not self._servers.spread().is_best(racks)

    def plan(self, now_ms: int, pick: Callable[[], float]) -> list[Copy]:
        """Move some of those found, as far as servers have time."""
        orders: list[Copy] = []
        for chunk_id in list(self._found)[:SCAN_CHUNKS_MAX]:
            if self._copies.running >= MOVES_MAX or not self._copies.has_room(now_ms):
                break
            del self._found[chunk_id]
            order = self._copies.move(chunk_id, now_ms, pick)
            if order is not None:
                orders.append(order)
        return orders

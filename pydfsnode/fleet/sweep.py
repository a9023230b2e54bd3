"""A walk through everything that some servers hold, in bounded steps.

When a server dies or comes back, each of its chunks belongs into other queues: half a million of
them at once would stall the master's loop.
"""

from __future__ import annotations

from pydfsnode import _fast as fast

CHUNKS_PER_STEP = 8192
"""Chunks that one step finds, give or take a segment: about 10 ms to sort them into queues."""
RECORDS_PER_STEP = 1 << 19
"""Records that one step looks at: below 10 ms."""


class Sweep:
    """One walk round the segments of *table* serves all servers; each sees all of them once."""

    def __init__(self, table: fast.ReplicaTable) -> None:
        self._table = table
        self._segment = 0
        self._left: dict[int, int] = {}  # segments to go

    @property
    def is_done(self) -> bool:
        """Whether `step` has nothing more to find."""
        return not self._left

    def begin(self, server: int) -> None:
        """From now on find all that *server* holds; anew when that was going on."""
        if self._table.held_count(server):
            self._left[server] = fast.REPLICA_SEGMENTS

    def step(self) -> list[int]:
        """The chunks of the next segments. What is added meanwhile may be found or not."""
        found: list[int] = []
        segments = RECORDS_PER_STEP * fast.REPLICA_SEGMENTS // (len(self._table) + 1) + 1
        while self._left and segments and len(found) < CHUNKS_PER_STEP:
            found += self._table.held_in(self._segment, list(self._left))
            self._left = {server: left - 1 for server, left in self._left.items() if left > 1}
            self._segment = (self._segment + 1) % fast.REPLICA_SEGMENTS
            segments -= 1
        return found

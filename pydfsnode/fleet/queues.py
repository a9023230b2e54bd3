"""The chunks that need attention, each in the queue of its need; every queue first come first.

Missing chunks have no queue: nothing can be done for them, and after a start all chunks are missing
until the servers have reported. They are counted, and looked for when somebody asks.
"""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

from pydfsnode import _fast as fast
from pydfsnode import limits

_K = TypeVar("_K")
_V = TypeVar("_V")

_NONE = -1
_SPARSE_BYTES = 64 * limits.KIB
_SPARSE_BYTES_PER_ENTRY = 1024


def trimmed(entries: dict[_K, _V]) -> dict[_K, _V]:
    """The same entries in the same order; a copy when *entries* was much larger once.

    A dictionary keeps the memory of its best days until it is filled again.
    """
    size = entries.__sizeof__()
    if size > _SPARSE_BYTES and size > _SPARSE_BYTES_PER_ENTRY * len(entries):
        return dict(entries)
    return entries


class ChunkQueues:
    """Chunks that are short of replicas, by how many count; with surplus replicas; without owner.

    Dictionaries keep the order of entry: what was deferred stands behind all others.

    Args of the constructor:
        table: remembers for each chunk in which of the queues for the short it is.
    """

    def __init__(self, table: fast.ReplicaTable) -> None:
        self._table = table
        self._missing = 0
        self._short: list[dict[int, None]] = [{} for _ in range(limits.REPLICATION_MAX)]
        self._surplus: dict[int, None] = {}
        self._orphans: dict[int, int] = {}

    def set_wanted(self, chunk_id: int, level: int | None, is_surplus: bool) -> None:
        """*chunk_id* is wanted.

        Args:
            level: how many replicas count, which is too few; None: they are enough.
            is_surplus: whether it has replicas that could go.
        """
        self._set_level(chunk_id, _NONE if level is None else level)
        if is_surplus:
            self._surplus.setdefault(chunk_id)
        elif self._surplus:
            self._surplus.pop(chunk_id, None)
        if self._orphans:
            self._orphans.pop(chunk_id, None)

    def set_unwanted(self, chunk_id: int, orphan_since_ms: int | None) -> None:
        """Nobody wants *chunk_id*, of which there are replicas since then; None: there are none."""
        self._set_level(chunk_id, _NONE)
        self._surplus.pop(chunk_id, None)
        if orphan_since_ms is None:
            self._orphans.pop(chunk_id, None)
        else:
            self._orphans[chunk_id] = orphan_since_ms

    def _set_level(self, chunk_id: int, level: int) -> None:
        before = self._table.set_level(chunk_id, level)
        if before == level:
            return
        if before == 0:
            self._missing -= 1
        elif before != _NONE:
            del self._short[before][chunk_id]
        if level == 0:
            self._missing += 1
        elif level != _NONE:
            self._short[level][chunk_id] = None

    def orphan_since_ms(self, chunk_id: int) -> int | None:
        """Since when nobody wants *chunk_id*; None: it is no orphan."""
        return self._orphans.get(chunk_id)

    def short(self, level: int, count: int) -> list[int]:
        """Up to *count* chunks of which *level* replicas count; of missing ones, any."""
        if level == 0:
            return self._table.at_level(0, min(count, self._missing))
        return list(islice(self._short[level], count))

    def short_count(self, level: int) -> int:
        """How many chunks `short` could give."""
        return self._missing if level == 0 else len(self._short[level])

    def surplus(self, count: int) -> list[int]:
        """Up to *count* chunks with replicas that could go."""
        return list(islice(self._surplus, count))

    def orphans(self, count: int) -> list[tuple[int, int]]:
        """Up to *count* (chunk, since when) that nobody wants."""
        return list(islice(self._orphans.items(), count))

    def defer(self, chunk_id: int) -> None:
        """Nothing can be done for *chunk_id* now: it goes behind the others of its queues."""
        level = self._table.level(chunk_id)
        if level > 0:
            del self._short[level][chunk_id]
            self._short[level][chunk_id] = None
        if chunk_id in self._surplus:
            del self._surplus[chunk_id]
            self._surplus[chunk_id] = None
        if chunk_id in self._orphans:
            self._orphans[chunk_id] = self._orphans.pop(chunk_id)

    def trim(self) -> None:
        """Give back the memory of queues that were long."""
        self._short = [trimmed(queue) for queue in self._short]
        self._surplus = trimmed(self._surplus)
        self._orphans = trimmed(self._orphans)

"""The chunks that need attention, each in the queue of its need; every queue first come first."""

from __future__ import annotations

from itertools import islice

from pydfsnode import limits


class ChunkQueues:
    """Chunks that are short of replicas, by how many count; with surplus replicas; without owner.

    Dictionaries keep the order of entry: what was deferred stands behind all others.
    """

    def __init__(self) -> None:
        self._level: dict[int, int] = {}
        self._short: list[dict[int, None]] = [{} for _ in range(limits.REPLICATION_MAX)]
        self._surplus: dict[int, None] = {}
        self._orphans: dict[int, int] = {}

    def set_short(self, chunk_id: int, level: int | None) -> None:
        """*level* replicas of *chunk_id* count, which is too few; None: they are enough."""
        before = self._level.get(chunk_id)
        if before == level:
            return
        if before is not None:
            del self._short[before][chunk_id]
        if level is None:
            del self._level[chunk_id]
        else:
            self._level[chunk_id] = level
            self._short[level][chunk_id] = None

    def set_surplus(self, chunk_id: int, is_surplus: bool) -> None:
        """Whether *chunk_id* has replicas that could go."""
        if is_surplus:
            self._surplus.setdefault(chunk_id)
        else:
            self._surplus.pop(chunk_id, None)

    def set_orphan(self, chunk_id: int, since_ms: int | None) -> None:
        """Nobody wants *chunk_id* since then; None: somebody does, or no replica is left."""
        if since_ms is None:
            self._orphans.pop(chunk_id, None)
        else:
            self._orphans[chunk_id] = since_ms

    def is_orphan(self, chunk_id: int) -> bool:
        """Whether it is queued as one."""
        return chunk_id in self._orphans

    def short(self, level: int, count: int) -> list[int]:
        """Up to *count* chunks of which *level* replicas count."""
        return list(islice(self._short[level], count))

    def short_count(self, level: int) -> int:
        """How many chunks `short` could give."""
        return len(self._short[level])

    def surplus(self, count: int) -> list[int]:
        """Up to *count* chunks with replicas that could go."""
        return list(islice(self._surplus, count))

    def orphans(self, count: int) -> list[tuple[int, int]]:
        """Up to *count* (chunk, since when) that nobody wants."""
        return list(islice(self._orphans.items(), count))

    def defer(self, chunk_id: int) -> None:
        """Nothing can be done for *chunk_id* now: it goes behind the others of its queues."""
        level = self._level.get(chunk_id)
        if level is not None:
            del self._short[level][chunk_id]
            self._short[level][chunk_id] = None
        if chunk_id in self._surplus:
            del self._surplus[chunk_id]
            self._surplus[chunk_id] = None
        if chunk_id in self._orphans:
            self._orphans[chunk_id] = self._orphans.pop(chunk_id)

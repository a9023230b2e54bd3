"""Which replicas this node holds, in memory, and the order in which that changed. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pydfsnode.storage import chunk_format

CHANGES_MAX = 65_536  # limits.py candidate
"""Changes remembered for incremental reports; a reader further behind takes a full listing."""


class Replica(NamedTuple):
    """A finished copy of a chunk on this node's disk."""

    chunk_id: int
    version: int
    length: int


class Changes(NamedTuple):
    """What changed since a cursor, each chunk once, as it is now."""

    cursor: int
    added: list[Replica]
    removed: list[int]


class ChunkIndex:
    """Replicas by chunk id, one version each; corrupt ones are listed apart."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """*on_change* is called, in any thread, after each change."""
        self._lock = threading.Lock()
        self._replicas: dict[int, Replica] = {}
        self._corrupt: set[int] = set()
        self._journal: list[int] = []
        self._journal_start = 0
        self._used_bytes = 0
        self._on_change = on_change

    def __len__(self) -> int:
        return len(self._replicas)

    @property
    def used_bytes(self) -> int:
        """Bytes of all chunk files, tails included."""
        return self._used_bytes

    @property
    def cursor(self) -> int:
        """Position behind the newest change."""
        with self._lock:
            return self._journal_start + len(self._journal)

    def get(self, chunk_id: int) -> Replica | None:
        """The replica of a chunk, corrupt or not."""
        return self._replicas.get(chunk_id)

    def is_corrupt(self, chunk_id: int) -> bool:
        """Whether the replica failed a verification."""
        return chunk_id in self._corrupt

    def corrupt(self) -> list[int]:
        """Chunks whose replica here failed a verification."""
        with self._lock:
            return sorted(self._corrupt)

    def put(self, replica: Replica) -> None:
        """A replica is durable now; it replaces what was there of its chunk."""
        with self._lock:
            self._forget(replica.chunk_id)
            self._replicas[replica.chunk_id] = replica
            self._used_bytes += _file_bytes(replica)
            self._note(replica.chunk_id)
        self._on_change()

    def remove(self, replica: Replica) -> bool:
        """*replica* is gone; False, and nothing done, when another one or none is held."""
        with self._lock:
            if self._replicas.get(replica.chunk_id) != replica:
                return False
            self._forget(replica.chunk_id)
            self._note(replica.chunk_id)
        self._on_change()
        return True

    def remove_all(self, chunk_ids: Iterable[int]) -> None:
        """The replicas of all these chunks are gone, with their disk."""
        with self._lock:
            for chunk_id in chunk_ids:
                if chunk_id in self._replicas:
                    self._forget(chunk_id)
                    self._note(chunk_id)
        self._on_change()

    def mark_corrupt(self, replica: Replica) -> None:
        """The replica must not be read any more; nothing when it is not the one held now."""
        with self._lock:
            held = self._replicas.get(replica.chunk_id)
            if held != replica or replica.chunk_id in self._corrupt:
                return
            self._corrupt.add(replica.chunk_id)
        self._on_change()

    def listing(self) -> tuple[int, list[Replica]]:
        """(cursor, every replica) of one moment."""
        with self._lock:
            return self._journal_start + len(self._journal), list(self._replicas.values())

    def changes(self, cursor: int, count_max: int) -> Changes | None:
        """What the next *count_max* changes behind *cursor* touched; None when forgotten."""
        with self._lock:
            start = cursor - self._journal_start
            if not 0 <= start <= len(self._journal):
                return None
            touched = self._journal[start : start + count_max]
            added, removed = [], []
            for chunk_id in dict.fromkeys(touched):
                replica = self._replicas.get(chunk_id)
                if replica is None:
                    removed.append(chunk_id)
                else:
                    added.append(replica)
            return Changes(cursor + len(touched), added, removed)

    def _forget(self, chunk_id: int) -> None:
        self._corrupt.discard(chunk_id)
        held = self._replicas.pop(chunk_id, None)
        if held is not None:
            self._used_bytes -= _file_bytes(held)

    def _note(self, chunk_id: int) -> None:
        self._journal.append(chunk_id)
        if len(self._journal) > 2 * CHANGES_MAX:
            del self._journal[:CHANGES_MAX]
            self._journal_start += CHANGES_MAX


def _file_bytes(replica: Replica) -> int:
    return replica.length + chunk_format.tail_bytes(replica.length)

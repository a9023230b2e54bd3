"""What the leader can tell a chunkserver to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copy:
    """`node_id` shall pull the chunk from one of `sources`, the least busy first."""

    node_id: str
    chunk_id: int
    version: int
    length: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """`node_id` shall delete its replica, if that has this version."""

    node_id: str
    chunk_id: int
    version: int

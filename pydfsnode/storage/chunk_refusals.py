"""Why a replica is not what was asked for."""

from __future__ import annotations

from pydfsnode.errors import ReplicaNotFound, StaleChunkVersion
from pydfsnode.storage.chunk_index import Replica


def stale(held: Replica, version: int) -> StaleChunkVersion:
    """Something newer is here."""
    return StaleChunkVersion(
        f"chunk {held.chunk_id}: version {held.version} is here, version {version} is out of date: "
        "ask the masters again",
        chunk_id=held.chunk_id,
        version=held.version,
    )


def too_short(chunk_id: int, version: int, have: int, wanted: int) -> ReplicaNotFound:
    """It is here, but not so many bytes of it."""
    return ReplicaNotFound(
        f"chunk {chunk_id} version {version}: {have} bytes are here, {wanted} were asked for",
        chunk_id=chunk_id,
    )

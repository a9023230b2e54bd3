"""Capabilities as a master makes them, for tests without one."""

from __future__ import annotations

from pydfsnode.meta.administration import ChunkKey
from pydfsnode.meta.state import Namespace
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.security.capability import DAY_MS, LIFE_MS, WRITING, Capability, day_mac, sign

CHUNK_KEY = b"k" * 32
"""Of epoch 1."""


def give_key(namespace: Namespace) -> None:
    """The key that a leader's upkeep makes when its first term begins."""
    namespace.tree.administration.add_chunk_key(1, ChunkKey(CHUNK_KEY, 0))


def token(
    user: str,
    chunk_id: int,
    version: int = 1,
    operations: int = WRITING,
    *,
    now_ms: int | None = None,
    key: bytes = CHUNK_KEY,
    epoch: int = 1,
) -> bytes:
    """What lets *user* do *operations* on a chunk; made *now_ms*, by default the real time."""
    made_ms = SystemClock().wall_ms() if now_ms is None else now_ms
    said = Capability(chunk_id, version, operations, user, made_ms + LIFE_MS)
    day = made_ms // DAY_MS
    return sign(said, day_mac(key, day), epoch, day)

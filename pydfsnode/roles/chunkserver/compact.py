"""Frees the room of deleted small chunks in the background, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydfsnode.errors import InvariantViolation, KeyUnavailable, StorageError
from pydfsnode.limits import MIB
from pydfsnode.obs.log import get_logger
from pydfsnode.storage.chunk_store import ChunkStore

RATE_BYTES_PER_S = 16 * MIB
"""Moved on all disks together."""
IDLE_S = 30.0
"""After this long it is looked again whether there is something to do."""

_log = get_logger("chunkserver.compact")


async def compact(
    store: ChunkStore, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Compact the segments of all disks until cancelled; *pause* waits for seconds."""
    compactions = store.compactions()
    while True:
        moved = 0
        for compaction in compactions:
            try:
                moved += await store.run_on(compaction.disk, compaction.step)
            except InvariantViolation:
                raise
            except (StorageError, KeyUnavailable) as error:
                # No room, a key that did not come yet, or the disk failed, which the store tells.
                _log.warning("segments are not compacted now", error=str(error))
        await pause(moved / RATE_BYTES_PER_S if moved else IDLE_S)

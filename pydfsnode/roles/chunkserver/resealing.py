"""After a rotation of keys: writes sealed chunks anew that still need an older key, slowly.

A walk opens every sealed chunk's tail, which names its key. When a walk has found none of an older
key the masters are told, and destroy the older keys once nobody needs them. Nothing is remembered
on disk: after a restart a walk finds what is left. Plain chunks stay plain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydfsnode.errors import InvariantViolation, KeyUnavailable, PydfsError
from pydfsnode.fleet.health import ChunkSealing
from pydfsnode.obs.log import get_logger
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_store import ChunkStore

LOOK_INTERVAL_S = 1.0
RETRY_PAUSE_S = 10.0
"""After a walk that left something: a chunk that is being written, or whose key is not here."""
BYTES_PER_S = 32 * 1024 * 1024
"""Written anew, while nobody else reads or writes; a quarter of it while somebody does."""
BUSY_FACTOR = 4
CHUNK_PAUSE_S = 0.002
"""After each chunk that is only looked at."""

_log = get_logger("chunkserver.resealing")


class Resealer:
    """`run` is a task of the node."""

    def __init__(
        self,
        store: ChunkStore,
        keys: ChunkKeys,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_resealed: Callable[[int], None] | None = None,
    ) -> None:
        """*on_resealed* is told an epoch when nothing here needs an older key any more."""
        self._store = store
        self._keys = keys
        self._sleep = sleep
        self._on_resealed = on_resealed
        self._verified = self._stale = self._resealed = 0
        self._foreground_seen = 0

    @property
    def state(self) -> ChunkSealing:
        """For heartbeats."""
        return ChunkSealing(self._verified, self._stale, self._resealed, self._keys.epoch)

    async def run(self) -> None:
        """Walk whenever there is a newer key; runs until cancelled."""
        while True:
            await self._sleep(LOOK_INTERVAL_S)
            if self._verified < self._keys.epoch and not await self.step():
                await self._sleep(RETRY_PAUSE_S)

    async def step(self) -> bool:
        """One walk; whether nothing here needs an older key any more."""
        epoch = self._keys.epoch
        if epoch == 1:  # there never was an older one
            self._verified = epoch
            return True
        # First: what is written with an older key now is among the chunks only later.
        left = self._keys.seals_with_older(epoch)
        self._stale = 0
        for held in self._store.index.listing()[1]:
            left |= not await self._renewed(held, epoch)
        if left:
            return False
        if self._resealed:
            _log.info("chunks sealed anew", epoch=epoch, chunks=self._resealed)
        self._verified = epoch
        if self._on_resealed is not None:
            self._on_resealed(epoch)
        return True

    async def _renewed(self, held: Replica, epoch: int) -> bool:
        """Seal *held* anew if it needs that; False: it may still need an older key."""
        try:
            found = await self._store.seal_epoch(held)
            if found is None or found >= epoch:
                await self._sleep(CHUNK_PAUSE_S)
                return True
            self._stale += 1
            await self._store.reseal(held.chunk_id, held.version)
        except InvariantViolation:
            raise
        except PydfsError as error:
            if isinstance(error, KeyUnavailable) and self._is_lost(error):
                # Its server was away when the masters destroyed that key: nothing opens it again.
                self._store.index.mark_corrupt(held)
            if self._store.index.get(held.chunk_id) != held:
                return True  # deleted or replaced meanwhile
            if self._store.index.is_corrupt(held.chunk_id):
                return True  # no key makes it readable: the masters have it made again
            _log.warning("a chunk was not sealed anew", chunk_id=held.chunk_id, why=str(error))
            return False
        self._stale -= 1
        self._resealed += 1
        await self._pause(held.length)
        return True

    def _is_lost(self, error: KeyUnavailable) -> bool:
        """Whether the key that *error* misses is one that the masters have destroyed."""
        epoch = error.fields.get("epoch")
        return isinstance(epoch, int) and 0 < epoch < self._keys.oldest

    async def _pause(self, written: int) -> None:
        foreground = self._store.foreground_bytes
        is_busy = foreground != self._foreground_seen
        self._foreground_seen = foreground
        pause_s = written / BYTES_PER_S * (BUSY_FACTOR if is_busy else 1)
        await self._sleep(max(CHUNK_PAUSE_S, pause_s))

"""Reads and verifies everything stored here, over and over, slowly.

A replica that is found corrupt is marked in the store, which tells the masters: they have it made
again from a good one.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.errors import (
    CorruptionError,
    DomainError,
    InvariantViolation,
    KeyUnavailable,
    StorageError,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.runtime.clock import Clock
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.scrub_cursor import ScrubCursor, load_cursor, save_cursor
from pydfsnode.storage.scrub_pace import DAY_MS, ScrubPace

SAVE_INTERVAL_MS = 60_000
"""Verified again after a restart: what was read in this time."""
EMPTY_PAUSE_MS = 60_000
"""Between rounds that had nothing to read."""
KEY_PAUSE_MS = 5_000
"""Before a sealed chunk without its key is tried a second time, and then left for this round."""

_log = get_logger("chunkserver.scrub")

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """Of the round that runs, and what was found since the start. Times by the wall clock."""

    began_ms: int
    due_ms: int
    done_bytes: int
    left_bytes: int
    rounds: int
    """Rounds that ended, restarts included."""
    last_ended_ms: int
    corrupt_found: int
    """Since the start of this process."""


class Scrubber:
    """`run` is a task of the node."""

    def __init__(
        self,
        store: ChunkStore,
        directory: Path,
        period_days: float,
        clock: Clock,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """
        Args:
            directory: where its place is remembered.
            period_days: everything is verified once in this time.
            pause: waits for seconds.
        """
        self._store = store
        self._directory = directory
        self._period_ms = int(period_days * DAY_MS)
        self._clock = clock
        self._pause = pause
        self._cursor = ScrubCursor()
        self._left_bytes = 0
        self._corrupt_found = 0
        self._saved_ms = clock.monotonic_ms()
        self._foreground_seen = 0
        self._export_gauges()

    @property
    def progress(self) -> ScrubProgress:
        """For reports and pages."""
        cursor = self._cursor
        return ScrubProgress(
            cursor.began_ms,
            cursor.began_ms + self._period_ms,
            cursor.done_bytes,
            self._left_bytes,
            cursor.rounds,
            cursor.ended_ms,
            self._corrupt_found,
        )

    async def run(self) -> None:
        """Verify until cancelled."""
        self._cursor = await self._store.run(load_cursor, self._directory, self._clock.wall_ms())
        while True:
            await self.run_round()

    async def run_round(self) -> None:
        """Go on with the round that was interrupted, or do a new one."""
        cursor = self._cursor
        if not cursor.began_ms:
            cursor.began_ms = self._clock.wall_ms()
        chunk_ids, self._left_bytes = await self._store.run(self._list, cursor.verified_up_to)
        if not chunk_ids and not cursor.done_bytes:
            cursor.began_ms = 0
            await self._pause(EMPTY_PAUSE_MS / 1000)
            return
        pace = ScrubPace(self._period_ms, cursor.began_ms, cursor.done_bytes + self._left_bytes)
        for chunk_id in chunk_ids:
            await self._verify(chunk_id, pace)
            cursor.verified_up_to = chunk_id
            if self._clock.monotonic_ms() - self._saved_ms >= SAVE_INTERVAL_MS:
                await self._save()
        _log.info("everything stored was verified", read_bytes=cursor.done_bytes)
        self._cursor = ScrubCursor(rounds=cursor.rounds + 1, ended_ms=self._clock.wall_ms())
        await self._save()

    def _list(self, after: int) -> tuple[array[int], int]:
        """Ids of the chunks behind *after*, and how many bytes they have."""
        found = [held for held in self._store.index.listing()[1] if held.chunk_id > after]
        chunk_ids = array("Q", sorted(held.chunk_id for held in found))
        return chunk_ids, sum(held.length for held in found)

    async def _verify(self, chunk_id: int, pace: ScrubPace, *, waits: bool = True) -> None:
        held = self._store.index.get(chunk_id)
        if held is None or self._store.index.is_corrupt(chunk_id):
            return
        try:
            async for size in self._store.verify(held):
                self._cursor.done_bytes += size
                self._left_bytes = max(0, self._left_bytes - size)
                metrics().counter("chunk_scrub_bytes_total").inc(size)
                await self._wait(pace, size)
        except InvariantViolation:
            raise
        except CorruptionError as error:
            self._corrupt_found += 1
            metrics().counter("chunk_scrub_corrupt_total").inc()
            _log.error("the scrubber found a corrupt replica", chunk_id=chunk_id, error=str(error))
        except KeyUnavailable as error:
            # At a start the keys may still be on their way. Without its key nothing is said of it.
            _log.warning("a sealed chunk cannot be verified now", why=str(error))
            if waits:
                await self._pause(KEY_PAUSE_MS / 1000)
                await self._verify(chunk_id, pace, waits=False)
        except (StorageError, DomainError) as error:
            # Deleted or replaced meanwhile, or its disk failed: the store tells the masters.
            _log.debug("a chunk was not verified", chunk_id=chunk_id, error=str(error))

    async def _wait(self, pace: ScrubPace, just_read: int) -> None:
        while True:
            foreground = self._store.foreground_bytes
            is_busy = foreground != self._foreground_seen
            self._foreground_seen = foreground
            pause_ms = pace.pause_ms(
                self._clock.wall_ms(), self._cursor.done_bytes, just_read, is_busy
            )
            if pause_ms <= 0:
                return
            just_read = 0  # spread by this pause
            await self._pause(pause_ms / 1000)

    async def _save(self) -> None:
        self._saved_ms = self._clock.monotonic_ms()
        await self._store.run(save_cursor, self._directory, self._cursor)

    def _export_gauges(self) -> None:
        gauges = metrics().gauge
        gauges("chunk_scrub_done_bytes").set_function(lambda: self.progress.done_bytes)
        gauges("chunk_scrub_left_bytes").set_function(lambda: self.progress.left_bytes)
        gauges("chunk_scrub_left_seconds").set_function(
            lambda: (self.progress.due_ms - self._clock.wall_ms()) / 1000
        )

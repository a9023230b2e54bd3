"""The pieces of a backup, made in a thread and slowly: clients must not notice that one is written.

The rows are those of a snapshot for another master (snapshot_send), cut and compressed in the same
way, a slice at a time, and after each slice this rests for many times as long as the slice took.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from pydfsnode.runtime.clock import Clock, stopwatch_s
from pydfsnode.runtime.snapshot_frames import FrameCutter, RowFrame
from pydfsnode.runtime.snapshot_send import RESTS, Pace, StateView

T = TypeVar("T")


class PieceEncoder(Protocol):
    """Makes the bytes of a backup; `storage.backup_format.BackupEncoder`."""

    def begin(self) -> bytes:
        """What the file begins with."""
        ...

    def frame(self, rows: bytes, crc: int, row_count: int, *, last: bool) -> bytes:
        """One frame of rows, *row_count* of them up to its end, of checksum *crc*."""
        ...

    def end(self) -> bytes:
        """What the file ends with."""
        ...


class BackupStream:
    """The pieces of one backup of *view*, in order. The caller closes the view afterwards.

    Args of the constructor:
        bytes_per_s: of compressed rows, at most.
        sleep: of seconds.
        stopwatch_s: seconds of a fine clock.
    """

    def __init__(
        self,
        view: StateView,
        encoder: PieceEncoder,
        clock: Clock,
        bytes_per_s: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        stopwatch_s: Callable[[], float] = stopwatch_s,
    ) -> None:
        self._view = view
        self._encoder = encoder
        self._clock = clock
        self._pace = Pace(bytes_per_s)
        self._sleep = sleep
        self._stopwatch_s = stopwatch_s
        self.row_count = 0
        """Rows so far."""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The pieces. No thread works on the view any more when this ends, however it does.

        Raises:
            SealBroken, CorruptionError, StorageError: the state cannot be read.
        """
        cutter = FrameCutter(self._view.rows(), 0)
        yield self._encoder.begin()
        is_last = False
        while not is_last:
            frame = await self._in_slices(cutter.work)
            self.row_count, is_last = frame.row_count, frame.last
            piece = await self._in_slices(partial(self._sealed, frame))
            delay_ms = self._pace.delay_ms(len(piece), self._clock.monotonic_ms())
            if delay_ms:
                await self._sleep(delay_ms / 1000)
            yield piece
        yield self._encoder.end()

    def _sealed(self, frame: RowFrame) -> bytes:
        return self._encoder.frame(frame.rows, frame.crc32c, frame.row_count, last=frame.last)

    async def _in_slices(self, work: Callable[[], T | None]) -> T:
        """What *work* gives at last; asked again as long as that is None, with rests between."""
        found = None
        while found is None:
            began_s = self._stopwatch_s()
            found = await _to_its_end(work)
            rest_s = RESTS * (self._stopwatch_s() - began_s)
            if rest_s > 0:
                await self._sleep(rest_s)
        return found


async def _to_its_end(work: Callable[[], T]) -> T:
    """The result of *work*, done in a thread; a cancellation waits for it: it reads the view."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled = False
    while not thread.done():
        try:
            await asyncio.wait({thread})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        thread.exception()  # seen: nobody is left to be told
        raise asyncio.CancelledError
    return thread.result()

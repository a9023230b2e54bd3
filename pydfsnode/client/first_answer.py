"""Waits for the first packet from one replica, and from a second one when the first is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from pydfsnode.client.read_hedge import Hedging
from pydfsnode.client.replica_reading import ReplicaReading
from pydfsnode.errors import PydfsError

OnFailure = Callable[[ReplicaReading, Exception], None]
"""Hears of a replica that failed: its error is a PydfsError or a TimeoutError."""


class Answer(NamedTuple):
    """A first packet, verified, with its CRC32C, and where the rest comes from."""

    reading: ReplicaReading
    view: memoryview
    crc: int


class FirstAnswer:
    """One race for the bytes from *offset* on, of one replica or two."""

    def __init__(
        self, offset: int, end: int, on_failure: OnFailure, hedging: Hedging | None
    ) -> None:
        """Args: hedging: None: a second replica is never asked."""
        self._offset = offset
        self._end = end
        self._on_failure = on_failure
        self._hedging = hedging
        self._second: asyncio.Task[Answer | None] | None = None

    async def wait(
        self, primary: ReplicaReading, next_reading: Callable[[], ReplicaReading]
    ) -> Answer | None:
        """The first packet of *primary*, or of `next_reading()` when that answers first.

        The other is cancelled and closed. None: who was asked failed, which `on_failure` heard.
        """
        if self._hedging is None:
            return await self._ask(primary)
        timer = asyncio.get_running_loop().call_later(
            self._hedging.delay_s(self._end - self._offset), self._ask_second, primary, next_reading
        )
        answer = None
        try:
            answer = await self._ask(primary)
            if answer is None and self._second is not None:
                answer = await self._second
                if answer is not None:
                    self._hedging.counts.won += 1
            return answer
        finally:
            timer.cancel()
            if self._second is not None:
                await _drop(self._second, answer)

    def _ask_second(
        self, primary: ReplicaReading, next_reading: Callable[[], ReplicaReading]
    ) -> None:
        assert self._hedging is not None
        if not self._hedging.take():
            return
        self._second = asyncio.get_running_loop().create_task(self._ask(next_reading()))

        def end_primary(task: asyncio.Task[Answer | None]) -> None:
            if not task.cancelled() and task.exception() is None and task.result() is not None:
                primary.abandon()

        self._second.add_done_callback(end_primary)

    async def _ask(self, reading: ReplicaReading) -> Answer | None:
        length = self._end - self._offset
        try:
            view, crc = await reading.first(self._offset, self._end)
        except (PydfsError, TimeoutError) as error:
            await reading.close()
            if not reading.is_abandoned:
                self._on_failure(reading, error)
            elif self._hedging is not None:
                # It would have taken at least so long.
                reading.record.first_packet(length, reading.elapsed_ms)
                self._hedging.answered(length, reading.elapsed_ms)
            return None
        except BaseException:
            await reading.close()
            raise
        if self._hedging is not None:
            self._hedging.answered(length, reading.first_packet_ms)
        return Answer(reading, view, crc)


async def _drop(task: asyncio.Task[Answer | None], used: Answer | None) -> None:
    """End *task*, and close what it answered unless that is *used*."""
    task.cancel()
    (found,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(found, Answer) and found is not used:
        await found.reading.close()

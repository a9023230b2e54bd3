"""How long and how often something is tried again, by a clock and a chance that are given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.retry import CLIENT_TO_CHUNKSERVER, Deadline


@dataclass(frozen=True, slots=True)
class Patience:
    """Begins retries that end after `timeout_ms`, or when there were `retries_max`."""

    clock: Clock
    timeout_ms: int
    retries_max: int | None = None
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def begin(self) -> Retries:
        """From now on."""
        return Retries(self)


class Retries:
    """Of one operation."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline = Deadline.after(patience.clock, patience.timeout_ms)
        self._backoff = CLIENT_TO_CHUNKSERVER.backoff(patience.random)

    def remaining_ms(self) -> int:
        """What is left of the time, 1 at least: one attempt that is too late is made."""
        return max(1, self._deadline.remaining_ms())

    async def pause(self) -> bool:
        """Wait before the next attempt; False, at once, when there may be none."""
        retries_max = self._patience.retries_max
        if self._deadline.passed or self._backoff.attempts == retries_max:
            return False
        wait_ms = min(self._backoff.next_ms(), self._deadline.remaining_ms())
        await self._patience.sleep(wait_ms / 1000)
        return True

"""A steady tick on the loop that neither drifts nor storms after the process was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

OVERSLEPT_MS = 200


class Ticker:
    """Calls *on_tick* at origin + k * period; ticks that were missed are left out, not made up.

    After the process overslept (paused, starved) one more tick is left out: messages that came
    meanwhile must be read before a follower may conclude that its leader is silent (trap J2).
    """

    def __init__(
        self,
        period_ms: int,
        on_tick: Callable[[], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.overslept = 0
        self._period_s = period_ms / 1000
        self._on_tick = on_tick
        self._loop = loop or asyncio.get_running_loop()
        self._due_s = 0.0
        self._just_skipped = False
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; the first tick is one period from now."""
        self._due_s = self._loop.time() + self._period_s
        self._handle = self._loop.call_at(self._due_s, self._fire)

    def stop(self) -> None:
        """No tick follows; may be called twice."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        late_s = max(0.0, self._loop.time() - self._due_s)
        self._due_s += self._period_s * (1 + int(late_s / self._period_s))
        self._handle = self._loop.call_at(self._due_s, self._fire)
        if late_s * 1000 > OVERSLEPT_MS and not self._just_skipped:
            self._just_skipped = True
            self.overslept += 1
            return
        self._just_skipped = False
        self._on_tick()

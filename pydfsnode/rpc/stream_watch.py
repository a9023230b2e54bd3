"""Notices that the server at the other end of a stream has failed, and is not merely slow.

While nothing goes on, the server is asked for a sign of life at each step. Who gives none has
failed after SILENT_MS: it is stopped, or out of reach. Who gives one is slow, or its disk is, and
has failed when nothing went on for the whole limit.

What counts are steps that we lived through: who was stopped himself blames nobody for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

SILENT_MS = 2_000  # limits.py candidate
"""A server that gives no sign of life for so long, though asked for one, has failed."""
STEP_MS = 500
STEPS_MIN = 8
"""A short limit has shorter steps."""

T = TypeVar("T")


class Sign(NamedTuple):
    """Of life, of a peer."""

    heard_at: float
    """When it was heard last, by any clock that does not go back."""
    untaken_bytes: int
    """What its host has not yet taken of what it was sent: on a slow network our question waits
    behind them, and they are a sign of life while they become less."""


class Alive(Protocol):
    """A stream whose other end can be asked whether it lives."""

    def sign_of_life(self) -> Sign:
        """The last one; and ask for another."""


class StreamWatch:
    """One stream; nothing is watched while nobody waits."""

    __slots__ = ("_limit_s", "_sign", "_silent_s", "_still_s", "step_s")

    def __init__(self, limit_s: float) -> None:
        """Args: limit_s: how long it may stand still while its other end lives."""
        self._limit_s = limit_s
        self.step_s = min(STEP_MS / 1000, limit_s / STEPS_MIN)
        """Seconds between two looks."""
        self._sign: Sign | None = None
        self._still_s = self._silent_s = 0.0

    def went_on(self) -> None:
        """Begin to count anew."""
        self._sign = None
        self._still_s = self._silent_s = 0.0

    def stood_still(self, stream: Alive) -> None:
        """Nothing came of *stream* for another `step_s`.

        Raises:
            TimeoutError: its other end has failed; the message says how.
        """
        before, self._sign = self._sign, stream.sign_of_life()
        self._still_s += self.step_s
        if before is None or _lived(before, self._sign):
            self._silent_s = 0.0
        else:
            self._silent_s += self.step_s
        if self._silent_s * 1000 >= SILENT_MS:
            raise TimeoutError(f"no sign of life for {self._silent_s:.1f} s")
        if self._still_s >= self._limit_s:
            raise TimeoutError(f"no progress for {self._still_s:.1f} s")

    async def persist(
        self, attempt: Callable[[], Awaitable[T]], stream: Alive, already_s: float = 0.0
    ) -> T:
        """What *attempt* gives. It is cancelled and called again at each step, and must take
        nothing, and leave nothing behind, when it is cancelled.

        Args:
            already_s: so long it stood still before; a step is left in any case.

        Raises:
            TimeoutError: as `stood_still`.
        """
        self.went_on()
        self._still_s = min(already_s, self._limit_s - self.step_s)
        while True:
            try:
                async with asyncio.timeout(self.step_s):
                    return await attempt()
            except TimeoutError:
                self.stood_still(stream)


def _lived(before: Sign, now: Sign) -> bool:
    return now.heard_at > before.heard_at or now.untaken_bytes < before.untaken_bytes

"""Keeps calls away from a peer that failed again and again, and looks when it is back.

    closed     calls go; `FAILURES_MAX` failures in a row open it
    open       nobody asks; each time it opens again it stays open for longer, up to a second
    half open  the time is over: the next one who asks is the probe, the others wait for its outcome

A second is short on purpose: a peer that is back is used at once, and the breaker only spares
callers the wait for an answer that will not come, and the peer their storm.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from pydfsnode.runtime.clock import Clock

FAILURES_MAX = 3
OPEN_MS, OPEN_MS_MAX = 100, 1_000


class BreakerState(enum.StrEnum):
    """See the module."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Of one peer. Whoever is allowed to ask says afterwards how it went."""

    __slots__ = (
        "_clock", "_opened", "_probing", "_random", "_until_ms", "failures", "last_failure",
    )  # fmt: skip

    def __init__(self, clock: Clock, random: Callable[[], float]) -> None:
        """*random* is uniform in [0, 1)."""
        self._clock = clock
        self._random = random
        self._until_ms: int | None = None  # None: closed
        self._opened = 0
        self._probing = False
        self.failures = 0
        """In a row."""
        self.last_failure = ""
        """What the last of them was."""

    @property
    def state(self) -> BreakerState:
        """Now."""
        if self._until_ms is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.retry_in_ms() else BreakerState.HALF_OPEN

    def retry_in_ms(self) -> int:
        """Until the next probe is allowed; 0 when it is, or when the breaker is closed."""
        if self._until_ms is None:
            return 0
        return max(0, self._until_ms - self._clock.monotonic_ms())

    def allows(self) -> bool:
        """Whether the peer may be asked now; True to one probe only while it is half open."""
        if self._until_ms is None:
            return True
        if self._probing or self.retry_in_ms():
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The peer answered."""
        self._until_ms = None
        self._probing = False
        self._opened = self.failures = 0

    def failed(self, reason: str) -> None:
        """The peer could not be asked, or was silent."""
        self.last_failure = reason
        self.failures += 1
        if self._until_ms is not None and not self._probing:
            return  # was asked before it opened
        if self._probing or self.failures >= FAILURES_MAX:
            self._open()

    def given_up(self) -> None:
        """Who was allowed to ask did not: the next one may."""
        self._probing = False

    def _open(self) -> None:
        spread_ms = min(OPEN_MS_MAX, OPEN_MS << min(self._opened, 16))
        self._opened += 1
        self._probing = False
        # From the half up: peers of a node that comes back do not come all at once.
        wait_ms = spread_ms // 2 + int(self._random() * (spread_ms // 2))
        self._until_ms = self._clock.monotonic_ms() + wait_ms

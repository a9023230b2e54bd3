"""When to try again, how often, and until when: the one policy of every call between processes.

Client to master, client to chunkserver, chunkserver to master and master to master take their
numbers from the table here. Whether a call may be tried again at all is not decided here: the
error's class says it (errors.py), and for a lost answer the method's row (rpc/methods.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydfsnode.errors import DeadlineExceeded
from pydfsnode.runtime.clock import Clock

BUDGET_RATIO = 0.1
"""Retries for each call that succeeds."""
BUDGET_PER_S = 20.0
"""Retries in a second that are always there: who asks seldom may retry too."""
BUDGET_MAX = 100.0
"""Retries at once after a time without any."""


class Backoff:
    """Exponential delays with full jitter: uniform in [0, min(ceiling, base * 2**attempt)).

    Full jitter keeps many clients that failed together from coming back together.
    """

    def __init__(self, base_ms: int, ceiling_ms: int, random: Callable[[], float]) -> None:
        """*random* is uniform in [0, 1)."""
        self._base_ms = base_ms
        self._ceiling_ms = ceiling_ms
        self._random = random
        self.attempts = 0

    def next_ms(self, at_least_ms: int = 0) -> int:
        """The next delay; not shorter than *at_least_ms*, what a server asked for."""
        # Past 2**32 the ceiling has long been reached; the shift must not grow without bound.
        spread_ms = min(self._ceiling_ms, self._base_ms << min(self.attempts, 32))
        self.attempts += 1
        return at_least_ms + int(self._random() * spread_ms)

    def reset(self) -> None:
        """Begin again from the base: the last attempt succeeded."""
        self.attempts = 0


class Deadline:
    """A moment of the monotonic clock after which an operation is given up."""

    __slots__ = ("_at_ms", "_clock")

    def __init__(self, clock: Clock, at_ms: int) -> None:
        self._clock = clock
        self._at_ms = at_ms

    @classmethod
    def after(cls, clock: Clock, timeout_ms: int) -> Deadline:
        """*timeout_ms* from now."""
        return cls(clock, clock.monotonic_ms() + timeout_ms)

    def remaining_ms(self) -> int:
        """Milliseconds left, 0 when it has passed."""
        return max(0, self._at_ms - self._clock.monotonic_ms())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.remaining_ms() == 0

    def check(self, what: str) -> None:
        """Raise DeadlineExceeded, naming *what*, when it has passed."""
        if self.passed:
            raise DeadlineExceeded(f"{what} did not finish before its deadline")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How pauses between attempts grow: the spread of the first one, and the largest."""

    base_ms: int
    ceiling_ms: int

    def backoff(self, random: Callable[[], float]) -> Backoff:
        """Pauses of one operation, or of one connection that is kept."""
        return Backoff(self.base_ms, self.ceiling_ms, random)


CLIENT_TO_MASTER = RetryPolicy(20, 500)
CLIENT_TO_CHUNKSERVER = RetryPolicy(50, 2_000)
CHUNKSERVER_TO_MASTER = RetryPolicy(100, 1_000)
MASTER_TO_MASTER = RetryPolicy(50, 1_000)
SNAPSHOT_TO_MASTER = RetryPolicy(100, 5_000)


class RetryBudget:
    """A token bucket: each call that succeeds adds a part of a token, each retry takes one.

    Without it many callers, each with its own polite backoff, storm a cluster that is broken. It
    delays retries and never ends an operation: that is for its deadline to do.
    """

    __slots__ = ("_at_ms", "_clock", "_tokens")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens = BUDGET_MAX
        self._at_ms = clock.monotonic_ms()

    @property
    def is_full(self) -> bool:
        """Whether successes need not be told."""
        self._drip()
        return self._tokens >= BUDGET_MAX

    def earn(self) -> None:
        """A call succeeded."""
        self._tokens = min(BUDGET_MAX, self._tokens + BUDGET_RATIO)

    def take(self) -> bool:
        """Whether one more retry may be made now."""
        self._drip()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _drip(self) -> None:
        now_ms = self._clock.monotonic_ms()
        earned = (now_ms - self._at_ms) * BUDGET_PER_S / 1000
        self._tokens = min(BUDGET_MAX, self._tokens + earned)
        self._at_ms = now_ms

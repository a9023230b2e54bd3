"""When to try again, and until when."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.errors import DeadlineExceeded
from pydfsnode.runtime.clock import Clock


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

"""When a master knows enough replicas to order anything by itself.

After its start a master knows no replica, then those of the first servers that report: to repair
what seems to be missing would copy everything. So it gives reads and new chunks at once, and orders
neither copies nor deletions before

    almost all wanted chunks are reported, and the servers had WARM_UP_MS; or
    every live server has reported all it holds for SETTLE_MS: the rest is really gone.

It is for each master by itself, and once it is over it does not come back: a follower hears the
same reports, so that who begins to lead is past it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode.fleet.bounds import WARM_UP_MS

REPORTED_PPM = 999_000
"""Of the wanted chunks, those that must have a live replica."""
SETTLE_MS = 30_000
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class SafeModeStatus:
    """`reason`: what it waits for, "" when it is over."""

    on: bool
    reason: str
    chunks_wanted: int
    chunks_reported: int


class StartSafeMode:
    """Call `observe` about once a second.

    Args of the constructor:
        started_ms: on the monotonic clock.
    """

    def __init__(
        self, started_ms: int, warm_up_ms: int = WARM_UP_MS, settle_ms: int = SETTLE_MS
    ) -> None:
        self._warm_at_ms = started_ms + warm_up_ms
        self._settle_ms = settle_ms
        self._settled_since_ms: int | None = None
        self._is_over = False
        self._now_ms = started_ms
        self._wanted = self._reported = 0
        self._live = self._complete = 0

    @property
    def is_on(self) -> bool:
        """Whether this master must not order copies or deletions yet."""
        return not self._is_over

    def leave(self) -> None:
        """An operator knows better."""
        self._is_over = True

    def observe(self, now_ms: int, wanted: int, missing: int, live: int, complete: int) -> None:
        """What is known now.

        Args:
            wanted: chunks that the namespace wants.
            missing: of them, those without a live replica.
            live: chunkservers heard of lately.
            complete: of them, those that have told all they hold.
        """
        self._now_ms = now_ms
        self._wanted, self._reported = wanted, wanted - missing
        self._live, self._complete = live, complete
        if not live or complete < live:
            self._settled_since_ms = None
        elif self._settled_since_ms is None:
            self._settled_since_ms = now_ms
        if now_ms < self._warm_at_ms:
            return
        settled_ms = self._settled_since_ms
        is_settled = settled_ms is not None and now_ms - settled_ms >= self._settle_ms
        if self._is_reported or is_settled:
            self._is_over = True

    @property
    def _is_reported(self) -> bool:
        return self._reported * PPM >= self._wanted * REPORTED_PPM

    def status(self) -> SafeModeStatus:
        """How it stands."""
        return SafeModeStatus(
            not self._is_over, "" if self._is_over else self._reason(), self._wanted, self._reported
        )

    def _reason(self) -> str:
        reported = f"{self._reported:,} of {self._wanted:,} chunks are reported"
        if not self._is_reported:
            if self._complete < self._live:
                return f"{reported}; {self._live - self._complete} chunkservers are still reporting"
            return f"{reported}; waits for the chunkservers that hold the others"
        left_s = max(0, self._warm_at_ms - self._now_ms) / 1000
        return f"{reported}; chunkservers still get {left_s:.0f} s to report"

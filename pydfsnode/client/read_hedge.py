"""When a read asks a second replica: the first packet is later than usual, and few others are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from pydfsnode.client.replica_choice import SMALL_BYTES

QUANTILE = 0.95
DELAY_MS_MIN, DELAY_MS_MAX = 5.0, 500.0  # limits.py candidate
"""Bounds of the wait; the longer one also holds until enough reads were seen."""
WINDOW_READS = 128  # limits.py candidate
"""How many of the last reads say what is usual."""
WINDOW_READS_MIN = 16
EXTRA_SHARE = 0.05
"""Second requests in the long run, of all reads: a slow cluster is not asked for much more."""
SAVED_MAX, SAVED_AT_START = 10.0, 4.0
"""Second requests that reads without one may save up for bad moments; a new client has some, for
the segments that it reads ahead."""
_ANEW_READS = 8
"""The quantile is found anew after so many reads."""


@dataclass(slots=True)
class ReadCounts:
    """Since the client began: all reads of chunks, and what became of second requests."""

    reads: int = 0
    hedged: int = 0
    won: int = 0
    """Second requests that answered first."""
    refused: int = 0
    """Late reads that got no second request, as too many had one."""


class FirstPacketTimes:
    """How long first packets took of late."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW_READS)
        self._since = 0
        self._quantile_ms = DELAY_MS_MAX

    def add(self, took_ms: float) -> None:
        """One more."""
        self._times.append(took_ms)
        self._since += 1
        if self._since >= _ANEW_READS and len(self._times) >= WINDOW_READS_MIN:
            self._since = 0
            times = sorted(self._times)
            self._quantile_ms = times[int(QUANTILE * (len(times) - 1))]

    @property
    def delay_ms(self) -> float:
        """What 95 % did not exceed, within the bounds."""
        return min(max(self._quantile_ms, DELAY_MS_MIN), DELAY_MS_MAX)


class Hedging:
    """Of one client: decides about second requests and counts them."""

    def __init__(self, *, enabled: bool = True) -> None:
        """Args: enabled: False: no read asks a second replica; they are counted all the same."""
        self.enabled = enabled
        self.counts = ReadCounts()
        self._times = (FirstPacketTimes(), FirstPacketTimes())
        self._saved = SAVED_AT_START

    def began(self) -> None:
        """A read began, which earns a part of a second request."""
        self.counts.reads += 1
        self._saved = min(self._saved + EXTRA_SHARE, SAVED_MAX)

    def delay_s(self, length: int) -> float:
        """How long to wait for the first packet of a read of *length* bytes."""
        return self._times[length > SMALL_BYTES].delay_ms / 1000

    def answered(self, length: int, took_ms: float) -> None:
        """A first packet came after *took_ms*, or was not waited for any longer."""
        self._times[length > SMALL_BYTES].add(took_ms)

    def take(self) -> bool:
        """Whether a second request may be sent now; it is counted."""
        if self._saved < 1.0:
            self.counts.refused += 1
            return False
        self._saved -= 1.0
        self.counts.hedged += 1
        return True

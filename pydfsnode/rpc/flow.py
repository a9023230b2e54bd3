"""Credit of one stream: how much may be sent, how much was received and not yet consumed.

Each Data frame costs its payload plus FRAME_COST_BYTES, so that empty messages cannot fill memory
either. Pure accounting; who waits and who is woken is `framed_stream`'s affair.
"""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import RemoteProtocolError

FRAME_COST_BYTES = 64
"""Charged for every Data frame beside its payload: about what a queued message costs in memory."""
GRANT_FRACTION = 4
"""Credit is returned when a quarter of the window was consumed: one control frame for many."""


class SendWindow:
    """What the peer has not yet consumed of what we sent, and may not exceed."""

    __slots__ = ("available", "capacity")

    def __init__(self, capacity: int = limits.STREAM_WINDOW_BYTES) -> None:
        self.capacity = capacity
        self.available = capacity

    def try_take(self, size: int) -> bool:
        """Take the credit for a frame of *size* payload bytes if there is enough."""
        cost = size + FRAME_COST_BYTES
        if cost > self.available:
            return False
        self.available -= cost
        return True

    def grant(self, size: int) -> None:
        """Add credit that the peer returned.

        Raises:
            RemoteProtocolError: it returned more than was taken.
        """
        if size <= 0 or self.available + size > self.capacity:
            raise RemoteProtocolError(
                f"credit of {size} bytes on a window with {self.available} of {self.capacity} free"
            )
        self.available += size


class ReceiveWindow:
    """What we allow the peer to have sent beyond what our consumer has taken."""

    __slots__ = ("capacity", "owed", "queued")

    def __init__(self, capacity: int = limits.STREAM_WINDOW_BYTES) -> None:
        self.capacity = capacity
        self.queued = 0  # arrived, not consumed
        self.owed = 0  # consumed, credit not yet returned

    def arrived(self, size: int) -> int:
        """Account for a frame of *size* payload bytes; returns its cost."""
        cost = size + FRAME_COST_BYTES
        self.queued += cost
        return cost

    def consumed(self, size: int) -> int:
        """Account for the consumer taking that frame; returns its cost."""
        cost = size + FRAME_COST_BYTES
        self.queued -= cost
        self.owed += cost
        return cost

    @property
    def over(self) -> bool:
        """Whether more is queued than the window."""
        return self.queued > self.capacity

    @property
    def overrun(self) -> bool:
        """Whether the peer sent more than the credit it had."""
        return self.queued + self.owed > self.capacity

    def take_grant(self) -> int:
        """Credit to return now: 0 until enough has gathered to be worth a frame."""
        if self.owed * GRANT_FRACTION < self.capacity:
            return 0
        grant, self.owed = self.owed, 0
        return grant

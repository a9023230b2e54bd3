"""Rests of those that send more than their share: the processors have time for all others.

Without rests a flood is taken as fast as it can be worked off, in turn with everybody else. That
is fair, and yet each of the others' operations waits for processors that never idle, on every
master that it passes. A rest as long as the work before it leaves them free half of the time,
however fast they are.
"""

from __future__ import annotations

REST = 1.0
"""A rest, in terms of what the group before it took until it was applied."""
BETWEEN_GROUPS_S_MAX = 0.02
"""From one group to the next at most, also while there is always something in the log."""


class FloodRest:
    """See the module; times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._taken_s: float | None = None  # of the group that is not applied yet
        self._until_s = 0.0

    def remaining_s(self, now_s: float, in_log: int) -> float:
        """In how long the next group is due at the latest; 0 when it is.

        Args:
            in_log: how many entries, of anybody, are in the log and not applied.
        """
        if self._taken_s is not None and not in_log:
            took_s = now_s - self._taken_s
            self._until_s = min(self._until_s, now_s + took_s * REST)
            self._taken_s = None
        return max(0.0, self._until_s - now_s)

    def taken(self, now_s: float) -> None:
        """A group of a flood goes into the log."""
        self._taken_s, self._until_s = now_s, now_s + BETWEEN_GROUPS_S_MAX

"""Decides how much of the log's head may go.

Never what the state table does not hold durably, nor what a snapshot on its way will need after
it; and a tail stays for members that are only a little behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode import limits

PIN_MS_MAX = 60_000
"""A transfer that shows no progress for so long pins nothing any more."""


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """When the log's head goes: past either maximum, all but the tail."""

    log_entries_max: int = 100_000
    log_bytes_max: int = 256 * limits.MIB
    keep_entries: int = 10_000


class Compaction:
    """See the module. Pins are (stream of the transfer) -> (index of its snapshot, last sign)."""

    def __init__(self, policy: CompactionPolicy) -> None:
        self._policy = policy
        self._pins: dict[int, tuple[int, int]] = {}
        self._unwanted = 0

    def drop(self, through: int) -> None:
        """The log up to *through* holds what must go: drop that too, however short it is."""
        self._unwanted = max(self._unwanted, through)

    def pin(self, stream: int, index: int, now_ms: int) -> None:
        """A transfer of the state at *index* begins: its receiver continues from there."""
        self._pins[stream] = (index, now_ms)

    def alive(self, stream: int, now_ms: int) -> None:
        """The transfer makes progress."""
        if stream in self._pins:
            self._pins[stream] = (self._pins[stream][0], now_ms)

    def unpin(self, stream: int) -> None:
        """The transfer ended."""
        self._pins.pop(stream, None)

    def through(
        self, first_index: int, last_index: int, log_bytes: int, state_index: int, now_ms: int
    ) -> int:
        """The last index that should go now; below *first_index*: nothing should.

        Args:
            state_index: what the state table on disk holds.
        """
        policy = self._policy
        entries = last_index - first_index + 1
        through = min(self._unwanted, state_index, last_index)
        if entries > policy.log_entries_max or log_bytes > policy.log_bytes_max:
            keep = policy.keep_entries
            if entries > 0 and log_bytes > policy.log_bytes_max:
                # Large entries: the tail must not be what fills the disk.
                keep = min(keep, entries * policy.log_bytes_max // (2 * log_bytes))
            through = max(through, min(state_index, last_index - keep))
        through = max(through, first_index - 1)
        for index, seen_ms in self._pins.values():
            if now_ms - seen_ms <= PIN_MS_MAX:
                through = min(through, index)
        return through

"""Applies committed entries in order, in slices short enough that ticks and messages keep going."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pydfsnode import limits
from pydfsnode.errors import invariant
from pydfsnode.runtime.ports import StateMachine

SLICE_S = 0.002
BATCH_ENTRIES_MIN = 16


class CommittedEntries(Protocol):
    """The part of the core used here."""

    def entries(self, first: int, last: int) -> list[bytes]:
        """Encoded entries from *first* on, at least one."""
        ...

    def applied(self, index: int) -> None:
        """Note that everything up to *index* is applied."""
        ...


class Applier:
    """Applies up to `target`; `on_applied(first index, entries, outcomes)` hears of each batch."""

    def __init__(
        self,
        core: CommittedEntries,
        machine: StateMachine,
        on_applied: Callable[[int, Sequence[bytes], Sequence[object]], None],
        stopwatch_s: Callable[[], float],
    ) -> None:
        self.applied_index = self.target = machine.applied_index
        self._core = core
        self._machine = machine
        self._on_applied = on_applied
        self._time = stopwatch_s
        self._batch_entries = 64

    @property
    def behind(self) -> bool:
        """Whether committed entries wait."""
        return self.applied_index < self.target

    def restart_after(self, index: int) -> None:
        """The state machine was replaced by one that holds everything up to *index*."""
        self.applied_index = index
        self.target = max(self.target, index)

    def run_slice(self) -> None:
        """Apply for about `SLICE_S` seconds, at least one batch, or until nothing waits."""
        end_s = self._time() + SLICE_S
        while self.behind:
            started_s = self._time()
            count = self._apply_batch()
            now_s = self._time()
            self._adapt(count, now_s - started_s)
            if now_s >= end_s:
                return

    def _apply_batch(self) -> int:
        first = self.applied_index + 1
        last = min(self.target, self.applied_index + self._batch_entries)
        entries = self._core.entries(first, last)
        invariant(entries, "committed entries are missing", first_index=first)
        outcomes = self._machine.apply(first, entries)
        invariant(
            len(outcomes) == len(entries),
            "the state machine did not answer every entry",
            first_index=first,
        )
        self.applied_index += len(entries)
        self._core.applied(self.applied_index)
        self._on_applied(first, entries, outcomes)
        return len(entries)

    def _adapt(self, count: int, took_s: float) -> None:
        """Aim at batches of half a slice: large enough to be cheap, short enough to stop."""
        if took_s > SLICE_S / 2:
            fitting = int(count * SLICE_S / 2 / took_s)
            self._batch_entries = max(BATCH_ENTRIES_MIN, fitting)
        elif count == self._batch_entries:
            self._batch_entries = min(limits.APPLY_BATCH_ENTRIES_MAX, 2 * count)

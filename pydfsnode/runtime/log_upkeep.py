"""Keeps the log short: drops its head when it is long, removes what a replaced state left."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.raft.core import RaftCore
from pydfsnode.runtime.compaction import Compaction
from pydfsnode.runtime.ports import LogStorage

COMPACT_STEP_ENTRIES = 512
"""Removed in one job: an append that queues behind one waits for two milliseconds more.

4,096 took 8 ms of CPU and up to 20 ms of time, so long also for the writes behind them. A step
with each tick of 20 ms removes 25,000 entries a second, more than are written.
"""

Run = Callable[[Callable[[], object], Callable[[object], None]], None]
"""(job, then): run *job* on the storage thread and hand its result to *then* on the loop."""


class LogUpkeep:
    """Called by the driver with its ticks; one job at a time on the storage thread."""

    def __init__(self, core: RaftCore, log: LogStorage, compaction: Compaction, run: Run) -> None:
        self.compactions = 0
        self._core = core
        self._log = log
        self._compaction = compaction
        self._run = run
        self._busy = False
        self._dirty = True  # something may be left from before the start
        self._goal = 0

    def state_replaced(self) -> None:
        """The old state waits to be removed."""
        self._dirty = True

    def go_on(self, now_ms: int) -> None:
        """`step` if the head that should go has not gone yet; cheap, for every tick."""
        if self._goal >= self._core.first_index:
            self.step(now_ms)

    def step(self, now_ms: int) -> None:
        """Begin the next job, if there is one and none runs."""
        if self._busy:
            return
        core = self._core
        first = core.first_index
        if self._goal < first:
            goal = self._compaction.through(
                first, core.last_index, self._log.log_bytes, self._log.state_index, now_ms
            )
            self._goal = min(goal, core.applied_index, core.durable_index)
            self.compactions += self._goal >= first
        if self._goal >= first:
            through = min(self._goal, first + COMPACT_STEP_ENTRIES - 1)
            base = core.compact(through)  # before the disk: nobody may ask for what is gone
            self._start(lambda: self._log.compact(through, base))
        elif self._dirty:
            self._start(self._log.purge_some)

    def _start(self, job: Callable[[], object]) -> None:
        self._busy = True
        purging = job == self._log.purge_some

        def then(result: object) -> None:
            self._busy = False
            if purging:
                self._dirty = bool(result)

        self._run(job, then)

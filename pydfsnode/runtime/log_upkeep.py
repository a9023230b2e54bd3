"""Keeps the log short: drops its head when it is long, removes what a replaced state left."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.raft.core import RaftCore
from pydfsnode.runtime.compaction import Compaction
from pydfsnode.runtime.ports import LogStorage

COMPACT_STEP_ENTRIES = 4096
"""Removed in one job, so that appends never queue behind a long one."""

Run = Callable[[Callable[[], object], Callable[[object], None]], None]
"""(job, then): run *job* on the storage thread and hand its result to *then* on the loop."""


class LogUpkeep:
    """Called now and then by the driver; one job at a time on the storage thread."""

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

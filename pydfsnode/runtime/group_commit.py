"""Turns the core's groups into writes of the log: at most two under way, the next ones merge.

While one write runs and one waits for it, whatever comes is merged into one group, so that a slow
disk makes larger groups, not a longer queue. No timer: a lone group is written at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pydfsnode.raft.effects import Persist
from pydfsnode.runtime.ports import FsyncMode, LogStorage, Row, SerialExecutor
from pydfsnode.runtime.raft_metrics import RaftMetrics

IN_FLIGHT_MAX = 2


@dataclass(slots=True)
class CommitCounters:
    """Since start: groups written (a batch each) and entries in them."""

    groups_written: int = 0
    entries_written: int = 0


class GroupCommit:
    """See the module.

    Args of the constructor:
        drain_rows: what the state machine wants written, and the applied index that it brings the
            state table to; called as each group is made up.
        stopwatch_s: seconds of a fine clock.
        on_durable: called with the io id up to which all is durable (0: nothing new).
        on_failure: called once, when a write failed; nothing is written afterwards.
    """

    def __init__(
        self,
        log: LogStorage,
        executor: SerialExecutor,
        fsync: FsyncMode,
        drain_rows: Callable[[], tuple[list[Row], int]],
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        metrics: RaftMetrics,
        stopwatch_s: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._stopwatch_s = stopwatch_s
        self.counters = CommitCounters()
        self.in_flight = 0
        self._log = log
        self._executor = executor
        self._sync = fsync == "always"
        self._drain_rows = drain_rows
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._held: deque[Persist] = deque()
        self._rows_changed = False
        self._unsynced = False
        self._failed = False
        self._finished: asyncio.Future[None] | None = None

    @property
    def takes_proposals(self) -> bool:
        """Whether a group begun now is written next; otherwise proposals should gather."""
        return self.in_flight < IN_FLIGHT_MAX

    @property
    def has_rows(self) -> bool:
        """Whether rows wait for a group to ride in."""
        return self._rows_changed

    def submit(self, persist: Persist) -> None:
        """Write *persist* after all before it."""
        held = self._held
        if held and held[-1].install is None and persist.install is None:
            held[-1] = merge(held[-1], persist)
        elif held or self.in_flight >= IN_FLIGHT_MAX:
            held.append(persist)
        else:
            self._start(persist, self._sync)

    def rows_changed(self) -> None:
        """Note that the state machine has rows to write; they ride in the next group."""
        self._rows_changed = True

    def forget_rows(self) -> None:
        """The state that waiting rows are of is about to be replaced."""
        self._rows_changed = False

    def flush_rows(self) -> None:
        """Write waiting rows in a group of their own, unless one that waits will carry them.

        Synced in `always`: an unsynced batch can be lost while a synced one after it survives
        (LevelDB starts a new write-ahead file without syncing the old), and that would be a hole
        in the state.
        """
        if self._rows_changed and self.in_flight < IN_FLIGHT_MAX:
            self._start(None, self._sync)

    def sync(self) -> None:
        """Make what was written unsynced durable (fsync mode `batch`)."""
        if self._unsynced and self.in_flight < IN_FLIGHT_MAX:
            self._start(None, True)

    async def finish(self) -> None:
        """Return when nothing is under way; all is written and synced unless a write failed."""
        while self.in_flight:
            await self._wait_for_one()
        if self._rows_changed or self._unsynced:
            self._start(None, True)
        while self.in_flight:
            await self._wait_for_one()

    async def _wait_for_one(self) -> None:
        self._finished = asyncio.get_running_loop().create_future()
        await self._finished

    def _start(self, persist: Persist | None, sync: bool) -> None:
        if self._failed:
            return
        rows: list[Row] = []
        state_index: int | None = None
        if self._rows_changed:
            self._rows_changed = False
            try:
                rows, state_index = self._drain_rows()
            except Exception as error:  # noqa: BLE001 - in a callback: the driver must hear of it
                self._fail(error)
                return
        self._unsynced = not sync
        self.in_flight += 1
        io_id, count = (persist.io_id, len(persist.entries)) if persist is not None else (0, 0)
        self.counters.entries_written += count
        self.counters.groups_written += 1
        took_s = 0.0

        def work() -> None:
            nonlocal took_s
            started_s = self._stopwatch_s()
            self._log.write(persist, rows, sync, state_index)
            took_s = self._stopwatch_s() - started_s

        def done(failure: BaseException | None) -> None:
            if failure is None:
                self._metrics.group_written(count, took_s)
            self._finish(io_id, failure)

        self._executor.submit(work, done)

    def _finish(self, io_id: int, failure: BaseException | None) -> None:
        self.in_flight -= 1
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)
        if failure is not None:
            self._fail(failure)
            return
        if self._held:
            self._start(self._held.popleft(), self._sync)
        self._on_durable(io_id)

    def _fail(self, failure: BaseException) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(failure)


def merge(first: Persist, second: Persist) -> Persist:
    """One group that leaves the log as *first* and then *second* would; consumes both."""
    entries, first_index = first.entries, first.first_index
    truncate_from = first.truncate_from
    if second.truncate_from is not None:
        if truncate_from is None or second.truncate_from < truncate_from:
            truncate_from = second.truncate_from
        del entries[max(0, second.truncate_from - first_index) :]
    if not entries:
        first_index = second.first_index
    entries.extend(second.entries)
    return Persist(
        io_id=second.io_id,
        hard_state=second.hard_state or first.hard_state,
        base=second.base or first.base,
        truncate_from=truncate_from,
        first_index=first_index,
        entries=entries,
    )

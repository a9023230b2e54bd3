"""One simulated master: the real core, a disk, and what a driver does between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects, Persist
from pydfsnode.raft.messages import Promise, SnapshotHeader
from tests.support.raft.disk import Disk

if TYPE_CHECKING:
    from tests.support.raft.cluster import Cluster


@dataclass
class Write:
    """One job of the storage thread."""

    io_id: int  # 0: a compaction
    run: Callable[[], None]


@dataclass
class Installing:
    header: SnapshotHeader
    state: list[bytes]
    io_id: int


class Node:
    """Core, disk, the promises that wait for the disk, and what was applied.

    The clock runs at `clock_rate` from `clock_offset_ms`. While `paused_until_ms` lies ahead the
    process does nothing; all that came meanwhile is handled in one turn.
    """

    def __init__(self, cluster: Cluster, node_id: str, voters: tuple[str, ...]) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.disk = Disk([(0, Configuration(voters))])
        self.alive = False
        self.gone = False  # its disk was wiped: it never comes back under this id
        self.old_version = False
        self.incarnation = 0
        self.clock_offset_ms = 0
        self.clock_rate = 1.0
        self.paused_until_ms = 0
        self.busy_ms = 0
        self.last_commit = 0
        self.start()

    def clock_ms(self) -> int:
        return self.clock_offset_ms + int(self.cluster.now_ms * self.clock_rate)

    @property
    def is_paused(self) -> bool:
        return self.paused_until_ms > self.cluster.now_ms

    def start(self) -> None:
        cluster = self.cluster
        self.alive = True
        self.incarnation += 1
        self.applied: list[bytes] = list(self.disk.state)
        self.core = RaftCore(
            self.node_id, (), self.disk.start(), self.disk.hard_state, cluster.timing,
            cluster.random.random, self.clock_ms(), len(self.applied),
        )  # fmt: skip
        self.waiting: deque[tuple[int, str, Promise]] = deque()
        self.io_durable = 0
        self.apply_target = 0
        self.disk_free_ms = cluster.now_ms
        self.writes: deque[Write] = deque()
        self.reads: dict[int, int] = {}  # read id: entries committed anywhere when it began
        self.reads_done: list[tuple[int, int]] = []
        self.last_commit = self.core.commit_index
        self.last_term = self.core.term
        self.installing: Installing | None = None
        self.compacting_io = False
        self.paused_until_ms = 0
        self.backlog: list[tuple[str, object]] = []
        self.crash_after = -1

    def crash(self, written: int = 0) -> None:
        """End; of the writes under way the first *written* reached the disk."""
        while self.writes and written:
            written -= 1
            self.writes.popleft().run()
        self.writes.clear()
        self.alive = False

    @property
    def fsyncs_in_flight(self) -> int:
        return len(self.writes)

    # ---- turns

    def handle(self, kind: str, data: object) -> None:
        """One event, seen now or when the pause ends."""
        if self.is_paused:
            self.backlog.append((kind, data))
            return
        core = self.core
        core.advance(self.clock_ms())
        self._feed(kind, data)
        self.cluster.history.check(self)
        self.run()
        if self.busy_ms:
            self.pause(self.cluster.random.randint(0, self.busy_ms))

    def wake(self) -> None:
        """A turn after a pause, in the driver's order: what is durable, messages, the clock."""
        backlog, self.backlog = self.backlog, []
        if not backlog:
            return
        self.core.advance(self.clock_ms())
        order = {"durable": 0, "message": 1, "tick": 2}
        backlog.sort(key=lambda event: order[event[0]])
        for position, (kind, data) in enumerate(backlog):
            if kind != "tick" or position == len(backlog) - 1:
                self._feed(kind, data)
                self.cluster.history.check(self)
        self.run()

    def pause(self, duration_ms: int) -> None:
        if duration_ms:
            self.paused_until_ms = max(self.paused_until_ms, self.cluster.now_ms + duration_ms)
            self.cluster.at(duration_ms, ("wake", self.node_id, self.incarnation, None))

    def _feed(self, kind: str, data: object) -> None:
        if kind == "message":
            self.core.step(data)  # type: ignore[arg-type]
        elif kind == "tick":
            self.core.tick(self.clock_ms())
        else:
            assert isinstance(data, int)
            if data:
                self.io_durable = max(self.io_durable, data)
                self.core.persisted(data)
                assert self.core.durable_index <= self.disk.last_index, "not durable at all"
                self._release()
            installing = self.installing
            if installing is not None and installing.io_id <= self.io_durable:
                self._installed(installing)

    def run(self) -> None:
        """Take and execute effects."""
        if self.alive:
            self.execute(self.core.take_effects())

    def execute(self, effects: Effects, staged: list[bytes] | None = None) -> None:
        cluster = self.cluster
        for to, message in effects.send_now:
            cluster.send(self, to, message)
        if self._crashes_here():
            return
        if effects.persist is not None:
            self._submit(effects.persist, staged)
        if self._crashes_here():
            return
        if effects.send_after:
            self.waiting.extend(effects.send_after)
            self._release()
        if self._crashes_here():
            return
        if effects.apply_to:
            self.apply_target = max(self.apply_target, effects.apply_to)
        self._apply()
        for ready in effects.reads_ready:
            seen = self.reads.pop(ready.read_id)
            assert ready.index >= seen, "a read misses what was committed before it (INV-LIN)"
            self.reads_done.append((ready.read_id, ready.index))
        for read_id in effects.reads_failed:
            del self.reads[read_id]
        for wanted in effects.snapshot_to:
            cluster.start_snapshot(self, wanted)

    def _crashes_here(self) -> bool:
        """A crash at a boundary between two effects."""
        if self.crash_after < 0:
            return False
        self.crash_after -= 1
        if self.crash_after < 0:
            self.crash()
        return not self.alive

    def _release(self) -> None:
        waiting = self.waiting
        while waiting and waiting[0][0] <= self.io_durable:
            _, to, message = waiting.popleft()
            self.cluster.history.check_promise(self, to, message)
            self.cluster.send(self, to, message)

    def _apply(self) -> None:
        if self.installing is not None:
            return
        target = self.apply_target
        while len(self.applied) < target:
            first = len(self.applied) + 1
            entries = self.core.entries(first, target)
            assert entries, "committed entries are missing"
            self.cluster.history.check_applied(first, entries)
            self.applied.extend(entries)
            self.core.applied(len(self.applied))

    # ---- the disk

    def _submit(self, persist: Persist, staged: list[bytes] | None) -> None:
        def run() -> None:
            self.disk.write(persist, staged)
            self.cluster.history.check_group(self, persist)

        self.writes.append(Write(persist.io_id, run))
        self.cluster.fsync(self)

    def written(self) -> None:
        """The oldest write is on the disk; the process hears of it when it runs."""
        write = self.writes.popleft()
        write.run()
        if not write.io_id:
            self.compacting_io = False
        if not self.writes and not self.backlog:
            self.cluster.history.check_settled(self)
        self.handle("durable", write.io_id)

    def compact(self, tail: int) -> None:
        """Forget all but the last *tail* entries that are applied and durable, as upkeep does."""
        core = self.core
        if self.installing is not None or self.compacting_io or self.is_paused:
            return
        through = min(len(self.applied), core.durable_index) - tail
        if through < core.first_index:
            return
        base = Configuration.decode(core.compact(through))
        state = list(self.applied)
        self.compacting_io = True
        self.writes.append(Write(0, lambda: self.disk.compact(through, base, state)))
        self.cluster.fsync(self)

    # ---- a snapshot in the place of log and state

    def install(self, header: SnapshotHeader, state: list[bytes]) -> bool:
        """All of it is staged: give it to the core, as the driver does between two turns."""
        self.run()
        self.core.advance(self.clock_ms())
        if not self.alive or self.installing is not None or not self.core.install(header):
            self.run()
            return False
        self.cluster.history.check(self)
        effects = self.core.take_effects()
        assert effects.persist is not None
        self.installing = Installing(header, state, effects.persist.io_id)
        self.execute(effects, state)
        return True

    def _installed(self, installing: Installing) -> None:
        self.installing = None
        self.cluster.counts["install"] += 1
        assert len(self.applied) <= installing.header.index, "an installation took entries back"
        self.cluster.history.check_applied(1, installing.state)
        self.applied = list(installing.state)
        self.core.applied(len(self.applied))
        self._apply()

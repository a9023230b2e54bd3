"""A constant load of namespace writes from this process, with a record of every one of them.

Each write names something that no other write names, and would fail if it were applied twice:
a file is created that must not exist, a file is renamed that must exist. Directories are made too.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.sync import FileSystem
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import PydfsError
from tests.support.background_load import BackgroundLoad
from tests.support.cluster import wait_until

DIRECTORIES = 16
"""The names are spread over so many."""
CREATE, MKDIRS, RENAME = "create", "mkdirs", "rename"
KINDS = (CREATE, MKDIRS, CREATE, RENAME)
"""What write number n does: KINDS[n % 4]; a rename is of the file that write n - 1 made."""
MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Write:
    """One write that was acknowledged; times are of `time.perf_counter_ns`."""

    number: int
    began_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One write that the client gave up: whether it happened is not known."""

    number: int
    at_ns: int
    error: str


class NamespaceLoad(BackgroundLoad):
    """See the module and `BackgroundLoad`.

    Further args:
        workers: writes in flight at most.
        per_s: writes begun in a second, if the cluster keeps up; None: as many as it takes.
    """

    def __init__(
        self,
        config: Path,
        root: str,
        *,
        workers: int = 8,
        per_s: float | None = 300.0,
        timeout_ms: int = 30_000,
    ) -> None:
        super().__init__(config, root, timeout_ms)
        self.writes: list[Write] = []
        self.failures: list[Failure] = []
        self._workers = workers
        self._per_s = per_s
        self._next = 0

    def wait_for(self, count: int) -> None:
        """Return when *count* more writes were acknowledged."""
        wanted = len(self.writes) + count
        wait_until(
            f"{count} more writes below {self.root} are acknowledged",
            lambda: len(self.writes) >= wanted or bool(self._crash),
        )
        self._raise_crash()

    # ---- what must be there

    def expected(self) -> set[str]:
        """All paths below the directories of `root`, after the load was stopped."""
        made = {self._path(write.number) for write in self.writes}
        return made - {self._path(w.number - 1) for w in self.writes if _is_rename(w.number)}

    def lost(self, writes: list[Write], found: set[str]) -> list[Write]:
        """Those of *writes* that are not in *found*; the load may go on meanwhile."""
        return [write for write in writes if not self._is_in(write.number, found)]

    def _is_in(self, number: int, found: set[str]) -> bool:
        renamed = _is_rename(number + 1) and self._path(number + 1) in found
        return renamed or self._path(number) in found

    def _path(self, number: int) -> str:
        return f"{self.root}/{number // len(KINDS) % DIRECTORIES}/{number}"

    # ---- figures

    def longest_gap_ms(self, from_ns: int = 0, until_ns: int | None = None) -> float:
        """The longest time without an acknowledgement that touches the given one."""
        ends = sorted(write.ended_ns for write in self.writes)
        gaps = (
            after - before
            for before, after in itertools.pairwise(ends)
            if after >= from_ns and (until_ns is None or before <= until_ns)
        )
        return max(gaps, default=0) / MS_NS

    def next_after_ms(self, from_ns: int) -> float:
        """How long after *from_ns* a write was acknowledged that began after it."""
        ends = (write.ended_ns for write in self.writes if write.began_ns >= from_ns)
        return (min(ends) - from_ns) / MS_NS

    def quantile_ms(self, share: float, from_ns: int = 0, until_ns: int | None = None) -> float:
        """The latency that *share* of the writes that ended in the given time did not exceed."""
        took = sorted(
            write.ended_ns - write.began_ns
            for write in self.writes
            if write.ended_ns >= from_ns and (until_ns is None or write.ended_ns <= until_ns)
        )
        return took[max(1, math.ceil(share * len(took))) - 1] / MS_NS if took else 0.0

    # ---- the thread

    def _wait_for_first(self) -> None:
        self.wait_for(1)

    async def _load(self, fs: AsyncFileSystem) -> None:
        calls = fs._calls  # one RPC for each write: `mkdir` and the like look first
        for number in range(DIRECTORIES):
            await calls.mkdirs(f"{self.root}/{number}")
        async with asyncio.TaskGroup() as group:
            for worker in range(self._workers):
                group.create_task(self._work(calls, worker))

    async def _work(self, calls: MasterCalls, worker: int) -> None:
        slots = self._slots(worker)
        while not self._stop.is_set():
            wait_s = next(slots) - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            # Four at a time, one after the other: the rename is of what was made just before.
            first, self._next = self._next, self._next + len(KINDS)
            for number in range(first, first + len(KINDS)):
                if not await self._write(calls, number):
                    break

    def _slots(self, worker: int) -> Iterator[float]:
        """When this worker begins its next four; what could not begin in time is left out.

        Workers keep their distance: once in step they would leave pauses that look like gaps.
        """
        if self._per_s is None:
            while True:
                yield 0.0
        every_s = self._workers * len(KINDS) / self._per_s
        due = time.perf_counter() + every_s * worker / self._workers
        while True:
            yield due
            due += every_s * max(1, math.ceil((time.perf_counter() - due) / every_s))

    async def _write(self, calls: MasterCalls, number: int) -> bool:
        kind, path = KINDS[number % len(KINDS)], self._path(number)
        began_ns = time.perf_counter_ns()
        try:
            if kind == CREATE:
                await calls.create(path, create_parents=False)
            elif kind == MKDIRS:
                await calls.mkdirs(path)
            else:
                await calls.rename(self._path(number - 1), path)
        except PydfsError as error:
            text = f"{kind} {path}: {type(error).__name__}: {error.message}"
            self.failures.append(Failure(number, time.perf_counter_ns(), text))
            return False
        self.writes.append(Write(number, began_ns, time.perf_counter_ns()))
        return True


def _is_rename(number: int) -> bool:
    return KINDS[number % len(KINDS)] == RENAME


def paths_below(config: Path, root: str) -> list[str]:
    """All paths two levels below *root*, as a fresh client reads them linearizably."""
    found: list[str] = []
    with FileSystem.connect(config) as fs:
        for directory in fs.ls(root):
            found += [entry.path for entry in fs.ls(directory.path)]
    return found


def check_exactly_once(load: NamespaceLoad, config: Path) -> None:
    """All that was acknowledged is there, once, and nothing that was not asked for.

    After a load that was stopped and had no failed call.
    """
    assert load.failures == []
    found = paths_below(config, load.root)
    expected = load.expected()
    assert len(found) == len(set(found)), "a name is listed twice"
    assert expected - set(found) == set(), "acknowledged and lost"
    assert set(found) - expected == set(), "there, though not acknowledged or renamed since"

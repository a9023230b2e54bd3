"""When the log's head goes, and how much of it (traps F5, C6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pydfsnode.runtime.compaction import PIN_MS_MAX, Compaction, CompactionPolicy
from pydfsnode.runtime.log_upkeep import COMPACT_STEP_ENTRIES, LogUpkeep

POLICY = CompactionPolicy(log_entries_max=1000, log_bytes_max=1_000_000, keep_entries=100)


def through(compaction: Compaction, last: int, state: int, size: int = 0, now_ms: int = 0) -> int:
    return compaction.through(1, last, size, state, now_ms)


def test_a_short_log_is_left_alone() -> None:
    assert through(Compaction(POLICY), last=1000, state=1000) == 0


def test_a_long_one_keeps_a_tail_and_what_the_state_lacks() -> None:
    assert through(Compaction(POLICY), last=1001, state=1001) == 901
    assert through(Compaction(POLICY), last=1001, state=300) == 300


def test_a_heavy_one_goes_too_and_its_tail_does_not_keep_it_heavy() -> None:
    assert through(Compaction(POLICY), last=120, state=120, size=10_000_000) == 114


def test_a_transfer_on_its_way_keeps_what_comes_after_it() -> None:
    compaction = Compaction(POLICY)
    compaction.pin(7, 400, now_ms=0)
    assert through(compaction, last=2000, state=2000, now_ms=10) == 400
    compaction.alive(7, now_ms=PIN_MS_MAX)
    assert through(compaction, last=2000, state=2000, now_ms=PIN_MS_MAX + 10) == 400
    assert through(compaction, last=2000, state=2000, now_ms=3 * PIN_MS_MAX) == 1900
    compaction.alive(7, now_ms=3 * PIN_MS_MAX)
    compaction.unpin(7)
    assert through(compaction, last=2000, state=2000, now_ms=3 * PIN_MS_MAX) == 1900


def test_what_must_go_goes_from_a_short_log_too_as_far_as_the_state_is_written() -> None:
    compaction = Compaction(POLICY)
    compaction.drop(300)
    compaction.drop(200)
    assert through(compaction, last=500, state=250) == 250
    assert through(compaction, last=500, state=400) == 300
    assert compaction.through(301, 500, 0, 400, 0) == 300  # nothing more
    assert through(compaction, last=2000, state=2000) == 1900
    compaction.pin(7, 100, now_ms=0)
    assert through(compaction, last=500, state=400) == 100


class Core:
    first_index = 1
    last_index = applied_index = durable_index = 20_000

    def compact(self, through: int) -> bytes:
        self.first_index = through + 1
        return b"base at %d" % through


class Log:
    log_bytes = 0
    state_index = 20_000

    def __init__(self) -> None:
        self.compacted: list[tuple[int, bytes]] = []
        self.left = 2

    def compact(self, through: int, base: bytes) -> None:
        self.compacted.append((through, base))

    def purge_some(self) -> bool:
        self.left -= 1
        return self.left > 0


class Jobs:
    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], object], Callable[[object], None]]] = []

    def run(self, job: Callable[[], object], then: Callable[[object], None]) -> None:
        self.waiting.append((job, then))

    def finish(self) -> None:
        job, then = self.waiting.pop()
        then(job())


@pytest.fixture
def parts() -> tuple[LogUpkeep, Core, Log, Jobs]:
    core, log, jobs = Core(), Log(), Jobs()
    upkeep = LogUpkeep(core, log, Compaction(POLICY), jobs.run)  # type: ignore[arg-type]
    return upkeep, core, log, jobs


def test_the_head_goes_in_steps_one_job_at_a_time(
    parts: tuple[LogUpkeep, Core, Log, Jobs],
) -> None:
    upkeep, core, log, jobs = parts
    upkeep.step(0)
    upkeep.step(0)
    assert len(jobs.waiting) == 1
    assert core.first_index == COMPACT_STEP_ENTRIES + 1  # the core knows before the disk does
    while jobs.waiting:
        jobs.finish()
        upkeep.go_on(0)
    steps = [t for t, _ in log.compacted]
    assert steps[-1] == 19_900
    assert all(b - a <= COMPACT_STEP_ENTRIES for a, b in zip([0, *steps], steps, strict=False))
    assert log.compacted[0] == (COMPACT_STEP_ENTRIES, b"base at %d" % COMPACT_STEP_ENTRIES)
    assert upkeep.compactions == 1


def test_going_on_begins_nothing_by_itself(parts: tuple[LogUpkeep, Core, Log, Jobs]) -> None:
    upkeep, _, log, jobs = parts
    upkeep.go_on(0)
    assert (jobs.waiting, log.compacted) == ([], [])


def test_what_a_replaced_state_left_is_removed_until_nothing_is(
    parts: tuple[LogUpkeep, Core, Log, Jobs],
) -> None:
    upkeep, core, log, jobs = parts
    core.last_index = 10
    for _ in range(2):
        upkeep.step(0)
        jobs.finish()
    upkeep.step(0)
    assert (log.left, jobs.waiting) == (0, [])
    upkeep.state_replaced()
    upkeep.step(0)
    assert len(jobs.waiting) == 1


def test_nothing_goes_that_is_not_applied_and_durable_here(
    parts: tuple[LogUpkeep, Core, Log, Jobs],
) -> None:
    upkeep, core, _, jobs = parts
    core.applied_index = 50
    upkeep.step(0)
    jobs.finish()
    assert core.first_index == 51

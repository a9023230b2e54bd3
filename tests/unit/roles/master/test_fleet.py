"""The fleet of a master: who is live, who is ordered what, by virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode.fleet import sweep
from pydfsnode.fleet.bounds import WARM_UP_MS
from pydfsnode.fleet.repair import Copy
from pydfsnode.meta import ops
from pydfsnode.meta.administration import DECOMMISSIONED, DECOMMISSIONING
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.fleet import (
    PLAN_INTERVAL_MS,
    SWEEP_INTERVAL_MS,
    Fleet,
    Heartbeat,
)
from pydfsnode.roles.master.known_chunkservers import FILE_NAME, KnownChunkservers

LENGTH = 5


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms


class Driver:
    """A leader that has just committed in its term."""

    term = 1
    is_leader = True

    async def read_barrier(self) -> None:
        return None


def namespace_with_a_file(replication: int) -> tuple[Namespace, int]:
    namespace = Namespace()
    head = iter((9, seq, seq, 1, "alice:supergroup") for seq in range(1, 10))
    create = namespace.apply(ops.Create(*next(head), "/f", replication, 1 << 20), 1)
    inode_id = create.result.inode_id  # type: ignore[union-attr]
    targets = ("c1", "c2")
    chunk = namespace.apply(ops.AllocateChunk(*next(head), inode_id, None, 0, targets), 2)
    chunk_id = chunk.result.chunk_id  # type: ignore[union-attr]
    done = ops.ChunkDone(chunk_id, 1, LENGTH, 7)
    namespace.apply(ops.Complete(*next(head), inode_id, done), 3)
    return namespace, chunk_id


def beat(node_id: str, *replicas: tuple[int, int, int], seq: int = 0, epoch: int = 1) -> Heartbeat:
    return Heartbeat(
        node_id, f"{node_id}:1", "r", 0, 1 << 40, 0, 0, 1, seq, epoch, list(replicas), [], [], []
    )


async def test_a_dead_servers_chunk_is_ordered_copied_to_one_that_lacks_it() -> None:
    namespace, chunk_id = namespace_with_a_file(replication=2)
    clock, driver = Clock(), Driver()
    fleet = Fleet(namespace, clock, 1000, lambda: 0.5)
    fleet.namespace_changed()
    for name in ("c1", "c2", "c3"):
        held = [(chunk_id, 1, LENGTH)] if name != "c3" else []
        fleet.heartbeat(beat(name), led_term=1)
        fleet.full_report(name, 1, 0, held, first=True, last=True)
    assert fleet.under_replicated == 0
    clock.now_ms = WARM_UP_MS
    for name in ("c1", "c3"):
        fleet.heartbeat(beat(name), led_term=1)
    await fleet.step(driver)  # type: ignore[arg-type]
    assert (fleet.live_count, fleet.dead_count, fleet.under_replicated) == (2, 1, 1)
    assert fleet.readable(chunk_id) == ["c1"]
    assert fleet.heartbeat(beat("c1"), led_term=1)[1] == []
    (order,) = fleet.heartbeat(beat("c3"), led_term=1)[1]
    assert order == Copy("c3", chunk_id, 1, LENGTH, ("c1",))
    fleet.heartbeat(beat("c3", (chunk_id, 1, LENGTH), seq=1), led_term=1)
    assert fleet.under_replicated == 0
    assert sorted(fleet.readable(chunk_id)) == ["c1", "c3"]


async def test_only_a_leader_orders_and_a_new_term_voids_old_orders() -> None:
    namespace, chunk_id = namespace_with_a_file(replication=3)
    clock, driver = Clock(), Driver()
    fleet = Fleet(namespace, clock, 1000, lambda: 0.5)
    fleet.namespace_changed()
    clock.now_ms = WARM_UP_MS
    for name in ("c1", "c2", "c3"):
        held = [(chunk_id, 1, LENGTH)] if name != "c3" else []
        fleet.heartbeat(beat(name), led_term=1)
        fleet.full_report(name, 1, 0, held, first=True, last=True)
    await fleet.step(driver)  # type: ignore[arg-type]
    assert fleet.heartbeat(beat("c3"), led_term=None)[1] == []
    driver.term = 2
    assert fleet.heartbeat(beat("c3"), led_term=2)[1] == []  # planned in term 1: never stamped 2
    await fleet.step(driver)  # type: ignore[arg-type]
    assert len(fleet.heartbeat(beat("c3"), led_term=2)[1]) == 1  # one order, not one a term


def test_a_deleted_files_chunk_has_no_location() -> None:
    namespace, chunk_id = namespace_with_a_file(replication=2)
    fleet = Fleet(namespace, Clock(), 1000, lambda: 0.5)
    fleet.namespace_changed()
    fleet.heartbeat(beat("c1", (chunk_id, 1, LENGTH), seq=1), led_term=1)
    assert fleet.readable(chunk_id)
    namespace.apply(ops.Delete(9, 4, 4, 1, "alice:supergroup", "/f"), 4)
    fleet.namespace_changed()
    assert fleet.readable(chunk_id) == []


class Pauses:
    """Sleeps in no time: the clock is moved on, and each length noted, up to *count* of them."""

    class Enough(Exception):
        """Ends the loop that would run for ever."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.lengths_s: list[float] = []
        self._clock = clock
        self._count = count

    async def __call__(self, seconds: float) -> None:
        if len(self.lengths_s) == self._count:
            raise self.Enough
        self.lengths_s.append(seconds)
        self._clock.now_ms += round(seconds * 1000)


async def test_returns_and_deaths_reach_the_queues_long_before_the_next_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "CHUNKS_PER_STEP", 100)
    clock = Clock()
    pauses = Pauses(clock, count=40)
    fleet = Fleet(Namespace(), clock, 10_000, lambda: 0.5, pauses)
    fleet.heartbeat(beat("c1"), led_term=None)
    held = [(chunk_id, 1, LENGTH) for chunk_id in range(1, 1001)]
    fleet.full_report("c1", 1, 0, held, first=True, last=True)
    clock.now_ms = 20_000
    await fleet.step(Driver())  # type: ignore[arg-type]
    fleet.heartbeat(beat("c1"), led_term=None)
    with pytest.raises(Pauses.Enough):
        await fleet.run(Driver())  # type: ignore[arg-type]
    short_pauses = pauses.lengths_s.count(SWEEP_INTERVAL_MS / 1000)
    assert 15 <= short_pauses <= 20, "a thousand chunks, a hundred a step, for a return and a death"
    assert pauses.lengths_s[-1] == PLAN_INTERVAL_MS / 1000


def kept(directory: Path) -> list[str]:
    return [server.node_id for server in KnownChunkservers(directory).all()]


async def test_a_chunkserver_that_is_down_over_a_restart_is_missed(tmp_path: Path) -> None:
    namespace, clock = Namespace(), Clock()
    before = Fleet(namespace, clock, 1000, lambda: 0.0, known=KnownChunkservers(tmp_path))
    for node_id in ("c1", "c2"):
        before.heartbeat(beat(node_id), led_term=None)
    await before.step(Driver())  # type: ignore[arg-type]
    assert kept(tmp_path) == ["c1", "c2"]

    after = Fleet(namespace, clock, 1000, lambda: 0.0, known=KnownChunkservers(tmp_path))
    after.heartbeat(beat("c2"), led_term=None)
    clock.now_ms = 999
    await after.step(Driver())  # type: ignore[arg-type]
    assert [s.node_id for s in after.chunkservers()] == ["c2"], "it still has time"
    assert kept(tmp_path) == ["c1", "c2"]
    after.heartbeat(beat("c2"), led_term=None)
    clock.now_ms = 1000
    await after.step(Driver())  # type: ignore[arg-type]
    found = {s.node_id: (s.state, s.listen, s.rack, s.silent_ms) for s in after.chunkservers()}
    assert found["c1"] == ("dead", "c1:1", "/r", 1000)
    assert (found["c2"][0], after.dead_count, after.live_count) == ("live", 1, 1)
    assert kept(tmp_path) == ["c1", "c2"]


async def test_who_left_for_good_is_not_missed_after_a_restart(tmp_path: Path) -> None:
    namespace, clock = Namespace(), Clock()
    fleet = Fleet(namespace, clock, 1000, lambda: 0.0, known=KnownChunkservers(tmp_path))
    for node_id in ("c1", "c2"):
        fleet.heartbeat(beat(node_id), led_term=None)
    for seq, state in ((1, DECOMMISSIONING), (2, DECOMMISSIONED)):
        namespace.apply(ops.SetDuty(9, seq, seq, 1, "root:supergroup", ("c1",), state), seq)
    fleet.orders_changed()
    await fleet.step(Driver())  # type: ignore[arg-type]
    assert kept(tmp_path) == ["c1", "c2"], "it still runs"
    clock.now_ms = 1000
    fleet.heartbeat(beat("c2"), led_term=None)
    await fleet.step(Driver())  # type: ignore[arg-type]
    assert kept(tmp_path) == ["c2"]


async def test_a_list_of_chunkservers_that_cannot_be_read_costs_only_a_warning(
    tmp_path: Path,
) -> None:
    for content in ("{", '{"chunkservers": [{"node_id": "c1"}]}', '{"chunkservers": [3]}'):
        (tmp_path / FILE_NAME).write_text(content)
        assert kept(tmp_path) == []
    (tmp_path / FILE_NAME).write_text(
        '{"chunkservers": [{"node_id": "../c1", "listen": "h:1", "rack": ""}]}'
    )
    assert kept(tmp_path) == [], "no such name can be"

"""Answers of the leader that do not arrive: their orders are decided on again at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pydfsnode.fleet.bounds import EXPECT_MS, WARM_UP_MS
from pydfsnode.fleet.repair import Copy, Delete
from pydfsnode.meta import ops
from pydfsnode.roles.master.fleet import Answer, Fleet
from pydfsnode.roles.master.service.fleet import ORDERS_SEQ_MAX
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock
from tests.support.masters import Master

from .test_fleet import LENGTH, Driver, beat, namespace_with_a_file
from .test_fleet_orders import file_of, hold, warm, with_servers
from .test_master import master

__all__ = ["master"]

DEAD_AFTER_MS = 10_000
SERVERS = ("c1", "c2", "c3")


class Leader:
    """A master that leads; one chunk on c1, c2 and, if asked, on c3."""

    def __init__(self, replication: int, on_c3: bool = False) -> None:
        self.namespace, self.chunk_id = namespace_with_a_file(replication)
        self.clock = ManualClock()
        self.fleet = Fleet(self.namespace, self.clock, DEAD_AFTER_MS, lambda: 0.5)
        self.fleet.namespace_changed()
        held = [(self.chunk_id, 1, LENGTH)]
        for name in SERVERS:
            self.beat(name)
            self.fleet.full_report(
                name, 1, 0, held if name != "c3" or on_c3 else [], first=True, last=True
            )
        self.clock.advance(WARM_UP_MS)

    def beat(self, name: str, taken: int | None = 0) -> Answer:
        return self.fleet.heartbeat(replace(beat(name), orders_seq=taken), led_term=1)

    async def plan(self) -> None:
        await self.fleet.step(Driver())  # type: ignore[arg-type]

    async def begin(self) -> None:
        """Everybody is heard, and the first orders wait."""
        for name in SERVERS:
            self.beat(name)
        await self.plan()


async def test_a_copy_that_was_not_told_is_ordered_by_the_next_plan() -> None:
    leader = Leader(replication=3)
    await leader.begin()
    _, (order,), number = leader.beat("c3")
    assert isinstance(order, Copy)
    await leader.plan()
    assert leader.beat("c1").orders == []
    assert leader.beat("c3") == (False, [], 0), "nothing is sent again as it was"
    assert leader.fleet.repairs_running == 0
    await leader.plan()
    assert leader.beat("c3") == (False, [order], number + 1)


async def test_a_copy_that_was_taken_is_awaited() -> None:
    leader = Leader(replication=3)
    await leader.begin()
    number = leader.beat("c3").orders_seq
    for _ in range(3):
        assert leader.beat("c3", number) == (False, [], 0)
        await leader.plan()
    assert leader.fleet.repairs_running == 1


async def test_an_old_chunkserver_is_believed_to_take_them() -> None:
    leader = Leader(replication=3)
    await leader.begin()
    assert len(leader.beat("c3", None).orders) == 1
    assert leader.beat("c3", None).orders == []
    assert leader.fleet.repairs_running == 1


async def test_a_deletion_that_was_not_told_is_decided_on_again() -> None:
    leader = Leader(replication=2, on_c3=True)
    await leader.begin()
    (name,) = [name for name in SERVERS if leader.beat(name).orders]
    assert leader.fleet.deletions_running == 1
    leader.fleet.suspect(leader.chunk_id, "c2" if name != "c2" else "c1", "a reader")
    assert leader.beat(name).orders == []
    assert leader.fleet.deletions_running == 0
    await leader.plan()
    assert leader.beat(name).orders == [], "two good ones are not left beside it any more"


async def test_who_was_silent_gets_no_deletion_of_before() -> None:
    """It may be the only one left that holds the chunk."""
    leader = Leader(replication=2, on_c3=True)
    await leader.begin()
    assert leader.fleet.deletions_running == 1
    leader.clock.advance(DEAD_AFTER_MS)
    await leader.plan()
    assert leader.fleet.live_count == leader.fleet.deletions_running == 0
    assert [leader.beat(name).orders for name in SERVERS] == [[], [], []]
    await leader.plan()
    assert [type(order) for name in SERVERS for order in leader.beat(name).orders] == [Delete]


async def test_what_safe_mode_withdrew_is_ordered_when_it_ends() -> None:
    leader = Leader(replication=3)
    await leader.begin()
    leader.namespace.apply(ops.SetSafeMode(9, 4, 4, 1, "root:supergroup", True), 4)
    await leader.plan()
    assert leader.fleet.repairs_running == 0
    assert leader.beat("c3").orders == []
    leader.namespace.apply(ops.SetSafeMode(9, 5, 5, 1, "root:supergroup", False), 5)
    await leader.plan()
    assert len(leader.beat("c3").orders) == 1


@pytest.mark.parametrize("taken", [0, 2**64 - 1])
async def test_answers_are_numbered_whatever_a_server_says(master: Master, taken: int) -> None:
    await with_servers(master, *SERVERS)
    (chunk,) = await file_of(master, "/f", 1)
    await warm(master)
    for name in ("c1", "c2"):
        await hold(master, name, chunk)
    fleet, driver = master.role._fleet, master.role._driver
    master.clock.ahead_ms += EXPECT_MS  # nobody waits any more for what c3 may have written
    for name in SERVERS:
        await master.heartbeat(name, rack=f"/{name}", orders_seq=taken)
    numbers = []
    for _ in range(3):
        await fleet.step(driver)
        answer = await master.heartbeat("c3", rack="/c3", orders_seq=taken)
        assert [each.chunk_id for each in answer.commands] == [chunk]
        numbers.append(answer.orders_seq)
        assert await master.heartbeat("c3", rack="/c3", orders_seq=taken) == pb.HeartbeatResponse(
            epoch=answer.epoch, is_leader=True, masters=answer.masters,
            chunk_key_epoch=answer.chunk_key_epoch, seal_chunks=answer.seal_chunks,
            oldest_chunk_key_epoch=answer.oldest_chunk_key_epoch,
        )  # fmt: skip
    first = min(taken, ORDERS_SEQ_MAX) + 1
    assert numbers == [first, first + 1, first + 2]

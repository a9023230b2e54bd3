"""Copies and deletions: how many, where, and above all when not."""

from __future__ import annotations

import random

import pytest

from pydfsnode import limits
from pydfsnode.fleet.bounds import (
    COPY_ORDER_BYTES_MAX,
    COPY_ORDERS_MAX,
    COPY_TIMEOUT_MS,
    DELETE_TIMEOUT_MS,
    DELETES_PER_CHUNKSERVER_MAX,
    FAILED_COPY_MS,
    ORPHAN_MS,
)
from pydfsnode.fleet.repair import Copy, Delete, RepairPlanner, RepairRates
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.fleet.servers import ServerTable

GIB = 1 << 30
DEAD_AFTER_MS = 10_000


class Leader:
    """A leader's tables; its servers say what they hold in heartbeats of their own."""

    def __init__(
        self, count: int, warm_up_ms: int = 0, racks: int = 0, rates: RepairRates | None = None
    ) -> None:
        """*racks*: c1, c2, … stand in r1, r2, … and again from r1; 0: all in one."""
        self.now_ms = 0
        self.servers = ServerTable(DEAD_AFTER_MS)
        self.replicas = ReplicaMap()
        self.reports = ReplicaReports(self.replicas)
        self.planner = RepairPlanner(
            self.servers, self.replicas, self.reports, 0, warm_up_ms=warm_up_ms, rates=rates
        )
        self.rng = random.Random(1)
        self.garbage_below = 10**9
        self.free: dict[str, int] = {}
        self.names = [f"c{n}" for n in range(1, count + 1)]
        self.racks = {f"c{n + 1}": f"/r{n % racks + 1}" for n in range(count)} if racks else {}
        for name in self.names:
            self.beat(name)
            self.reports.full_report_page(name, 1, 0, [], first=True, last=True)
            self.beat(name)

    def beat(
        self,
        name: str,
        *,
        added: tuple[int, ...] = (),
        removed: tuple[int, ...] = (),
        length: int = 10,
    ) -> None:
        if self.servers.heartbeat(
            name,
            self.now_ms,
            f"{name}:1",
            self.racks.get(name, "r"),
            0,
            self.free.get(name, GIB),
            0,
            0,
            1,
        ):
            self.replicas.server_live(name)
        self.reports.heartbeat(name, 1, 0, [(c, 1, length) for c in added], removed)

    def die(self, name: str) -> None:
        self.servers.forget(name)
        self.replicas.server_dead(name)

    def plan(self, after_ms: int = 0) -> list[Copy | Delete]:
        self.now_ms += after_ms
        return self.planner.plan(
            self.now_ms, lambda chunk_id: chunk_id < self.garbage_below, self.rng.random
        )

    def want(self, chunk_id: int, *holders: str, replication: int = 3, length: int = 10) -> None:
        self.replicas.want(chunk_id, 1, length, replication)
        for name in holders:
            self.beat(name, added=(chunk_id,), length=length)


def test_a_short_chunk_is_copied_from_its_holders_to_another_server() -> None:
    leader = Leader(4)
    leader.want(7, "c1", "c2")
    (order,) = leader.plan()
    assert isinstance(order, Copy)
    assert order.node_id in ("c3", "c4")
    assert (order.chunk_id, order.version, order.length) == (7, 1, 10)
    assert sorted(order.sources) == ["c1", "c2"]


def test_every_missing_replica_is_ordered_at_once_and_only_once() -> None:
    leader = Leader(5)
    leader.want(7, "c1")
    assert len({order.node_id for order in leader.plan()}) == 2
    assert leader.plan(1000) == []
    assert leader.planner.status().copies_running == 2


def test_a_reported_copy_ends_its_order() -> None:
    leader = Leader(3)
    leader.want(7, "c1", "c2")
    (order,) = leader.plan()
    leader.beat(order.node_id, added=(7,))
    assert leader.plan() == []
    assert leader.planner.status().copies_running == 0
    assert leader.planner.status().under_replicated == 0


def test_a_copy_that_never_comes_is_ordered_again() -> None:
    leader = Leader(3)
    leader.want(7, "c1", "c2")
    leader.plan()
    for name in leader.names:
        leader.now_ms = COPY_TIMEOUT_MS
        leader.beat(name)
    assert [order.node_id for order in leader.plan()] == ["c3"]


def test_a_failed_copy_goes_elsewhere_and_comes_back_after_a_while() -> None:
    leader = Leader(4)
    leader.want(7, "c1", "c2")
    (first,) = leader.plan()
    leader.planner.copy_done(7, first.node_id, ok=False)
    (second,) = leader.plan()
    assert second.node_id not in (first.node_id, "c1", "c2")
    leader.planner.copy_done(7, second.node_id, ok=False)
    assert leader.plan() == []
    assert len(leader.plan(FAILED_COPY_MS)) == 1


def test_a_target_that_dies_gives_its_order_to_another() -> None:
    leader = Leader(4)
    leader.want(7, "c1", "c2")
    (first,) = leader.plan()
    leader.die(first.node_id)
    (second,) = leader.plan()
    assert second.node_id not in (first.node_id, "c1", "c2")


def test_what_a_restarted_server_was_ordered_is_ordered_again_at_once() -> None:
    """A restart within the time of silence was not noticed: the copy came two minutes later."""
    leader = Leader(3)
    leader.want(7, "c1", "c2")
    leader.want(8, "c1", "c2", "c3", replication=2)
    first = leader.plan()
    assert {type(order) for order in first} == {Copy, Delete}
    assert leader.plan(1000) == []
    for name in leader.names:
        leader.planner.restarted(name)
    assert leader.planner.status().copies_running == 0
    assert leader.planner.status().deletions_running == 0
    again = leader.plan(1000)
    assert sorted(map(repr, again)) == sorted(map(repr, first))


def test_the_most_endangered_go_first_and_no_server_gets_more_than_its_share() -> None:
    leader = Leader(6)
    for chunk_id in range(1, 6 * COPY_ORDERS_MAX):
        leader.want(chunk_id, *(("c1", "c2") if chunk_id % 2 else ("c1",)))
    orders = [order for order in leader.plan() if isinstance(order, Copy)]
    assert {order.chunk_id % 2 for order in orders[: len(orders) // 2]} == {0}
    giving = [order.sources[0] for order in orders]
    most = COPY_ORDERS_MAX
    assert all(giving.count(name) <= most for name in leader.names)
    for name in leader.names:
        assert sum(order.node_id == name for order in orders) <= most
    assert len(orders) == 2 * most, "both holders give as much as they may"


def test_of_large_chunks_a_server_has_only_as_many_before_it_as_run_at_once() -> None:
    leader = Leader(2)
    for chunk_id in range(1, 40):
        leader.want(chunk_id, "c1", replication=2, length=COPY_ORDER_BYTES_MAX // 8)
    assert len(leader.plan()) == limits.COPIES_PER_CHUNKSERVER_MAX


def test_chunks_that_cannot_be_helped_do_not_hold_up_others() -> None:
    leader = Leader(3)
    leader.want(1, "c1", "c2", "c3", replication=5)
    for chunk_id in range(2, 5):
        leader.want(chunk_id, "c1", "c2")
    assert {order.chunk_id for order in leader.plan()} == {2, 3, 4}


def test_many_hopeless_chunks_are_passed_over_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydfsnode.fleet.copies.SCAN_CHUNKS_MAX", 10)
    leader = Leader(3)
    leader.free = {"c3": 5}
    leader.beat("c3")
    for chunk_id in range(1, 31):
        leader.want(chunk_id, "c1", "c2")  # 10 bytes, which c3 has not
    leader.replicas.want(99, 1, 3, 3)
    for name in ("c1", "c2"):
        leader.reports.heartbeat(name, 1, 0, [(99, 1, 3)])
    plans = [leader.plan(1000) for _ in range(4)]
    assert [order for plan in plans for order in plan] == [Copy("c3", 99, 1, 3, ("c1", "c2"))]


def test_a_missing_chunk_is_not_copied_from_anywhere() -> None:
    leader = Leader(3)
    leader.want(7)
    assert leader.plan() == []
    assert leader.planner.status().missing == 1


def test_a_fresh_chunk_whose_writers_have_not_reported_is_left_alone() -> None:
    leader = Leader(5)
    leader.replicas.want(7, 1, 10, 3, ("c1", "c2", "c3"))
    leader.beat("c1", added=(7,))
    assert leader.plan(1000) == []
    leader.die("c3")
    (order,) = leader.plan(1000)
    assert order.node_id in ("c4", "c5")


def test_one_too_many_goes_from_the_fullest_server() -> None:
    leader = Leader(4)
    leader.free = {"c1": 400, "c2": 300, "c3": 200, "c4": 250}
    leader.want(7, "c1", "c2", "c3", "c4")
    assert leader.plan() == [Delete("c3", 7, 1)]
    assert leader.plan(1000) == [], "until it is reported gone, nothing more goes"
    leader.beat("c3", removed=(7,))
    assert leader.plan(1000) == []
    assert leader.replicas.good(7) == ["c1", "c2", "c4"]


def test_exactly_enough_is_never_trimmed() -> None:
    leader = Leader(4)
    leader.want(7, "c1", "c2", "c3")
    leader.want(8, "c1", replication=1)
    assert leader.plan() == []


def test_nothing_is_deleted_on_the_word_of_an_unconfirmed_server() -> None:
    leader = Leader(4)
    leader.want(7, *leader.names)
    leader.planner.new_epoch()
    assert leader.plan() == []
    for name in leader.names[:3]:
        leader.beat(name)
        leader.beat(name)
    assert leader.plan() == [], "three confirmed replicas are no more than wanted"
    leader.beat("c4")
    leader.beat("c4")
    assert len(leader.plan()) == 1


def test_a_deletion_that_is_never_reported_is_decided_on_again() -> None:
    leader = Leader(4)
    leader.free = {"c4": 1}
    leader.want(7, *leader.names)
    assert leader.plan() == [Delete("c4", 7, 1)]
    leader.now_ms = DELETE_TIMEOUT_MS
    for name in leader.names:
        leader.beat(name)
    assert leader.plan() == [Delete("c4", 7, 1)]
    leader.die("c1")
    leader.now_ms = 2 * DELETE_TIMEOUT_MS
    for name in leader.names[1:]:
        leader.beat(name)
    assert leader.plan() == [], "with too few others the condemned one is not touched again"


def test_the_last_replica_is_copied_even_when_it_is_condemned() -> None:
    leader = Leader(4)
    leader.free = {"c4": 1}
    leader.want(7, *leader.names)
    assert leader.plan() == [Delete("c4", 7, 1)]
    for name in ("c1", "c2", "c3"):
        leader.beat(name, removed=(7,))
    leader.free = {}
    orders = leader.plan(1000)
    assert {order.node_id for order in orders} == {"c1", "c2"} or len(orders) == 2
    assert all(isinstance(order, Copy) and order.sources == ("c4",) for order in orders)


def test_a_bad_replica_goes_when_enough_good_ones_exist() -> None:
    leader = Leader(5)
    leader.want(7, "c1", "c2", "c4")
    leader.reports.heartbeat("c3", 1, 0, [(7, 1, 9)])
    leader.replicas.suspect(7, "c4")
    orders = leader.plan()
    assert [type(order) for order in orders] == [Copy], "first the copy"
    leader.beat("c5", added=(7,))
    assert sorted(order.node_id for order in leader.plan()) == ["c3", "c4"]


def test_a_bad_replica_makes_place_when_there_is_no_other() -> None:
    leader = Leader(3)
    leader.want(7, "c1", "c2", "c3")
    leader.replicas.suspect(7, "c3")
    assert leader.plan() == [Delete("c3", 7, 1)]
    leader.beat("c3", removed=(7,))
    (order,) = leader.plan()
    assert isinstance(order, Copy)
    assert order.node_id == "c3"


def test_a_corrupt_last_replica_is_kept() -> None:
    leader = Leader(3)
    leader.want(7, "c1")
    leader.replicas.suspect(7, "c1")
    assert leader.plan() == []


def test_what_the_namespace_dropped_goes_at_once_everywhere() -> None:
    leader = Leader(3)
    leader.want(7, *leader.names)
    leader.replicas.forget(7)
    orders = leader.plan()
    assert orders == [Delete(name, 7, 1) for name in leader.names]
    assert leader.plan(1000) == []


def test_what_the_namespace_never_knew_is_kept_for_a_while() -> None:
    leader = Leader(1)
    leader.beat("c1", added=(7,))
    assert leader.plan(ORPHAN_MS - 1) == []
    assert leader.plan(1) == [Delete("c1", 7, 1)]


def test_a_chunk_under_construction_or_of_the_future_is_never_an_orphan() -> None:
    leader = Leader(1)
    leader.garbage_below = 7
    leader.beat("c1", added=(7,))
    assert leader.plan(10 * ORPHAN_MS) == []


def test_deletions_of_one_server_are_bounded() -> None:
    leader = Leader(1)
    for chunk_id in range(1, DELETES_PER_CHUNKSERVER_MAX + 50):
        leader.want(chunk_id, "c1")
        leader.replicas.forget(chunk_id)
    assert len(leader.plan()) == DELETES_PER_CHUNKSERVER_MAX
    assert leader.planner.status().deletions_running == DELETES_PER_CHUNKSERVER_MAX


def test_nothing_is_ordered_before_everyone_could_report() -> None:
    leader = Leader(3, warm_up_ms=5000)
    leader.want(7, "c1")
    assert leader.plan(4999) == []
    assert leader.planner.status().warming_up
    assert leader.plan(1) != []
    assert not leader.planner.status().warming_up


def test_a_new_epoch_forgets_what_was_ordered() -> None:
    leader = Leader(3)
    leader.want(7, "c1", "c2")
    assert len(leader.plan()) == 1
    leader.planner.new_epoch()
    assert len(leader.plan()) == 1


def test_servers_that_gave_their_share_give_again_when_copies_are_reported() -> None:
    leader = Leader(3)
    for chunk_id in range(1, 3 * COPY_ORDERS_MAX + 1):
        leader.want(chunk_id, "c1", replication=2)
    rounds = 0
    while leader.planner.status().under_replicated and rounds < 10:
        orders = leader.plan(1000)
        assert 0 < len(orders) <= COPY_ORDERS_MAX
        for order in orders:
            leader.beat(order.node_id, added=(order.chunk_id,))
        rounds += 1
    assert rounds == 3


def test_in_a_new_epoch_what_an_older_one_condemned_counts_again() -> None:
    leader = Leader(4)
    leader.free = {"c4": 1}
    leader.want(7, *leader.names)
    assert leader.plan() == [Delete("c4", 7, 1)]
    leader.planner.new_epoch(2)
    assert leader.replicas.good(7) == leader.names

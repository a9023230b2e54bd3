"""Copies and deletions with racks, health and rates in mind."""

from __future__ import annotations

import pytest

from pydfsnode.fleet.bounds import COPY_ORDERS_MAX, MOVES_MAX
from pydfsnode.fleet.repair import Copy, Delete, RepairRates
from pydfsnode.fleet.servers import DECOMMISSIONING

from .test_repair import Leader

MIB = 1 << 20


def rack_of(leader: Leader, name: str) -> str:
    return leader.racks[name]


def plans(leader: Leader, count: int = 6) -> list[Copy | Delete]:
    """What several plans order: the search for misplaced chunks goes a part of the way in each."""
    return [order for _ in range(count) for order in leader.plan(100)]


def make_bad(leader: Leader, *names: str) -> None:
    for name in names:
        leader.servers.note(name, "disk", leader.now_ms, 100)
    leader.servers.review(leader.now_ms)


def test_copies_go_to_racks_that_have_no_replica() -> None:
    leader = Leader(12, racks=3)
    leader.want(7, "c1")
    assert {rack_of(leader, order.node_id) for order in leader.plan()} == {"/r2", "/r3"}
    leader.want(8, "c1", "c2")
    assert [rack_of(leader, order.node_id) for order in leader.plan()] == ["/r3"]


def test_a_rack_where_a_copy_is_on_its_way_counts_as_taken() -> None:
    leader = Leader(12, racks=3)
    leader.want(7, "c1", "c2", replication=2)
    leader.die("c2")
    (first,) = leader.plan()
    leader.replicas.want(7, 1, 10, 3)
    (second,) = leader.plan()
    assert {rack_of(leader, order.node_id) for order in (first, second)} == {"/r2", "/r3"}


def test_chunks_that_fail_together_are_moved_and_the_crowded_replica_goes() -> None:
    leader = Leader(6, racks=2)
    leader.want(7, "c1", "c3", "c5")
    (order,) = plans(leader)
    assert isinstance(order, Copy)
    assert rack_of(leader, order.node_id) == "/r2"
    assert leader.planner.status().misplaced == 0, "it is taken care of"
    leader.beat(order.node_id, added=(7,))
    (deletion,) = leader.plan(1000)
    assert isinstance(deletion, Delete)
    assert rack_of(leader, deletion.node_id) == "/r1"
    leader.beat(deletion.node_id, removed=(7,))
    assert plans(leader, 20) == [], "better it cannot be"


def test_nothing_is_moved_while_chunks_are_short_of_replicas() -> None:
    leader = Leader(6, racks=2)
    leader.want(7, "c1", "c3", "c5")
    for chunk_id in range(8, 8 + 3 * COPY_ORDERS_MAX):
        leader.want(chunk_id, "c1", "c2")
    assert all(order.chunk_id != 7 for order in plans(leader)), "more than servers can give"
    for chunk_id in range(8, 8 + 3 * COPY_ORDERS_MAX):
        leader.replicas.forget(chunk_id)
    copies = [order for order in plans(leader) if isinstance(order, Copy)]
    assert [order.chunk_id for order in copies] == [7]


def test_nothing_is_moved_for_a_spread_that_is_no_better() -> None:
    leader = Leader(6, racks=2)
    leader.want(7, "c1", "c2", "c3")
    leader.want(8, "c1", "c2", "c4", replication=2)
    assert not [order for order in plans(leader) if isinstance(order, Copy)]


def test_nothing_is_moved_to_servers_that_do_badly_leave_or_are_full() -> None:
    leader = Leader(8, racks=4)
    leader.want(7, "c1", "c5", "c2")
    make_bad(leader, "c3")
    leader.servers.set_admin_state("c7", DECOMMISSIONING)
    leader.free = {"c4": 5, "c8": 5}
    leader.beat("c4")
    leader.beat("c8")
    assert plans(leader) == [], "rather two replicas in one rack"


def test_moves_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydfsnode.fleet.misplaced.MOVES_MAX", 5)
    leader = Leader(6, racks=2)
    for chunk_id in range(1, 40):
        leader.want(chunk_id, "c1", "c3", "c5")
    assert len(plans(leader)) == 5
    assert MOVES_MAX > 5


def test_what_is_trimmed_leaves_the_racks_spread() -> None:
    leader = Leader(4, racks=3)  # c1 and c4 in r1
    leader.free = {"c2": 1, "c3": 2, "c1": 400, "c4": 300}
    leader.want(7, *leader.names)
    assert leader.plan() == [Delete("c4", 7, 1)], "neither of the fullest: they are alone there"


def test_of_equals_the_one_that_does_badly_is_trimmed_before_the_fullest() -> None:
    leader = Leader(5)
    leader.free = {"c1": 1}
    leader.want(7, "c1", "c2", "c3", "c4")
    make_bad(leader, "c3")
    assert leader.plan() == [Delete("c3", 7, 1)]


def test_who_leaves_loses_its_replica_first() -> None:
    leader = Leader(4, racks=4)
    leader.want(7, *leader.names)
    leader.servers.set_admin_state("c2", DECOMMISSIONING)
    assert leader.plan() == [Delete("c2", 7, 1)]


def test_only_confirmed_replicas_are_trimmed_but_all_good_ones_count_as_standing_there() -> None:
    leader = Leader(5, racks=3)  # c1, c4 in r1; c2, c5 in r2; c3 in r3
    leader.free = {"c3": 1}
    leader.want(7, "c1", "c2", "c3", "c5", replication=2)
    orders = leader.plan()
    assert {order.node_id for order in orders} < {"c1", "c2", "c5", "c3"}
    stay = {"c1", "c2", "c3", "c5"} - {order.node_id for order in orders}
    assert len({rack_of(leader, name) for name in stay}) == 2


def test_sources_that_do_badly_come_last_the_close_ones_first() -> None:
    leader = Leader(6, racks=2)
    leader.want(7, "c1", "c2", "c3", "c4", replication=5)
    make_bad(leader, "c1")
    (order,) = leader.plan()
    assert isinstance(order, Copy)
    near = [rack_of(leader, name) == rack_of(leader, order.node_id) for name in order.sources]
    assert order.sources[-1] == "c1"
    assert near[:-1] == sorted(near[:-1], reverse=True)


def test_a_copy_goes_to_who_does_well() -> None:
    leader = Leader(6)
    leader.want(7, "c1", "c2")
    make_bad(leader, "c3", "c5")
    for _ in range(20):
        (order,) = leader.plan()
        assert order.node_id in ("c4", "c6")
        leader.planner.new_epoch()


@pytest.mark.parametrize("kind", ["fleet", "taking", "giving"])
def test_repair_keeps_to_its_rate(kind: str) -> None:
    rate = 8 * MIB
    rates = RepairRates(rate, 0) if kind == "fleet" else RepairRates(0, rate)
    leader = Leader(2 if kind == "taking" else 20, rates=rates)
    holders = ("c1",)
    for chunk_id in range(1, 200):
        leader.want(chunk_id, *holders, replication=2, length=MIB)
    ordered = 0
    for _ in range(40):
        for order in leader.plan(500):
            ordered += MIB
            leader.beat(order.node_id, added=(order.chunk_id,), length=MIB)
        for name in leader.names:
            leader.beat(name)
    assert 18 * rate <= ordered <= 23 * rate


def test_without_a_rate_all_is_ordered_that_servers_may_have_before_them() -> None:
    leader = Leader(4)
    for chunk_id in range(1, 200):
        leader.want(chunk_id, "c1", replication=2, length=1)
    assert len(leader.plan()) == 64


def test_a_corrupt_replica_is_replaced_in_another_rack_before_it_is_deleted() -> None:
    leader = Leader(6, racks=3)
    leader.want(7, "c1", "c2", "c3")
    leader.replicas.suspect(7, "c3")
    (copy,) = leader.plan()
    assert copy == Copy("c6", 7, 1, 10, copy.sources)
    assert leader.plan(1000) == [], "it stays while the copy is on its way"
    leader.beat("c6", added=(7,))
    assert leader.plan(1000) == [Delete("c3", 7, 1)]

"""Servers that leave or are maintained: what is moved, when they may go, what blocks them."""

from __future__ import annotations

from pydfsnode.fleet import draining, relocation
from pydfsnode.fleet.draining import ALL_HOLD_IT, NO_ROOM
from pydfsnode.fleet.orders import Copy, Delete
from tests.unit.fleet.fleet_world import CAPACITY, World

RACKS = {f"c{n}": f"/r{(n + 1) // 2}" for n in range(1, 7)}


def filled(chunks: int = 40, replication: int = 3) -> World:
    world = World(RACKS)
    names = sorted(RACKS)
    for chunk_id in range(1, chunks + 1):
        at = chunk_id % 6
        world.put(chunk_id, *[names[(at + 2 * step) % 6] for step in range(replication)])
    return world


def test_a_leaving_server_is_emptied_and_every_chunk_keeps_its_replicas() -> None:
    world = filled()
    assert world.held["c1"]
    world.set_states(c1="decommissioning")
    for _ in range(60):
        world.tick()
        for chunk_id in world.wanted:
            assert len(world.live_holders(chunk_id)) >= 3
    assert world.held["c1"] == {}
    assert world.whole()
    assert world.draining.drained() == ["c1"]
    (progress,) = world.draining.progress()
    assert (progress.counted, progress.held, progress.left) == (True, 0, 0)
    for chunk_id in world.wanted:
        assert len({RACKS[name] for name in world.holders(chunk_id)}) == 3


def test_moves_that_were_not_told_are_ordered_again_at_once() -> None:
    world = filled()
    world.set_states(c1="decommissioning")
    obey, told = world._obey, set[int]()

    def lose_first(order: Copy | Delete) -> None:
        if order.chunk_id in told:
            obey(order)
            return
        told.add(order.chunk_id)
        world.planner.lost(order)
        if isinstance(order, Copy):
            world.relocations.lost(order.chunk_id, order.node_id)

    world._obey = lose_first  # type: ignore[method-assign]
    world.run(60)
    assert told
    assert world.held["c1"] == {}
    assert world.whole()


def test_nothing_new_goes_to_a_server_that_leaves() -> None:
    world = filled(chunks=0)
    world.set_states(c1="decommissioning", c2="maintenance")
    for chunk_id in range(1, 40):
        world.put(chunk_id, "c3", replication=3)
    world.run(20)
    assert world.held["c1"] == world.held["c2"] == {}
    assert world.whole()


def test_a_walk_counts_what_is_left_before_anything_is_moved() -> None:
    world = filled(chunks=12)
    held = len(world.held["c1"])
    world.set_states(c1="decommissioning")
    (before,) = world.draining.progress()
    assert (before.counted, world.draining.drained()) == (False, [])
    world.tick()
    world.tick()
    (after,) = world.draining.progress()
    assert after.counted
    assert 0 < after.left <= after.held <= held


def test_servers_that_come_back_into_service_keep_what_they_have() -> None:
    world = filled(chunks=400)
    world.set_states(c1="decommissioning")
    world.run(2)
    world.set_states()
    before = set(world.held["c1"])
    world.run(30)
    assert before
    assert world.whole()
    assert world.draining.progress() == []


def test_what_blocks_a_drain_is_said() -> None:
    world = World({"c1": "/a", "c2": "/b", "c3": "/c"})
    world.put(1, "c1", "c2", "c3")
    world.set_states(c1="decommissioning")
    world.run(5)
    (progress,) = world.draining.progress()
    assert (progress.left, progress.stuck, progress.stuck_because) == (1, 1, ALL_HOLD_IT)
    assert world.draining.drained() == []
    world.join("c4", "/d")
    world.held["c4"][99] = CAPACITY
    world.run(5)
    (progress,) = world.draining.progress()
    assert progress.stuck_because == NO_ROOM
    del world.held["c4"][99]
    world.run(10)
    assert world.draining.drained() == ["c1"]


def test_a_silent_server_may_go_when_repair_has_made_its_replicas_anew() -> None:
    world = filled()
    world.set_states(c1="decommissioning")
    world.away.add("c1")
    world.run(3)
    assert world.draining.drained() == []
    world.run(80)
    assert world.draining.drained() == ["c1"]
    for chunk_id in world.wanted:
        assert len(world.live_holders(chunk_id)) == 3


def test_two_that_leave_together_do_not_count_on_each_other() -> None:
    world = World({f"c{n}": f"/r{n}" for n in range(1, 6)})
    for chunk_id in range(1, 20):
        world.put(chunk_id, "c1", "c2")
    world.set_states(c1="decommissioning", c2="decommissioning")
    world.run(60)
    assert world.held["c1"] == world.held["c2"] == {}
    assert world.whole()


def test_a_maintained_server_that_is_silent_is_not_copied_unless_a_chunk_has_no_other() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c3", "c5")
    world.put(2, "c1")
    world.set_states(c1="maintenance")
    world.run(10)
    assert world.holders(2) != {"c1"}, "its only live replica would be away"
    (progress,) = world.draining.progress()
    assert (progress.counted, progress.left) == (True, 0)
    world.away.add("c1")
    before = len(world.ordered)
    world.run(60)
    assert world.ordered[before:] == []
    assert world.replicas.under_replicated_count == world.replicas.missing_count == 0
    world.set_states()  # the time is over, and it is still silent
    world.run(10)
    assert len(world.live_holders(1)) == 3


def test_a_chunk_short_beside_a_maintenance_is_still_repaired() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c3", "c5")
    world.set_states(c1="maintenance")
    world.away |= {"c1", "c3"}
    world.run(60)
    assert len(world.live_holders(1)) == 2, "with the one that comes back three"


def test_drains_go_slower_while_chunks_are_in_danger() -> None:
    world = filled(chunks=400, replication=2)
    world.set_states(c1="decommissioning")
    world.relocations.refresh()
    world.relocations.beside_repair = True
    few = world.draining.plan(world.now_ms, world.rng.random)
    world.relocations.beside_repair = False
    more = world.draining.plan(world.now_ms, world.rng.random)
    assert 0 < len(few) <= 5 * relocation.BESIDE_REPAIR_MAX
    assert len(few) + len(more) > 5 * relocation.BESIDE_REPAIR_MAX


def test_a_copy_that_fails_is_tried_elsewhere() -> None:
    world = World({"c1": "/a", "c2": "/b", "c3": "/c"})
    world.fails.add("c2")
    for chunk_id in range(1, 9):
        world.put(chunk_id, "c1")
    world.set_states(c1="decommissioning")
    world.run(30)
    assert world.held["c1"] == {}
    assert len(world.held["c3"]) == 8


def test_a_walk_is_bounded() -> None:
    world = World({"c1": "/a", "c2": "/b"})
    count = 3 * draining.CHUNKS_PER_STEP
    for chunk_id in range(1, count):
        world.put(chunk_id, "c1")
    world.set_states(c1="decommissioning")
    world.relocations.refresh()
    world.draining.plan(500, world.rng.random)
    steps = 0
    while world.draining.is_walking:
        world.draining.step()
        steps += 1
    assert steps >= 2


def test_a_move_deletes_only_after_its_copy() -> None:
    world = filled(chunks=6)
    world.set_states(c1="decommissioning")
    world.run(20)
    kinds: dict[int, list[str]] = {}
    for order in world.ordered:
        kinds.setdefault(order.chunk_id, []).append(type(order).__name__)
    assert kinds
    assert all(kind == [Copy.__name__, Delete.__name__] for kind in kinds.values()), kinds


def test_servers_maintained_together_do_not_count_on_each_other() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c3")
    world.set_states(c1="maintenance", c3="maintenance")
    world.run(10)
    assert world.holders(1) - {"c1", "c3"}


def test_a_server_is_not_drained_before_the_last_replica_is_gone() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c2", "c3", "c5", replication=3)
    world.set_states(c1="decommissioning")
    world.relocations.refresh()
    assert world.draining.plan(500, world.rng.random) == [], "the others are enough"
    (progress,) = world.draining.progress()
    assert (progress.counted, progress.held, progress.left) == (True, 1, 0)
    assert world.draining.drained() == []
    world.run(5)
    assert world.holders(1) == {"c2", "c3", "c5"}
    assert world.draining.drained() == ["c1"]


def test_a_chunk_that_is_short_keeps_its_replica_on_a_leaving_server() -> None:
    world = World({"c1": "/a", "c2": "/b", "c3": "/c"})
    world.put(1, "c1", "c2", replication=3)
    world.set_states(c1="decommissioning")
    world.run(20)
    assert world.holders(1) == {"c1", "c2", "c3"}
    assert world.draining.drained() == []


def test_a_chunk_of_which_nothing_lives_is_missing_in_a_maintenance_too() -> None:
    world = World(RACKS)
    world.put(1, "c1")
    world.away.add("c1")
    world.run(25)
    world.set_states(c1="maintenance")
    world.run(5)
    assert world.replicas.missing_count == 1

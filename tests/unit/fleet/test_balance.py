"""Evening out: from whom to whom, how fast, and never with fewer replicas or in fewer racks."""

from __future__ import annotations

import pytest

from pydfsnode.fleet.balance import EVEN, FEW, NOTHING_MOVABLE, PPM
from pydfsnode.fleet.orders import Copy
from tests.unit.fleet.fleet_world import CAPACITY, TICK_MS, World

TEN_PERCENT = PPM // 10
FAST = 1 << 40


def share(world: World, name: str) -> float:
    return sum(world.held[name].values()) / CAPACITY


def lopsided(chunks: int = 60, length: int = 100) -> World:
    """Two full servers in each of two racks, and an empty one in each."""
    racks = {"c1": "/a", "c2": "/b", "c3": "/a", "c4": "/b"}
    world = World(racks)
    for chunk_id in range(1, chunks + 1):
        world.put(chunk_id, "c1", "c2", length=length)
    return world


def test_servers_become_even_and_no_chunk_ever_has_fewer_replicas_or_racks() -> None:
    world = lopsided()
    world.balancing.set_orders(TEN_PERCENT, FAST)
    for _ in range(80):
        world.tick()
        for chunk_id in world.wanted:
            holders = world.live_holders(chunk_id)
            assert len(holders) >= 2
            assert len({world.racks[name] for name in holders}) == 2
    shares = [share(world, name) for name in world.held]
    mean = sum(shares) / len(shares)
    assert all(abs(each - mean) <= 0.1 for each in shares), shares
    assert world.whole()
    assert world.balancing.ended_because == EVEN
    status = world.balancing.status()
    assert status.moved_chunks == len(world.moved) > 0
    assert status.moved_bytes == 100 * len(world.moved)
    assert status.spread_ppm <= TEN_PERCENT


def test_it_moves_no_more_than_it_must() -> None:
    world = lopsided()
    world.balancing.set_orders(TEN_PERCENT, FAST)
    world.run(80)
    assert share(world, "c1") >= 0.3
    assert share(world, "c2") >= 0.3
    assert len(world.moved) <= 2 * 30


def test_an_even_fleet_is_left_alone() -> None:
    world = World({"c1": "/a", "c2": "/b", "c3": "/c"})
    for chunk_id in range(1, 30):
        world.put(chunk_id, "c1", "c2", "c3", length=100)
    world.balancing.set_orders(TEN_PERCENT, FAST)
    world.run(3)
    assert world.ordered == []
    assert world.balancing.ended_because == EVEN


def test_an_empty_newcomer_is_filled_although_nobody_is_far_above_the_mean() -> None:
    racks = {f"c{n}": f"/r{(n + 1) // 2}" for n in range(1, 7)}
    world = World(racks)
    names = sorted(racks)
    for chunk_id in range(1, 121):
        at = chunk_id % 6
        world.put(chunk_id, *[names[(at + 2 * step) % 6] for step in range(3)], length=100)
    world.join("c7", "/r4")
    world.balancing.set_orders(TEN_PERCENT, FAST)
    world.run(60)
    shares = [share(world, name) for name in world.held]
    mean = sum(shares) / len(shares)
    assert share(world, "c7") >= mean - 0.1
    assert world.whole()


@pytest.mark.parametrize("bytes_per_s", [200, 1000])
def test_the_rate_is_kept(bytes_per_s: int) -> None:
    world = lopsided()
    world.balancing.set_orders(PPM // 100, bytes_per_s)
    world.run(20)
    seconds = 20 * TICK_MS / 1000
    moved = sum(order.length for order in world.ordered if isinstance(order, Copy))
    assert 0 < moved <= bytes_per_s * (seconds + 1) + 100


def test_a_stop_begins_nothing_more_and_what_is_under_way_arrives() -> None:
    world = lopsided()
    world.balancing.set_orders(TEN_PERCENT, 1000)
    world.run(3)
    world.balancing.set_orders(0, 0)
    before = sum(isinstance(order, Copy) for order in world.ordered)
    world.run(20)
    assert sum(isinstance(order, Copy) for order in world.ordered) == before > 0
    assert world.relocations.running == []
    assert world.whole()
    assert not world.balancing.status().on


def test_chunks_that_may_not_move_end_it() -> None:
    world = World({"c1": "/a", "c2": "/b", "c3": "/a"})
    for chunk_id in range(1, 50):  # c2 is alone in its rack: nothing of it may go to /a
        world.put(chunk_id, "c2", "c3" if chunk_id % 2 else "c1", length=100)
    world.balancing.set_orders(TEN_PERCENT, FAST)
    world.run(10)
    assert not [order for order in world.ordered if isinstance(order, Copy)]
    assert world.balancing.ended_because == NOTHING_MOVABLE


def test_endangered_and_leaving_replicas_are_not_its_business() -> None:
    world = lopsided()
    world.set_states(c3="decommissioning", c4="maintenance", c2="maintenance")
    world.balancing.set_orders(TEN_PERCENT, FAST)
    world.tick()
    assert world.balancing.ended_because == FEW
    assert world.held["c3"] == world.held["c4"] == {}

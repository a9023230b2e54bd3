"""The words of a file system check for one chunk."""

from __future__ import annotations

import pytest

from pydfsnode.fleet import fsck
from pydfsnode.fleet.fsck import Examiner
from pydfsnode.fleet.replicas import CORRUPT
from tests.unit.fleet.fleet_world import World

RACKS = {"c1": "/a", "c2": "/a", "c3": "/b", "c4": "/c"}


def look(world: World, chunk_id: int = 1) -> fsck.ChunkCondition:
    return Examiner(world.servers, world.replicas).look(chunk_id, world.wanted[chunk_id][1])


@pytest.mark.parametrize(
    ("holders", "replication", "problem"),
    [
        (("c1", "c3", "c4"), 3, ""),
        (("c1", "c3"), 2, ""),
        (("c1",), 1, ""),
        (("c1", "c3"), 3, fsck.UNDER_REPLICATED),
        (("c1", "c3", "c4"), 2, fsck.OVER_REPLICATED),
        (("c1", "c2"), 2, fsck.MISPLACED),
        (("c1", "c2", "c3"), 3, fsck.MISPLACED),
        (("c1", "c2", "c3", "c4"), 4, ""),
        ((), 1, fsck.MISSING),
    ],
)
def test_replicas_and_racks(holders: tuple[str, ...], replication: int, problem: str) -> None:
    world = World(RACKS)
    world.put(1, *holders, replication=replication)
    assert look(world) == fsck.ChunkCondition(len(holders), 0, problem)


def test_damaged_replicas_are_corrupt_only_when_there_is_no_other() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c3")
    world.replicas.suspect(1, "c1", CORRUPT)
    assert look(world) == fsck.ChunkCondition(1, 1, fsck.UNDER_REPLICATED)
    world.replicas.suspect(1, "c3", CORRUPT)
    assert look(world) == fsck.ChunkCondition(0, 2, fsck.CORRUPT)


def test_a_rack_that_takes_no_replicas_is_no_better_place() -> None:
    world = World({"c1": "/a", "c2": "/a", "c3": "/b"})
    world.put(1, "c1", "c2")
    assert look(world).problem == fsck.MISPLACED
    world.set_states(c3="decommissioning")
    assert look(world).problem == ""


def test_what_a_maintenance_brings_back_is_called_so() -> None:
    world = World(RACKS)
    world.put(1, "c1", "c3", "c4")
    world.set_states(c1="maintenance")
    world.away.add("c1")
    world.run(30)
    assert look(world) == fsck.ChunkCondition(2, 0, fsck.IN_MAINTENANCE)
    world.away.add("c3")
    world.away.add("c4")
    world.servers.expire(10**9)
    world.replicas.server_dead("c3")
    world.replicas.server_dead("c4")
    assert look(world).problem == fsck.MISSING

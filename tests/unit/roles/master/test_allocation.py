"""Which chunkservers a chunk is given: those that hold what it begins with, and enough of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from pydfsnode.config import load_node_config
from pydfsnode.errors import ConfigError, InvalidArgument, LeaseExpired, NoChunkservers
from pydfsnode.limits import MIB
from pydfsnode.meta import ops
from pydfsnode.meta.results import Applied
from pydfsnode.roles.master.allocation import Allocation
from tests.unit.client.fakes import FakeCluster

MASTER = (
    'node_id = "m1"\nrole = "master"\ndata_dir = "d"\nlisten = "h:1"\n'
    'grpc_listen = "h:2"\nhttp_listen = "h:3"\n'
    'masters = ["m1=h:1"]\n'
    '{more}\ntls = {{ca = "a", cert = "b", key = "c"}}\n'
)


class World:
    """/f with one finished chunk on c2 and c3, open for client 1, whose next is on c1 to c3."""

    def __init__(self, min_replicas: int = 1, replication: int = 3) -> None:
        self.masters = FakeCluster(4 * MIB, ["c1", "c2", "c3", "c4"])
        self.allocation = Allocation(
            cast(Any, self.masters.consensus),
            cast(Any, self.masters.fleet),
            self.masters.namespace,
            min_replicas,
        )
        self._seq = 0
        self.inode_id = self.run(ops.Create, "/f", replication, 4 * MIB, 0, False, False).inode_id
        self.run(ops.AllocateChunk, self.inode_id, None, 0, ("c2", "c3"))
        self.run(ops.RecordChunk, self.inode_id, ops.ChunkDone(1, 1, 10, 7))
        self.masters.fleet.readable_by_chunk[1] = ["c3", "c2"]

    def run(self, kind: Any, *fields: Any) -> Any:
        self._seq += 1
        op = kind(1, self._seq, self._seq, 5, "root", *fields)
        namespace = self.masters.namespace
        outcome = namespace.apply(op, namespace.applied_index + 1)
        assert isinstance(outcome, Applied), outcome
        return outcome.result

    def open_chunk(self) -> None:
        self.run(ops.AllocateChunk, self.inode_id, None, 0, ("c1", "c2", "c3"))


async def test_who_holds_what_is_continued_comes_first() -> None:
    world = World()
    chosen = await world.allocation.choose(world.inode_id, [], continues=True)
    assert chosen == ("c3", "c2", "c1")
    assert await world.allocation.choose(world.inode_id, []) == ("c1", "c2", "c3")
    chosen = await world.allocation.choose(world.inode_id, ["c3"], continues=True)
    assert chosen == ("c2", "c1", "c4")
    world.masters.fleet.servers = []
    assert await world.allocation.choose(world.inode_id, [], continues=True) == ("c3", "c2")


@pytest.mark.parametrize(
    ("survivors", "exclude", "count", "expected"),
    [
        (["c1", "c3"], ["c2"], 1, ("c1", "c3", "c4")),
        (["c3", "c1"], ["c2"], 0, ("c3", "c1")),
        (["c1"], ["c2", "c3"], 9, ("c1", "c4")),
        (["c1", "c2", "c3"], [], 3, ("c1", "c2", "c3")),
        (["c1"], ["c2", "c3", "c4"], 2, ("c1",)),
    ],
)
async def test_survivors_go_on_with_as_many_others_as_there_are(
    survivors: list[str], exclude: list[str], count: int, expected: tuple[str, ...]
) -> None:
    world = World()
    world.open_chunk()
    assert await world.allocation.resume(world.inode_id, survivors, exclude, count) == expected


async def test_only_who_wrote_the_chunk_survives() -> None:
    world = World()
    world.open_chunk()
    with pytest.raises(InvalidArgument, match="not to c4"):
        await world.allocation.resume(world.inode_id, ["c1", "c4"], [], 0)
    with pytest.raises(LeaseExpired):
        await world.allocation.resume(99, ["c1"], [], 0)


async def test_fewer_than_the_minimum_are_refused() -> None:
    world = World(min_replicas=2)
    world.open_chunk()
    with pytest.raises(NoChunkservers, match=r"1 of the 2 chunkservers.*min_replicas"):
        await world.allocation.choose(world.inode_id, ["c1", "c2", "c3"])
    with pytest.raises(NoChunkservers):
        await world.allocation.resume(world.inode_id, ["c1"], ["c2", "c3"], 0)
    assert await world.allocation.resume(world.inode_id, ["c1"], ["c2", "c3"], 1) == ("c1", "c4")
    single = World(min_replicas=2, replication=1)
    assert await single.allocation.choose(single.inode_id, []) == ("c1",)


@pytest.mark.parametrize("more", ["min_replicas = 0", "min_replicas = 4", "replication = 1"])
def test_a_minimum_that_cannot_be_is_refused(tmp_path: Path, more: str) -> None:
    path = tmp_path / "node.toml"
    wrong = more if "min" in more else f"{more}\nmin_replicas = 2"
    path.write_text(MASTER.format(more=wrong))
    with pytest.raises(ConfigError, match=r"min_replicas \d is not in 1\.\."):
        load_node_config(path)
    path.write_text(MASTER.format(more="min_replicas = 2"))
    assert load_node_config(path).min_replicas == 2

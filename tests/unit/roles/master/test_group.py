"""Several whole masters over real connections: begun together, grown, shrunk, wiped, recovered."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pydfsnode.config import SnapshotPolicy
from pydfsnode.errors import ConfigError, DirectoryLocked, UnsafeChange
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master import recovery
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.raft_driver import RaftDriver
from tests.support.masters import Group

TRIO = ("m1", "m2", "m3")


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    made = Group(tmp_path, TRIO)
    yield made
    await made.stop()


async def mkdirs(group: Group, path: str) -> None:
    op = pb.OpId(client_id=zlib.crc32(path.encode()), seq=1, first_unacked=1)
    await group.call("/pydfs.v1.Namespace/Mkdirs", pb.MkdirsRequest(op=op, path=path))


async def exists(group: Group, path: str) -> bool:
    found = await group.call("/pydfs.v1.Namespace/Stat", pb.StatRequest(path=path))
    return bool(found.status.path == path)


async def voters(group: Group) -> list[str]:
    found = await group.cluster("Members", pb.MembersRequest())
    return [m.id for m in found.members if m.membership == "voter"]


async def add(group: Group, name: str) -> None:
    await group.cluster("AddServer", pb.AddServerRequest(node_id=name, listen=group.listen[name]))


async def test_three_begin_together_and_elect_one(group: Group) -> None:
    await group.start("m1", "m2")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(master.role.ready()[0] for master in group.masters.values())
    await group.start("m3")
    await mkdirs(group, "/a")
    assert await voters(group) == list(TRIO)


async def test_who_writes_the_decision_last_keeps_what_a_leader_sent_before(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = RaftDriver.bootstrap

    async def late(driver: RaftDriver, configuration: Configuration) -> None:
        while driver.status().node_id == "m3" and not driver.status().last_index:
            await asyncio.sleep(0)
        await original(driver, configuration)

    monkeypatch.setattr(RaftDriver, "bootstrap", late)
    await group.start(*TRIO)
    await mkdirs(group, "/a")
    await group.stop("m1" if await group.leader() != "m1" else "m2")
    await mkdirs(group, "/b")  # takes the vote and the disk of m3
    assert group.masters["m3"].supervisor.failure is None


async def test_grown_to_five_and_shrunk_to_three_others(group: Group) -> None:
    await group.start(*TRIO)
    await mkdirs(group, "/before")
    first = await group.leader()
    await group.start("m4", "m5", bootstrap=False)
    await add(group, "m4")
    await add(group, "m5")
    assert await voters(group) == ["m1", "m2", "m3", "m4", "m5"]
    second = next(name for name in TRIO if name != first)
    for name in (first, second):  # the original leader among the removed
        await group.cluster("RemoveServer", pb.RemoveServerRequest(node_id=name))
        assert name not in await voters(group)
        await group.stop(name)
    await mkdirs(group, "/after")
    assert await exists(group, "/before")
    assert len(await voters(group)) == 3


async def test_a_wiped_master_is_refused_until_it_is_removed_and_added(group: Group) -> None:
    await group.start(*TRIO)
    await mkdirs(group, "/a")
    leader = await group.leader()
    lost = next(name for name in TRIO if name != leader)
    await group.stop(lost)
    group.wipe(lost)
    await group.start(lost)
    failed = group.masters[lost].supervisor.failed  # trap E6: it must not vote again
    assert isinstance(await failed, ConfigError)
    await group.stop(lost)
    await group.start(lost, bootstrap=False)
    with pytest.raises(UnsafeChange, match="another data directory"):
        await add(group, lost)
    await group.cluster("RemoveServer", pb.RemoveServerRequest(node_id=lost))
    await add(group, lost)
    assert await voters(group) == list(TRIO)


async def test_leadership_moves_on_order_and_when_the_leader_is_stopped(group: Group) -> None:
    await group.start(*TRIO)
    await mkdirs(group, "/a")
    first = await group.leader()
    to = next(name for name in TRIO if name != first)
    moved = await group.cluster("TransferLeadership", pb.TransferLeadershipRequest(to=to))
    assert moved.leader == to == await group.leader()
    before = group.masters[first].role._driver.term
    await group.stop(to)
    await mkdirs(group, "/b")
    leader = await group.leader()
    # One term more: it was handed over, nobody had to time out first.
    assert group.masters[leader].role._driver.term == before + 1


async def test_a_master_far_behind_is_brought_up_by_a_snapshot(tmp_path: Path) -> None:
    policy = SnapshotPolicy(log_entries_max=20, keep_entries=5)
    group = Group(tmp_path, ("m1",), snapshot=policy)
    try:
        await group.start("m1")
        for number in range(200):
            await mkdirs(group, f"/d{number:03}")
        driver = group.masters["m1"].role._driver
        while driver.status().first_index == 1:
            await asyncio.sleep(0.005)
        await group.start("m2", bootstrap=False)
        await add(group, "m2")
        status = group.masters["m2"].role._driver.status()
        assert status.snapshots_installed == 1
        assert await voters(group) == ["m1", "m2"]
    finally:
        await group.stop()


async def test_one_survivor_goes_on_after_the_majority_is_lost(group: Group) -> None:
    await group.start(*TRIO)
    await mkdirs(group, "/kept")
    config = group.config("m2")
    with pytest.raises(DirectoryLocked):
        recovery.inspect(config)  # as long as it runs
    await group.stop()
    before = recovery.inspect(config)
    assert (before.members, before.name) == (list(TRIO), "m2")
    after = recovery.recover(config)
    assert (after.members, after.last_index) == (["m2"], before.last_index + 1)
    assert (after.last_term, after.member != before.member) == (before.term + 1, True)
    await group.start("m2")
    assert await exists(group, "/kept")
    assert await voters(group) == ["m2"]
    # The old ones come back only with an empty directory.
    await group.start("m1", bootstrap=False)
    with pytest.raises(UnsafeChange, match="empty data_dir"):
        await add(group, "m1")
    await group.stop("m1")
    group.wipe("m1")
    await group.start("m1", bootstrap=False)
    await add(group, "m1")
    assert await voters(group) == ["m1", "m2"]


async def test_a_master_of_no_cluster_cannot_be_recovered(group: Group) -> None:
    config = group.config("m1")
    with pytest.raises(ConfigError, match="holds no master's data"):
        recovery.recover(config)
    await group.start("m1")
    await group.stop("m1")
    with pytest.raises(ConfigError, match="belongs to no cluster"):
        recovery.recover(config)

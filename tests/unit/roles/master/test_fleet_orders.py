"""What operators order of the fleet, by a whole master: answers, refusals, restarts, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.errors import (
    ChangeInProgress,
    InvalidArgument,
    NotFound,
    SafeMode,
    UnsafeChange,
)
from pydfsnode.fleet.bounds import EXPECT_MS, WARM_UP_MS
from pydfsnode.roles.master.service import fleet_fsck
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.support.masters import Master, node_config

SERVERS = ("c1", "c2", "c3", "c4")
LENGTH = 5


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    running = await Master(node_config(tmp_path, dead_after_ms=60_000)).start()
    yield running
    await running.stop()


async def order(master: Master, method: str, **fields: Any) -> pb.FleetStateResponse:
    request = getattr(pb, f"{method}Request")(op=master.op(), **fields)
    answer = await master.call(f"/pydfs.v1.Cluster/{method}", request)
    state: pb.FleetStateResponse = answer.fleet
    return state


async def fleet_state(master: Master) -> pb.FleetStateResponse:
    answer = await master.call("/pydfs.v1.Cluster/FleetState", pb.FleetStateRequest())
    assert isinstance(answer, pb.FleetStateResponse)
    return answer


async def with_servers(master: Master, *names: str) -> None:
    for name in names:
        await master.heartbeat(name, rack=f"/{name}")
        await master.report(name, [])


async def warm(master: Master) -> None:
    """Past the time after the start, as the fleet's own loop finds out."""
    master.clock.ahead_ms += WARM_UP_MS
    await fleet_state(master)


async def file_of(master: Master, path: str, chunks: int, replication: int = 3) -> list[int]:
    """A closed file; its chunks' ids."""
    create = pb.CreateRequest(
        op=master.op(), path=path, replication=replication, create_parents=True
    )
    created = await master.namespace("Create", create)
    inode_id, done, ids = created.status.inode_id, None, []
    for _ in range(chunks):
        request = pb.AllocateChunkRequest(op=master.op(), inode_id=inode_id, previous=done)
        allocated = await master.namespace("AllocateChunk", request)
        ids.append(allocated.chunk_id)
        done = pb.ChunkDone(chunk_id=allocated.chunk_id, version=1, length=LENGTH, crc32c=1)
    complete = pb.CompleteRequest(op=master.op(), inode_id=inode_id, last=done)
    await master.namespace("Complete", complete)
    return ids


async def hold(master: Master, node_id: str, *chunk_ids: int) -> None:
    await master.report(node_id, [(chunk_id, 1, LENGTH) for chunk_id in chunk_ids])


async def test_a_drain_is_refused_while_too_few_would_be_left(master: Master) -> None:
    await with_servers(master, "c1", "c2", "c3")
    (chunk,) = await file_of(master, "/f", 1)
    with pytest.raises(ChangeInProgress, match="safe mode"):
        await order(master, "SetDuty", node_ids=["c1"], state="decommissioning")
    await warm(master)
    for name in ("c1", "c2", "c3"):
        await hold(master, name, chunk)
    with pytest.raises(UnsafeChange, match="want 3 replicas, and only 2 chunkservers"):
        await order(master, "SetDuty", node_ids=["c1"], state="decommissioning")
    await with_servers(master, "c4")
    state = await order(master, "SetDuty", node_ids=["c1", "c1"], state="decommissioning")
    (duty,) = state.duties
    assert (duty.node_id, duty.state, duty.user) == ("c1", "decommissioning", "alice")
    status = await master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    assert [s.admin_state for s in status.chunkservers] == ["decommissioning"] + ["in service"] * 3
    assert (await order(master, "SetDuty", node_ids=["c1"], state="in service")).duties == []


async def test_a_drain_is_refused_without_room(master: Master) -> None:
    await with_servers(master, *SERVERS)
    (chunk,) = await file_of(master, "/f", 1)
    await warm(master)
    await master.heartbeat("c1", used_bytes=1000, rack="/c1")
    for name in ("c2", "c3", "c4"):
        await master.heartbeat(name, free_bytes=100, rack=f"/{name}")
    await hold(master, "c1", chunk)
    with pytest.raises(UnsafeChange, match=r"use 1,000 bytes, and the 3 .* have [0-9]+ free"):
        await order(master, "SetDuty", node_ids=["c1"], state="decommissioning")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"node_ids": ["c9"], "state": "decommissioning"}, "no chunkserver 'c9'.*c1, c2"),
        ({"node_ids": ["c1"], "state": "decommissioned"}, "cannot be ordered"),
        ({"node_ids": ["c1"], "state": "maintenance", "for_ms": 1 << 40}, "at most"),
        ({"node_ids": ["c1"], "state": "maintenance"}, "needs an end"),
    ],
)
async def test_orders_that_cannot_be(master: Master, fields: dict[str, Any], match: str) -> None:
    await with_servers(master, "c1", "c2")
    await warm(master)
    with pytest.raises(InvalidArgument, match=match):
        await order(master, "SetDuty", **fields)


async def test_an_emptied_server_becomes_decommissioned_and_a_maintenance_ends(
    master: Master,
) -> None:
    await with_servers(master, *SERVERS)
    await warm(master)
    await order(master, "SetDuty", node_ids=["c1"], state="decommissioning")
    state = await order(master, "SetDuty", node_ids=["c2"], state="maintenance", for_ms=5_000)
    assert [duty.state for duty in state.duties] == ["decommissioning", "maintenance"]
    fleet, upkeep = master.role._fleet, master.role._upkeep
    await upkeep.step()
    master.clock.ahead_ms += 4_000
    for _ in range(2):
        await fleet.step(master.role._driver)
    await upkeep.step()
    assert [d.state for d in (await fleet_state(master)).duties] == [
        "decommissioned",
        "maintenance",
    ]
    master.clock.ahead_ms += 2_000
    await upkeep.step()
    assert [d.node_id for d in (await fleet_state(master)).duties] == ["c1"]


async def test_a_server_that_has_not_told_what_it_holds_is_not_taken_for_empty(
    master: Master,
) -> None:
    await with_servers(master, *SERVERS)
    await warm(master)
    await order(master, "SetDuty", node_ids=["c1"], state="decommissioning")
    await master.heartbeat("c1", incarnation=2)  # started again: its report is still to come
    fleet, upkeep = master.role._fleet, master.role._upkeep
    await upkeep.step()
    master.clock.ahead_ms += 4_000
    await fleet.step(master.role._driver)
    await upkeep.step()
    (duty,) = (await fleet_state(master)).duties
    assert (duty.state, duty.counted) == ("decommissioning", False)


async def test_orders_outlive_a_restart(master: Master) -> None:
    await with_servers(master, *SERVERS)
    await warm(master)
    await order(master, "SetDuty", node_ids=["c1"], state="maintenance", for_ms=60_000)
    await order(master, "SetBalance", threshold_ppm=100_000, bytes_per_s=1 << 20)
    await order(master, "SetSafeMode", on=True)
    await master.stop()
    seq = master.seq
    master.__init__(master.config)  # type: ignore[misc]
    master.seq = seq
    await master.start()
    state = await fleet_state(master)
    assert [duty.node_id for duty in state.duties] == ["c1"]
    assert (state.balance.on, state.balance.bytes_per_s) == (True, 1 << 20)
    assert (state.safe_mode.on, state.safe_mode.by_operator) == (True, True)


async def test_safe_mode_is_shown_everywhere_and_can_be_left(master: Master) -> None:
    state = await fleet_state(master)
    assert (state.safe_mode.on, state.safe_mode.by_operator) == (True, False)
    assert master.role.health()["safe_mode"]
    assert (await order(master, "SetSafeMode", on=False)).safe_mode.on is False
    assert master.role.health()["safe_mode"] == ""
    state = await order(master, "SetSafeMode", on=True)
    assert (state.safe_mode.on, state.safe_mode.user) == (True, "alice")
    with pytest.raises(SafeMode):
        await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/no"))
    status = await master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    assert "SAFE_MODE" in {check.code for check in status.checks}
    assert status.safe_mode.by_operator
    await master.role._upkeep.step()  # proposes nothing that would be refused
    await order(master, "SetSafeMode", on=False)
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/yes"))


async def test_a_dead_server_under_maintenance_is_no_finding(master: Master) -> None:
    await with_servers(master, *SERVERS)
    await warm(master)
    await order(master, "SetDuty", node_ids=["c1"], state="maintenance", for_ms=10_000_000)
    master.clock.ahead_ms += 70_000
    for name in SERVERS[1:]:
        await master.heartbeat(name)
    await master.role._fleet.step(master.role._driver)
    status = await master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    assert [s.state for s in status.chunkservers] == ["dead", "live", "live", "live"]
    assert "CHUNKSERVER_DOWN" not in {check.code for check in status.checks}


async def test_a_balance_ends_by_itself(master: Master) -> None:
    await with_servers(master, *SERVERS)
    await warm(master)
    state = await order(master, "SetBalance", threshold_ppm=100_000, bytes_per_s=1000)
    assert state.balance.on
    await master.role._fleet.step(master.role._driver)
    await master.role._upkeep.step()
    master.clock.ahead_ms += 2_000
    await master.role._upkeep.step()
    state = await fleet_state(master)
    assert not state.balance.on
    assert "even" in state.balance.ended_because


# ---- fsck


async def fsck(master: Master, path: str = "/") -> tuple[pb.FsckCounts, list[str], int]:
    """All steps added up: counts, findings as "path problem chunks", and how many steps."""
    total, found, steps = pb.FsckCounts(), [], 0
    after = pb.FsckCursor()
    while True:
        request = pb.FsckRequest(path=path, after=after)
        answer = await master.call("/pydfs.v1.Cluster/Fsck", request)
        steps += 1
        for field in total.DESCRIPTOR.fields:
            value = getattr(total, field.name) + getattr(answer.counts, field.name)
            setattr(total, field.name, value)
        found += [f"{f.path} {f.problem} {f.chunks}" for f in answer.findings]
        if not answer.more:
            return total, found, steps
        after = answer.next


async def test_a_check_counts_and_names_what_is_wrong(master: Master) -> None:
    await with_servers(master, *SERVERS)
    whole = await file_of(master, "/d/whole", 2)
    short = await file_of(master, "/d/short", 1)
    lost = await file_of(master, "/d/lost", 1)
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/e"))
    small = pb.CreateRequest(op=master.op(), path="/e/small", content=b"hello")
    await master.namespace("Create", small)
    await master.namespace("Create", pb.CreateRequest(op=master.op(), path="/e/open"))
    master.clock.ahead_ms += 40_000  # those that wrote do not count unreported any more
    for name in SERVERS:
        await master.heartbeat(name, rack=f"/{name}")
    for name in ("c1", "c2", "c3"):
        await hold(master, name, *whole, *(short if name != "c3" else ()))
    await master.role._fleet.step(master.role._driver)
    counts, found, _ = await fsck(master)
    assert found == ["/d/lost missing 1", "/d/short under-replicated 1", "/e/open open 0"]
    assert (counts.files, counts.directories, counts.bytes) == (5, 3, 4 * LENGTH + 5)
    assert (counts.chunks, counts.replicas, counts.replicas_wanted) == (4, 8, 12)
    assert (counts.open_files, counts.inline_files) == (1, 1)
    assert (counts.missing, counts.under_replicated, len(lost)) == (1, 1, 1)
    assert (await fsck(master, "/d/whole"))[1] == []
    with pytest.raises(NotFound):
        await fsck(master, "/nowhere")


@pytest.mark.parametrize(("inodes", "chunks"), [(1, 512), (2, 3), (3, 1), (256, 7)])
async def test_however_small_the_steps_all_is_looked_at_once(
    master: Master, monkeypatch: pytest.MonkeyPatch, inodes: int, chunks: int
) -> None:
    await with_servers(master, *SERVERS)
    for number, count in enumerate((0, 1, 5, 2, 9)):
        await file_of(master, f"/d{number % 2}/f{number}", count)
    whole = await fsck(master)
    monkeypatch.setattr(fleet_fsck, "INODES_PER_STEP", inodes)
    monkeypatch.setattr(fleet_fsck, "CHUNKS_PER_STEP", chunks)
    counts, found, steps = await fsck(master)
    assert counts == whole[0]
    assert counts.chunks == 17
    assert steps > whole[2] == 1
    assert found == whole[1]


# ---- what is verified in the background


async def test_how_far_the_verification_is_reaches_the_status(master: Master) -> None:
    told = pb.ScrubState(began_ms=1, due_ms=2, done_bytes=3, left_bytes=4, corrupt_found=5)
    await master.heartbeat("c1", load=pb.ServerLoad(scrub=told))
    await master.heartbeat("c2", load=pb.ServerLoad())
    status = await master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    assert status.chunkservers[0].scrub == told
    assert not status.chunkservers[1].HasField("scrub")


async def test_a_server_that_was_restarted_gets_its_orders_again(master: Master) -> None:
    """Within the time of silence nobody notices that it was away, but its orders went with it."""
    await with_servers(master, "c1", "c2", "c3")
    (chunk,) = await file_of(master, "/f", 1)
    await warm(master)
    for name in ("c1", "c2"):
        await hold(master, name, chunk)
    fleet, driver = master.role._fleet, master.role._driver
    master.clock.ahead_ms += EXPECT_MS  # nobody waits any more for what c3 may have written
    for name in ("c1", "c2", "c3"):
        await master.heartbeat(name, rack=f"/{name}")
    await fleet.step(driver)
    (ordered,) = (await master.heartbeat("c3", rack="/c3")).commands
    await fleet.step(driver)
    assert not (await master.heartbeat("c3", rack="/c3")).commands
    assert not (await master.heartbeat("c3", rack="/c3", incarnation=2)).commands
    await fleet.step(driver)
    (again,) = (await master.heartbeat("c3", rack="/c3", incarnation=2)).commands
    assert again.chunk_id == ordered.chunk_id == chunk

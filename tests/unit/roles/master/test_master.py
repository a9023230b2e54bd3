"""A whole master in this process: handlers, consensus of one, store and restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pydfsnode.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidPath,
    KeyUnavailable,
    LeaseExpired,
    NoChunkservers,
    NotFound,
    NotLeader,
    UnsafeChange,
)
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics, render
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.service.fleet import FleetService
from pydfsnode.roles.master.store import open_store
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.identity import Identity
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.sealed import TABLE_LOG_BOUNDS, TABLE_MEMBERSHIP, TABLE_NODE
from tests.support.masters import Master, node_config

MIB = 1 << 20
SERVERS = ("c1", "c2", "c3")


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    running = await Master(node_config(tmp_path)).start()
    yield running
    await running.stop()


async def restarted(master: Master) -> Master:
    await master.stop()
    seq = master.seq
    master.__init__(master.config)  # type: ignore[misc]
    master.seq = seq
    return await master.start()


async def written(master: Master, path: str = "/f") -> tuple[pb.FileStatus, int]:
    """A closed file of one chunk of 5 bytes, and the chunk's id."""
    for server in SERVERS:
        await master.heartbeat(server)
    created = await master.namespace("Create", pb.CreateRequest(op=master.op(), path=path))
    inode_id = created.status.inode_id
    allocated = await master.namespace(
        "AllocateChunk", pb.AllocateChunkRequest(op=master.op(), inode_id=inode_id)
    )
    done = pb.ChunkDone(chunk_id=allocated.chunk_id, version=1, length=5, crc32c=0x1234)
    completed = await master.namespace(
        "Complete", pb.CompleteRequest(op=master.op(), inode_id=inode_id, last=done)
    )
    return completed.status, allocated.chunk_id


async def test_every_method_that_masters_serve_has_a_handler(master: Master) -> None:
    served = {path for path, row in METHODS.items() if "master" in row.served_by}
    assert set(master.role.handlers) == served


async def test_a_file_is_created_allocated_completed_and_located(master: Master) -> None:
    status, chunk_id = await written(master)
    assert (status.size, status.checksum, status.owner) == (5, "crc32c:00001234", "alice")
    located = await master.namespace("Locate", pb.LocateRequest(path="/f"))
    (chunk,) = located.chunks
    assert (chunk.chunk_id, chunk.length, chunk.offset) == (chunk_id, 5, 0)
    assert {a.node_id: a.listen for a in chunk.replicas} == {s: f"{s}.test:1" for s in SERVERS}


async def test_the_same_op_id_takes_effect_once_also_after_a_restart(master: Master) -> None:
    request = pb.MkdirsRequest(op=master.op(), path="/once")
    create = pb.CreateRequest(op=master.op(), path="/file")
    first = await master.namespace("Mkdirs", request)
    made = await master.namespace("Create", create)
    assert await master.namespace("Mkdirs", request) == first
    again = await restarted(master)
    assert await again.namespace("Create", create) == made  # INV-ONCE: no AlreadyExists
    with pytest.raises(AlreadyExists):
        await again.namespace("Create", pb.CreateRequest(op=again.op(), path="/file"))


async def test_what_was_acknowledged_is_there_after_a_restart(master: Master) -> None:
    status, _ = await written(master)
    again = await restarted(master)
    found = await again.namespace("Stat", pb.StatRequest(path="/f"))
    assert found.status == status


async def test_neither_names_nor_the_key_are_readable_in_the_data_directory(
    master: Master,
) -> None:
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/planted-marker-17"))
    again = await restarted(master)  # the rows of the state table are written by now too
    await again.stop()
    await again.start()
    files = [p for p in Path(master.config.data_dir).rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if b"planted-marker" in p.read_bytes()]


async def test_a_mutation_without_an_op_id_is_refused(master: Master) -> None:
    with pytest.raises(InvalidArgument, match="op id"):
        await master.namespace("Mkdirs", pb.MkdirsRequest(path="/x"))


async def test_allocation_needs_the_file_and_live_chunkservers(master: Master) -> None:
    created = await master.namespace("Create", pb.CreateRequest(op=master.op(), path="/f"))
    request = pb.AllocateChunkRequest(op=master.op(), inode_id=created.status.inode_id)
    with pytest.raises(NoChunkservers):
        await master.namespace("AllocateChunk", request)
    for server in SERVERS:
        await master.heartbeat(server)
    request.exclude.append("c2")
    allocated = await master.namespace("AllocateChunk", request)
    assert {t.node_id for t in allocated.targets} == {"c1", "c3"}
    assert allocated.epoch == 1
    gone = pb.AllocateChunkRequest(op=master.op(), inode_id=999)
    with pytest.raises(LeaseExpired):
        await master.namespace("AllocateChunk", gone)


async def test_a_master_without_a_majority_names_no_leader_and_serves_nothing(
    tmp_path: Path,
) -> None:
    masters = [f"m{i}=127.0.0.1:{7000 + i}" for i in (1, 2, 3)]
    alone = await Master(node_config(tmp_path, masters=masters)).start(elect=False)
    try:
        with pytest.raises(NotLeader) as caught:
            await alone.namespace("Stat", pb.StatRequest(path="/"))
        assert caught.value.leader_hint == ""
        with pytest.raises(NotLeader):
            await alone.namespace("Mkdirs", pb.MkdirsRequest(op=alone.op(), path="/x"))
        assert alone.role.ready()[0] is False
    finally:
        await alone.stop()


async def test_listing_renaming_and_deleting(master: Master) -> None:
    for name in ("b", "a", "c"):
        await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path=f"/d/{name}"))
    page = await master.namespace("List", pb.ListRequest(path="/d", limit=2))
    assert ([e.path for e in page.entries], page.more) == (["/d/a", "/d/b"], True)
    rename = pb.RenameRequest(op=master.op(), source="/d/a", destination="/moved")
    assert (await master.namespace("Rename", rename)).status.path == "/moved"
    gone = pb.DeleteRequest(op=master.op(), path="/d", recursive=True)
    assert (await master.namespace("Delete", gone)).inodes == 3
    with pytest.raises(NotFound):
        await master.namespace("Stat", pb.StatRequest(path="/d"))
    summary = await master.namespace("Summary", pb.SummaryRequest(path="/"))
    assert (summary.directories, summary.files) == (2, 0)


async def test_a_bad_replica_is_reported_only_where_there_is_one(master: Master) -> None:
    _, chunk_id = await written(master)
    await master.report("c1", [(chunk_id, 1, 5)])
    report = pb.ReportBadReplicaRequest(chunk_id=chunk_id, node_id="c1", reason="checksum")
    await master.namespace("ReportBadReplica", report)
    located = await master.namespace("Locate", pb.LocateRequest(path="/f"))
    assert "c1" not in {a.node_id for a in located.chunks[0].replicas}
    with pytest.raises(NotFound):
        await master.namespace(
            "ReportBadReplica", pb.ReportBadReplicaRequest(chunk_id=chunk_id, node_id="c9")
        )


async def test_status_tells_the_whole_cluster(master: Master) -> None:
    path = "/pydfs.v1.Cluster/Status"
    before = await master.call(path, pb.ClusterStatusRequest())
    assert (before.health, before.checks[0].code) == ("ERROR", "NO_CHUNKSERVERS")
    await written(master)
    status = await master.call(path, pb.ClusterStatusRequest())
    assert (status.health, status.leader, status.files, status.chunks) == ("OK", "m1", 1, 1)
    assert [c.id for c in status.chunkservers] == list(SERVERS)
    assert [(m.id, m.role, m.lag) for m in status.masters] == [("m1", "leader", 0)]


async def test_pages_and_health_tell_the_raft_state(master: Master) -> None:
    page = master.role.pages["/raft/state"]()
    assert isinstance(page, dict)
    assert (page["role"], page["term"], page["fsync"]) == ("leader", 1, "always")
    assert master.role.health()["warning"] == ""


async def test_operations_are_counted_by_kind_and_outcome(master: Master) -> None:
    def counted(outcome: str) -> float:
        counter = metrics().counter("namespace_operations_total", "Mkdirs", outcome)
        return float(counter._value.get())

    before = counted("applied"), counted("rejected")
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/counted"))
    with pytest.raises(InvalidPath):
        await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="relative"))
    assert (counted("applied"), counted("rejected")) == (before[0] + 1, before[1] + 1)


async def test_what_raft_and_the_readers_do_is_measured(master: Master) -> None:
    def shown() -> dict[str, float]:
        lines = render().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name.startswith(("pydfs_raft_", "pydfs_namespace_reads"))
        }

    before = shown()
    await master.namespace("Stat", pb.StatRequest(path="/"))
    for mode in (pb.ReadOptions.LINEARIZABLE, pb.ReadOptions.LEASE, pb.ReadOptions.STALE):
        for follower in (False, True):
            read = pb.ReadOptions(mode=mode, from_follower=follower)
            await master.namespace("Stat", pb.StatRequest(path="/", read=read))
    with pytest.raises(UnsafeChange):
        await master.call(
            "/pydfs.v1.Cluster/TransferLeadership", pb.TransferLeadershipRequest(), role="admin"
        )
    now = shown()
    reads = {
        mode: now[name] - before[name]
        for mode in ("linearizable", "lease", "bounded", "stale", "follower")
        for name in [f'pydfs_namespace_reads_total{{mode="{mode}"}}']
    }
    assert reads == {"linearizable": 2, "follower": 1, "lease": 2, "stale": 2, "bounded": 0}
    assert (now["pydfs_raft_voters_count"], now["pydfs_raft_learners_count"]) == (1, 0)
    assert (now["pydfs_raft_lease_held_boolean"], now["pydfs_raft_staleness_seconds"]) == (1, 0)
    assert now["pydfs_raft_first_index"] == 1
    refused = 'pydfs_raft_transfers_total{result="refused"}'
    assert now[refused] == before.get(refused, 0) + 1
    assert {
        "pydfs_raft_appends_total", "pydfs_raft_append_entries_total",
        "pydfs_raft_compactions_total", "pydfs_raft_snapshots_installed_total",
    } <= set(now)  # fmt: skip


async def test_the_leader_tells_chunkservers_who_the_masters_are(master: Master) -> None:
    answer = await master.heartbeat("c1")
    assert [(m.node_id, m.listen) for m in answer.masters] == [("m1", "127.0.0.1:7001")]


class Changing:
    """A leader's driver in the middle of a change of the masters."""

    is_leader, term = True, 4
    configuration_committed = False
    configuration = Configuration(
        ("m1#00000001", "m2"), (), ("m3#00000003",), {"m1#00000001": "h:1", "m3#00000003": "h:3"}
    )


async def test_a_change_that_may_be_undone_is_told_nobody(master: Master) -> None:
    driver = Changing()
    namespace = Namespace()
    fleet = Fleet(namespace, master.clock, 1000, lambda: 0.5)
    service = FleetService(cast(Any, driver), fleet, namespace, master.clock)
    call = CallContext(
        Identity("testcluster", "chunkserver", "c1"), METHODS["/pydfs.v1.Fleet/Heartbeat"]
    )
    request = pb.HeartbeatRequest(listen="c1:1", incarnation=1)
    assert not (await service.heartbeat(request, call)).masters
    driver.configuration_committed = True
    answer = await service.heartbeat(request, call)
    assert {(m.node_id, m.listen) for m in answer.masters} == {("m1", "h:1"), ("m3", "h:3")}
    driver.is_leader = False  # a follower tells it too: who leads may be known to masters alone
    assert (await service.heartbeat(request, call)).masters == answer.masters


async def test_an_unsafe_fsync_mode_is_said_where_the_node_reports(tmp_path: Path) -> None:
    unsafe = await Master(node_config(tmp_path, fsync="off")).start()
    try:
        assert "unsafe" in unsafe.role.health()["warning"]
        status = await unsafe.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
        assert "FSYNC_UNSAFE" in {c.code for c in status.checks}
    finally:
        await unsafe.stop()


async def test_the_log_says_who_the_members_are_not_the_file(master: Master) -> None:
    await written(master)
    await master.stop()
    config = master.config
    config.masters = [*config.masters, "m2=127.0.0.1:7009"]
    await master.start()
    status = await master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    assert [(m.id, m.membership) for m in status.masters] == [("m1", "voter")]
    await master.namespace("Stat", pb.StatRequest(path="/f"))


async def test_an_empty_directory_without_bootstrap_waits_to_be_added(tmp_path: Path) -> None:
    config = node_config(tmp_path, bootstrap=False)
    waiting = await Master(config).start(elect=False)
    await asyncio.sleep(0)
    ready, page = waiting.role.ready()
    assert (ready, "add-master m1" in page["reason"]) == (False, True)
    with pytest.raises(NotLeader):
        await waiting.namespace("Stat", pb.StatRequest(path="/"))
    hello = await waiting.call("/pydfs.v1.Raft/Hello", pb.HelloRequest(), "master", "m2")
    assert (hello.node_id, hello.formed, list(hello.masters)) == ("m1", False, [])
    await waiting.stop()
    config.bootstrap = True
    begun = await Master(config).start()
    await begun.stop()
    config.bootstrap = False
    kept = await Master(config).start()
    again = await kept.call("/pydfs.v1.Raft/Hello", pb.HelloRequest(), "master", "m2")
    assert again.incarnation == hello.incarnation > 0
    assert list(again.members) == [f"m1#{hello.incarnation:08x}"]
    await kept.stop()


async def test_a_log_begun_before_incarnations_goes_on(master: Master, tmp_path: Path) -> None:
    await master.stop()
    config = node_config(tmp_path / "old")
    Path(config.data_dir).mkdir()
    identity = TlsStore.load(config.tls).identity
    store = open_store(config, identity)
    old = LogBounds(group=1)
    names = msgspec.msgpack.encode(("m1",))
    rows = [(TABLE_NODE, b"", None), (TABLE_MEMBERSHIP, b"", names),
            (TABLE_LOG_BOUNDS, b"", old.encode())]  # fmt: skip
    store.sealed.kv.write(store.sealed.seal_rows(rows), True)
    store.close()
    older = await Master(config).start()
    await older.namespace("Mkdirs", pb.MkdirsRequest(op=older.op(), path="/d"))
    found = await older.call("/pydfs.v1.Cluster/Members", pb.MembersRequest())
    assert [(m.id, m.incarnation, m.listen) for m in found.members] == [("m1", 0, "127.0.0.1:7001")]
    await older.stop()
    await master.start()


async def test_members_and_changes_need_the_leader_and_name_what_is_wrong(master: Master) -> None:
    found = await master.call("/pydfs.v1.Cluster/Members", pb.MembersRequest())
    assert (found.leader, found.changing, len(found.members)) == ("m1", False, 1)
    with pytest.raises(UnsafeChange, match="last voting"):
        await master.call("/pydfs.v1.Cluster/RemoveServer", pb.RemoveServerRequest(node_id="m1"),
                          "admin")  # fmt: skip
    add = pb.AddServerRequest(node_id="m2", listen="127.0.0.1:1")
    with pytest.raises(InvalidArgument, match="no master m2 answers"):
        await master.call("/pydfs.v1.Cluster/AddServer", add, "admin")
    stay = pb.TransferLeadershipRequest(to="m1")
    done = await master.call("/pydfs.v1.Cluster/TransferLeadership", stay, "admin")
    assert (done.leader, done.gap_ms) == ("m1", 0)


async def test_the_log_may_lie_on_a_disk_of_its_own(tmp_path: Path) -> None:
    apart = tmp_path / "fast" / "log"
    running = await Master(node_config(tmp_path, raft_log_dir=str(apart))).start()
    await running.namespace("Mkdirs", pb.MkdirsRequest(op=running.op(), path="/d"))
    again = await restarted(running)
    await again.namespace("Stat", pb.StatRequest(path="/d"))
    await again.stop()
    assert (apart / "store").is_dir()
    assert not (Path(running.config.data_dir) / "store").exists()


async def test_a_lost_keyring_is_named_and_nothing_is_made_new(master: Master) -> None:
    await master.stop()
    keyring = Path(master.config.data_dir) / "keys" / "keyring.json"
    kept = keyring.read_bytes()
    keyring.unlink()
    with pytest.raises(KeyUnavailable, match=r"keyring\.json"):
        open_store(master.config, TlsStore.load(master.config.tls).identity)
    assert not keyring.exists()
    keyring.write_bytes(kept)
    keyring.chmod(0o600)
    await master.start()

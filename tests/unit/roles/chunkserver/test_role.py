"""A chunkserver as a whole: wired, reporting to real listeners, stopping on a broken disk."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.model import AllocatedChunk, Replica
from pydfsnode.client.wire_chunks import chunk_state
from pydfsnode.config import NodeConfig
from pydfsnode.errors import CapabilityRefused, DurabilityFailure, PipelineBroken, StaleEpoch
from pydfsnode.roles.base import Node
from pydfsnode.roles.chunkserver.role import ChunkserverRole
from pydfsnode.rpc.audit_calls import from_message
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.security.audit.record import FORMATS
from pydfsnode.security.audit.verify import verify_trails
from pydfsnode.security.tls import TlsStore
from tests.support.capabilities import CHUNK_KEY, token
from tests.support.certs import make_cluster_certs


class FakeMaster:
    """The Fleet service of a master that leads in an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.held: dict[int, int] = {}
        self.senders: set[str] = set()
        self.checkpoints: list[pb.AuditCheckpoint] = []

    def handlers(self) -> dict[str, Any]:
        return {
            "/pydfs.v1.Fleet/Heartbeat": self.heartbeat,
            "/pydfs.v1.Fleet/FullReport": self.full_report,
            "/pydfs.v1.Fleet/ChunkKeys": self.chunk_keys,
            "/pydfs.v1.Security/RecordAuditCheckpoint": self.record_checkpoint,
        }

    async def heartbeat(self, request: pb.HeartbeatRequest, call: CallContext) -> Any:
        self.senders.add(call.identity.name)
        self.held.update({r.chunk_id: r.length for r in request.added})
        for chunk_id in request.removed:
            self.held.pop(chunk_id, None)
        return pb.HeartbeatResponse(epoch=self.epoch, is_leader=True, chunk_key_epoch=1)

    async def chunk_keys(self, request: pb.ChunkKeysRequest, call: CallContext) -> Any:
        return pb.ChunkKeysResponse(keys=[pb.ChunkKey(epoch=1, key=CHUNK_KEY)])

    async def record_checkpoint(
        self, request: pb.RecordAuditCheckpointRequest, call: CallContext
    ) -> Any:
        assert request.checkpoint.node == call.identity.uri
        self.checkpoints.append(request.checkpoint)
        return pb.RecordAuditCheckpointResponse()

    async def full_report(self, request: pb.FullReportRequest, call: CallContext) -> Any:
        self.held.update({r.chunk_id: r.length for r in request.replicas})
        return pb.FullReportResponse()


class Running:
    """The role with its framed listener, one master that answers and one that does not."""

    def __init__(self, role: ChunkserverRole, master: FakeMaster, pool: ConnectionPool) -> None:
        self.role = role
        self.master = master
        self.pool = pool
        self.supervisor: Supervisor
        self.listen = ""

    async def write(self, chunk_id: int, content: bytes, epoch: int = 3) -> None:
        targets = (Replica("c1", self.listen),)
        capability = token("alice", chunk_id)
        chunk = AllocatedChunk(chunk_id, 1, epoch, targets, capability=capability)
        writer = await ChunkWriter.open(
            chunk, lambda node_id, listen: self.pool.channel("chunkserver", node_id, listen)
        )
        await writer.write(content)
        await writer.finish()

    def page(self) -> Any:
        return self.role.pages["/chunks/state"]()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    certs = make_cluster_certs(
        tmp_path / "certs", {"c1": "chunkserver", "m1": "master", "alice": "user"}
    )
    master = FakeMaster(3)
    masters = FramedServer(master.handlers(), TlsStore.load(certs["m1"]), "master")
    master_listen = await masters.start("127.0.0.1:0")
    config = NodeConfig(
        role="chunkserver", node_id="c1", data_dir=str(tmp_path / "c1"), listen="127.0.0.1:7100",
        grpc_listen="-", http_listen="-", masters=[f"m1={master_listen}", "m2=127.0.0.1:1"],
        tls=certs["c1"], reserved_bytes=0, heartbeat_ms=50,
    )  # fmt: skip
    supervisor = Supervisor()
    tls = TlsStore.load(certs["c1"])
    role = await ChunkserverRole.make(Node(config, tls, supervisor, SystemClock()))
    server = FramedServer(role.handlers, tls, "chunkserver")
    found = Running(role, master, ConnectionPool(TlsStore.load(certs["alice"])))
    found.supervisor = supervisor
    found.listen = await server.start("127.0.0.1:0")
    await role.start()
    yield found
    await found.pool.close()
    await server.stop(100)
    await role.stop()
    await supervisor.stop()
    await masters.stop(100)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_it_is_ready_when_a_leader_answers_and_shows_its_state(running: Running) -> None:
    await _until(lambda: running.role.ready()[0])
    assert running.role.ready()[1]["leader"] == "m1"
    await running.write(7, b"content")
    await _until(lambda: running.master.held == {7: 7})
    assert running.master.senders == {"c1"}
    page = running.page()
    assert (page["count"], page["epoch"], page["masters"]) == (1, 3, {"m1": True, "m2": False})
    assert page["used_bytes"] > 7
    assert page["free_bytes"] > 0
    assert page["streams"] == {"write": 0, "read": 0}
    assert running.role.health()["status"] == "ok"


async def test_an_audit_trail_that_cannot_be_written_is_said(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = running.role._audit._trail
    assert running.role._state().audit_problem == ""
    monkeypatch.setattr(trail._writer, "problem", "/a: No space left on device")
    assert running.role._state().audit_problem == "/a: No space left on device"
    assert running.role.health()["status"] == "degraded"


async def test_the_epoch_of_the_masters_fences_writers(running: Running) -> None:
    await _until(lambda: running.page()["epoch"] == 3)
    with pytest.raises(PipelineBroken) as broken:
        await running.write(7, b"content", epoch=2)
    assert isinstance(broken.value.__cause__, StaleEpoch)
    assert running.page()["count"] == 0


async def test_a_ping_names_the_node(running: Running) -> None:
    channel = running.pool.channel("chunkserver", "c1", running.listen)
    answer = await channel.unary(
        "/pydfs.v1.Node/Ping", pb.PingRequest(payload=b"hello"), timeout_ms=5000
    )
    assert (answer.payload, answer.node_id, answer.role) == (b"hello", "c1", "chunkserver")


async def test_its_trail_tells_of_its_life_and_the_masters_get_checkpoints(
    running: Running, tmp_path: Path
) -> None:
    await _until(lambda: running.page()["epoch"] == 3)
    peer = running.pool.channel("chunkserver", "c1", running.listen)
    with pytest.raises(CapabilityRefused):
        await chunk_state(peer, 7, 5000, token("bob", 7))
    await _until(lambda: running.master.checkpoints)
    await running.role.stop()
    (report,) = verify_trails(
        [tmp_path / "c1-audit"], [from_message(each) for each in running.master.checkpoints]
    )
    assert (report.bad, report.node, report.notes) == ("", "c1", [])
    assert report.proven_seq >= running.master.checkpoints[0].seq > 0
    (trail,) = (tmp_path / "c1-audit").iterdir()
    records = [FORMATS["json"].parse(line) for line in trail.read_bytes().splitlines()]
    told = [record.cmd for record in records if record.cmd != "checkpoint"]
    assert told == ["begin", "chunkKeys", "getReplicaVisibleLength", "end"]


async def test_a_failed_sync_stops_the_node(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(PipelineBroken):
        await running.write(7, b"content")
    async with asyncio.timeout(20):
        assert await running.supervisor.run_until_stopped() == 70
    assert isinstance(running.supervisor.failure, DurabilityFailure)

"""One master in this process: its real store, log, driver and handlers, without listeners."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydfsnode.config import NodeConfig, RaftTiming
from pydfsnode.roles.base import Node
from pydfsnode.roles.master.role import MasterRole
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.security.identity import Identity
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

CLIENT_ID = 77


class VirtualClock:
    """A monotonic clock that jumps on command but never stands still for the driver's ticks."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def monotonic_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000) + self.ahead_ms

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.monotonic_ms()


def node_config(directory: Path, **changes: Any) -> NodeConfig:
    """The configuration of master m1 in *directory*, with certificates made there."""
    certs = make_cluster_certs(directory / "certs", {"m1": "master"})
    fields: dict[str, Any] = {
        "role": "master",
        "node_id": "m1",
        "data_dir": str(directory / "data"),
        "listen": "127.0.0.1:7001",
        "grpc_listen": "127.0.0.1:7002",
        "http_listen": "127.0.0.1:7003",
        "masters": ["m1=127.0.0.1:7001"],
        "tls": certs["m1"],
        "dead_after_ms": 1000,
        "bootstrap": True,
        "raft": RaftTiming(tick_ms=5, heartbeat_ms=20, election_timeout_ms=40),
    }
    return NodeConfig(**{**fields, **changes})


class Master:
    """`start`, then `call`; `stop` closes everything, so that another may open the directory."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.clock = VirtualClock()
        self.seq = 0

    async def start(self, *, elect: bool = True) -> Master:
        Path(self.config.data_dir).mkdir(exist_ok=True, parents=True)
        self.supervisor = Supervisor()
        tls = TlsStore.load(self.config.tls)
        node = Node(self.config, tls, self.supervisor, self.clock)
        self.role = await MasterRole.make(node)
        await self.role.start()
        while elect and not self.role.ready()[0]:
            await asyncio.sleep(0)
        return self

    async def stop(self) -> None:
        await self.role.stop()
        await self.supervisor.stop()

    def op(self) -> pb.OpId:
        self.seq += 1
        return pb.OpId(client_id=CLIENT_ID, seq=self.seq, first_unacked=1)

    async def call(self, path: str, request: Any, role: str = "user", name: str = "alice") -> Any:
        """What the handler of *path* answers to *request* of that caller."""
        identity = Identity("testcluster", role, name)
        context = CallContext(identity, METHODS[path])
        return await self.role.handlers[path](request, context)

    async def namespace(self, method: str, request: Any) -> Any:
        return await self.call(f"/pydfs.v1.Namespace/{method}", request)

    async def heartbeat(self, node_id: str, **fields: Any) -> pb.HeartbeatResponse:
        request = pb.HeartbeatRequest(
            **{
                "listen": f"{node_id}.test:1",
                "free_bytes": 1 << 40,
                "incarnation": 1,
                **fields,
            }
        )
        path = "/pydfs.v1.Fleet/Heartbeat"
        response = await self.call(path, request, "chunkserver", node_id)
        assert isinstance(response, pb.HeartbeatResponse)
        return response

    async def report(self, node_id: str, replicas: list[tuple[int, int, int]]) -> None:
        """A full report of one page."""
        request = pb.FullReportRequest(
            incarnation=1,
            first=True,
            last=True,
            replicas=[pb.ReplicaReport(chunk_id=c, version=v, length=n) for c, v, n in replicas],
        )
        await self.call("/pydfs.v1.Fleet/FullReport", request, "chunkserver", node_id)

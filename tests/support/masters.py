"""One master in this process: its real store, log, driver and handlers, without listeners."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any

from pydfsnode.config import NodeConfig, RaftTiming, TlsFiles
from pydfsnode.errors import ClusterError, Retry
from pydfsnode.roles.base import Node
from pydfsnode.roles.master.role import MasterRole
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.supervisor import Supervisor
from pydfsnode.security.identity import Identity
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.directory import ClaimedDirectory, claim_directory
from tests.support.certs import make_cluster_certs

CLIENT_ID = 77


class VirtualClock:
    """A monotonic clock that jumps on command but never stands still for the driver's ticks."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self._time_s = asyncio.get_running_loop().time  # metrics are read after the loop's end too

    def monotonic_ms(self) -> int:
        return int(self._time_s() * 1000) + self.ahead_ms

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.monotonic_ms()


def node_config(directory: Path, name: str = "m1", **changes: Any) -> NodeConfig:
    """The configuration of a master in *directory*, with certificates made there if not given."""
    if "tls" not in changes:
        changes["tls"] = make_cluster_certs(directory / "certs", {name: "master"})[name]
    fields: dict[str, Any] = {
        "role": "master",
        "node_id": name,
        "data_dir": str(directory / "data"),
        "listen": "127.0.0.1:7001",
        "grpc_listen": "127.0.0.1:7002",
        "http_listen": "127.0.0.1:7003",
        "masters": ["m1=127.0.0.1:7001"],
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

    async def call(self, path: str, request: Any, role: str = "admin", name: str = "alice") -> Any:
        """What the handler of *path* answers to *request* of that caller."""
        identity = Identity("testcluster", role, name)
        context = CallContext(identity, METHODS[path])
        return await self.role.handlers[path](request, context)

    async def namespace(self, method: str, request: Any) -> Any:
        """As a superuser, who may write into the root."""
        return await self.call(f"/pydfs.v1.Namespace/{method}", request, "admin")

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


CALL_SECONDS_MAX = 20
GROUP_TIMING = RaftTiming(tick_ms=10, heartbeat_ms=50, election_timeout_ms=400)


class Group:
    """Masters of one cluster that reach each other over real connections."""

    def __init__(self, directory: Path, names: tuple[str, ...], **changes: Any) -> None:
        self.directory = directory
        self.changes = {"raft": GROUP_TIMING, **changes}
        self.listen: dict[str, str] = {}
        self._tls: dict[str, TlsFiles] = {}
        self.masters: dict[str, Master] = {}
        self._servers: dict[str, FramedServer] = {}
        self._claimed: dict[str, ClaimedDirectory] = {}
        self._configured = [f"{name}={self._address(name)}" for name in names]

    def _address(self, name: str) -> str:
        if name not in self.listen:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.listen[name] = f"127.0.0.1:{free.getsockname()[1]}"
        return self.listen[name]

    def config(self, name: str, **changes: Any) -> NodeConfig:
        listen = self._address(name)
        if name not in self._tls:
            certs = make_cluster_certs(self.directory / "certs", {name: "master"})
            self._tls[name] = certs[name]
        known = {peer.partition("=")[0] for peer in self._configured}
        masters = self._configured if name in known else [*self._configured, f"{name}={listen}"]
        return node_config(
            self.directory,
            name,
            **{
                "data_dir": str(self.directory / name),
                "listen": listen,
                "masters": masters,
                "tls": self._tls[name],
                **self.changes,
                **changes,
            },
        )

    async def start(self, *names: str, **changes: Any) -> None:
        for name in names:
            config = self.config(name, **changes)
            claimed = claim_directory(Path(config.data_dir), "testcluster", "master", name)
            self._claimed[name] = claimed
            master = self.masters[name] = Master(config)
            await master.start(elect=False)
            tls = TlsStore.load(master.config.tls)
            server = self._servers[name] = FramedServer(master.role.handlers, tls, "master")
            await server.start(master.config.listen)

    async def stop(self, *names: str) -> None:
        for name in names or tuple(self.masters):
            master = self.masters.pop(name)
            master.supervisor.stopping.set()
            await master.role.left()
            await self._servers.pop(name).stop(0)
            await master.stop()
            self._claimed.pop(name).release()

    def wipe(self, name: str) -> None:
        """Lose the disk of a stopped master."""
        shutil.rmtree(self.directory / name)

    async def leader(self, *, but: str = "") -> str:
        """The name of the one that leads, not *but*; waits for it."""
        while True:
            for name, master in self.masters.items():
                if name != but and master.role.health()["raft_role"] == "leader":
                    return name
            await asyncio.sleep(0.005)

    async def call(self, path: str, request: Any, role: str = "admin") -> Any:
        """The leader's answer; as a client would, asks again when there is none."""
        async with asyncio.timeout(CALL_SECONDS_MAX):
            while True:
                try:
                    return await self.masters[await self.leader()].call(path, request, role)
                except ClusterError as error:
                    if error.retry is Retry.NEVER:
                        raise
                    await asyncio.sleep(0.005)

    async def cluster(self, method: str, request: Any) -> Any:
        return await self.call(f"/pydfs.v1.Cluster/{method}", request)

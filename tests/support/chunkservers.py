"""Chunkservers inside the test's process, over real loopback mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.model import AllocatedChunk, ChunkLocation, Replica
from pydfsnode.client.wire_chunks import ChunkPeer
from pydfsnode.roles.chunkserver.admission import ChunkAdmission
from pydfsnode.roles.chunkserver.service import ChunkService
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security.capability import Operation
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore
from tests.support.certs import make_cluster_certs

EPOCH = 5


class AdmitAll(ChunkAdmission):
    """For tests of what comes behind it."""

    def __init__(self) -> None:
        pass

    async def require(
        self, call: CallContext, token: bytes, chunk_id: int, version: int, operation: Operation
    ) -> None:
        """See ChunkAdmission."""


class Chunkserver:
    """One server: its store and its framed listener, without heartbeats."""

    def __init__(self, node_id: str, directory: Path, store: ChunkStore, tls: TlsStore) -> None:
        self.node_id = node_id
        self.tls = tls
        self.directory = directory
        self.store = store
        self.epoch = EpochFile(directory)
        self.clock = ManualClock()
        self.pool = ConnectionPool(tls)
        self.keys = ChunkKeys()
        """Of `ChunkAdmission`, where a test puts one into the place of `AdmitAll`."""
        self.service = ChunkService(
            node_id, store, self.epoch, self.connect, self.clock, AdmitAll()
        )
        self.server = FramedServer(self.service.handlers(), tls, "chunkserver")
        self.listen = ""

    @property
    def replica(self) -> Replica:
        """As clients reach it."""
        return Replica(self.node_id, self.listen)

    def connect(self, node_id: str, listen: str) -> ChunkPeer:
        """To another server."""
        return self.pool.channel("chunkserver", node_id, listen)

    def file(self, chunk_id: int, version: int = 1) -> Path:
        """A chunk's file."""
        folder = self.directory / "chunks" / f"{chunk_id % 256:02x}"
        return folder / f"{chunk_id:016x}.{version}"

    def flip(self, chunk_id: int, position: int, version: int = 1) -> None:
        """Damage one bit of a chunk's file."""
        content = bytearray(self.file(chunk_id, version).read_bytes())
        content[position] ^= 1
        self.file(chunk_id, version).write_bytes(content)

    async def die(self) -> None:
        """Cut all connections at once, as a killed process does."""
        for task in self.server._accepting:
            task.cancel()
        await asyncio.gather(*self.server._accepting, return_exceptions=True)
        for listener in self.server._listeners:
            listener.close()
        for connection in list(self.server.connections):
            connection.abort()
        await self.pool.close()


class ChunkCluster:
    """Several servers and one client."""

    def __init__(self, servers: dict[str, Chunkserver], client: TlsStore) -> None:
        self.servers = servers
        self.client = ConnectionPool(client)

    def __getitem__(self, node_id: str) -> Chunkserver:
        return self.servers[node_id]

    def connect(self, node_id: str, listen: str) -> ChunkPeer:
        """The client's way to a server."""
        return self.client.channel("chunkserver", node_id, listen)

    def allocated(self, chunk_id: int, *names: str, epoch: int = EPOCH) -> AllocatedChunk:
        """A new chunk on *names* (default: all)."""
        targets = tuple(self.servers[name].replica for name in names or self.servers)
        return AllocatedChunk(chunk_id, 1, epoch, targets)

    def location(
        self, chunk_id: int, length: int, crc: int, *names: str, version: int = 1
    ) -> ChunkLocation:
        """Where the masters would say that it is."""
        replicas = tuple(self.servers[name].replica for name in names or self.servers)
        return ChunkLocation(chunk_id, version, 0, length, crc, replicas)


@contextlib.asynccontextmanager
async def chunk_cluster(directory: Path, count: int = 3) -> AsyncIterator[ChunkCluster]:
    """*count* running servers `c1`, `c2`, ... and a client of role user."""
    names = [f"c{number + 1}" for number in range(count)]
    roles = {**dict.fromkeys(names, "chunkserver"), "alice": "user"}
    certs = make_cluster_certs(directory / "certs", roles)
    servers = {}
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            store = await ChunkStore.open(directory / name, 0)
            server = Chunkserver(name, directory / name, store, TlsStore.load(certs[name]))
            stack.push_async_callback(store.close)
            stack.push_async_callback(server.pool.close)
            server.listen = await server.server.start("127.0.0.1:0")
            stack.push_async_callback(server.server.stop, 100)
            servers[name] = server
        cluster = ChunkCluster(servers, TlsStore.load(certs["alice"]))
        stack.push_async_callback(cluster.client.close)
        yield cluster

"""Masters and chunkservers in memory: the real namespace and service behind the real wire layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.client.chunk_io import Packet
from pydfsnode.client.consistency import LINEARIZABLE, Consistency
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.filesystem_base import CREATION_DEFAULT, Creation
from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkDone, ChunkLocation
from pydfsnode.client.patience import Patience
from pydfsnode.client.read_hedge import ReadCounts
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import ChunkUnavailable, NoChunkservers, PipelineBroken, PydfsError
from pydfsnode.meta.results import Rejected
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.service.namespace import NamespaceService
from pydfsnode.roles.master.service.writing import FileDefaults
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security.identity import Identity
from tests.support.capabilities import give_key

ANN = Identity("testcluster", "admin", "ann")
"""A superuser: she may write to the root."""
BOB = Identity("testcluster", "user", "bob")


class FakeConsensus:
    """Applies at once: a cluster of one that never fails, and that can be told to be behind."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.node_id = "m1"
        self.term = 7
        self.leader_hint = "m1=10.0.0.1:7001"
        self.proposed: list[Any] = []
        self.is_leader = True
        self.has_state = True
        self.staleness: int | None = 0
        self.barriers: list[str] = []

    def wall_ms(self) -> int:
        return 1_700_000_000_000

    def require_leader(self) -> None:
        return

    async def read(self) -> Namespace:
        return self.namespace

    async def leader_barrier(self) -> None:
        self.barriers.append("leader")

    async def any_barrier(self) -> None:
        self.barriers.append("any")

    async def lease_barrier(self) -> None:
        self.barriers.append("lease")

    def holds_lease(self) -> bool:
        return self.is_leader

    def staleness_ms(self) -> int | None:
        return self.staleness

    def read_inline(self, content_id: int) -> bytes:
        content = self.namespace.tree.inline.get(content_id)
        assert content is not None
        return content

    async def propose(self, op: Any, _result: type) -> Any:
        self.proposed.append(op)
        outcome = self.namespace.apply(op, self.namespace.applied_index + 1)
        if isinstance(outcome, Rejected):
            raise outcome.error()
        return outcome.result


class FakeFleet:
    """Chunkservers c1..cN; places on the first `replication` that are not excluded."""

    def __init__(self, servers: Sequence[str]) -> None:
        self.servers = list(servers)
        self.readable_by_chunk: dict[int, list[str]] = {}
        self.excluded: list[list[str]] = []
        self.suspected: list[tuple[int, str]] = []

    def choose_targets(
        self, replication: int, exclude: Sequence[str], _size: int, _host: str = ""
    ) -> tuple[str, ...]:
        self.excluded.append(list(exclude))
        found = [name for name in self.servers if name not in exclude][:replication]
        if not found:
            raise NoChunkservers("nobody is left")
        return tuple(found)

    def listen_of(self, node_id: str) -> str:
        return f"{node_id}.test:7000"

    def write_failed(self, _node_ids: Sequence[str]) -> None:
        pass

    def rack_of(self, _node_id: str) -> str:
        return "/default"

    def readable(self, chunk_id: int) -> list[str]:
        return self.readable_by_chunk.get(chunk_id, self.servers)

    def holds(self, _chunk_id: int, _node_id: str) -> bool:
        return True

    def suspect(self, chunk_id: int, node_id: str, _who: str) -> None:
        self.suspected.append((chunk_id, node_id))


class FakeRouter:
    """Calls the service's handlers as *identity*; `before` may raise for a call (path, request)."""

    def __init__(self, service: NamespaceService, identity: Identity = ANN) -> None:
        self._context = CallContext(identity, METHODS["/pydfs.v1.Namespace/Stat"])
        self._handlers: dict[str, Any] = dict(service.handlers())
        self.calls: list[str] = []
        self.hints: list[str] = []
        self.any_master: list[str] = []  # those of the calls that any master may answer
        self.before: Callable[[str, Any], None] = lambda _path, _request: None

    async def call(
        self,
        path: str,
        request: bytes,
        *,
        timeout_ms: int,
        final: tuple[type[PydfsError], ...] = (),
        changes: bool = False,
    ) -> bytes:
        assert path in METHODS
        self.calls.append(path.rpartition("/")[2])
        sent = rpc_of(path).parse_request(request)
        assert changes is ("op" in sent.DESCRIPTOR.fields_by_name)
        self.before(path, sent)
        answer = await self._handlers[path](sent, self._context)
        encoded: bytes = answer.SerializeToString()
        return encoded

    async def read_any(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        self.any_master.append(path.rpartition("/")[2])
        return await self.call(path, request, timeout_ms=timeout_ms)

    def hinted(self, leader_hint: str) -> None:
        self.hints.append(leader_hint)

    def waiting_because(self) -> str | None:
        return None


class FakeSink:
    """A pipeline into the servers' memory that breaks where `FakeChunks.breaks` says."""

    def __init__(self, chunks: FakeChunks, chunk: AllocatedChunk) -> None:
        self._chunks = chunks
        self.chunk = self._chunk = chunk
        self._received = bytearray(chunks.base_of(chunk))
        self.acked_bytes = len(self._received)
        self.cancelled = False

    async def write(self, packet: Packet) -> None:
        self._received += packet
        for target in self._chunk.targets:
            self._chunks.stored[target.node_id, self._chunk.chunk_id] = (
                self._chunk.version,
                bytes(self._received),
            )
        self._chunks.maybe_break("write", self._chunk, self)
        self.acked_bytes = len(self._received)

    async def finish(self) -> ChunkDone:
        self._chunks.maybe_break("finish", self._chunk, self)
        data = bytes(self._received)
        self._chunks.flushed[self._chunk.chunk_id] = (self._chunk.version, len(data))
        return ChunkDone(self._chunk.chunk_id, self._chunk.version, len(data), crc32c(data))

    async def flush(self) -> None:
        self._chunks.maybe_break("flush", self._chunk, self)
        self._chunks.flushed[self._chunk.chunk_id] = (self._chunk.version, len(self._received))

    def acked_base(self) -> ChunkBase | None:
        chunk, base = self._chunk, self._chunk.base
        if self.acked_bytes <= (base.length if base is not None else 0):
            return base
        acked = bytes(self._received[: self.acked_bytes])
        return ChunkBase(
            chunk.chunk_id, chunk.version, len(acked), crc32c(acked), chunk.targets
        )  # fmt: skip

    async def cancel(self) -> None:
        self.cancelled = True


class FakeChunks:
    """The chunkservers: (server, chunk id) to (version, bytes)."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, int], tuple[int, bytes]] = {}
        self.dead: set[str] = set()
        self.flushed: dict[int, tuple[int, int]] = {}
        self.sinks: list[FakeSink] = []
        self.breaks: Callable[[str, AllocatedChunk, FakeSink | None], str | None] = (
            lambda _step, _chunk, _sink: None
        )
        self.reads: list[tuple[int, int, int]] = []
        self.read_ahead_bytes = limits.READ_AHEAD_BYTES_DEFAULT
        self.timeout_ms: int | None = None
        self.counts = ReadCounts()
        self.before_read: Callable[[ChunkLocation], None] = lambda _chunk: None

    def maybe_break(self, step: str, chunk: AllocatedChunk, sink: FakeSink | None) -> None:
        failed = self.breaks(step, chunk, sink)
        if failed is not None:
            raise PipelineBroken(f"broken at {step}", failed_node_id=failed)

    def base_of(self, chunk: AllocatedChunk) -> bytes:
        """What the chunk begins with; its servers have it then."""
        base = chunk.base
        if base is None:
            return b""
        content = next(
            self.stored[source.node_id, base.chunk_id][1][: base.length]
            for source in base.sources
            if source.node_id not in self.dead and (source.node_id, base.chunk_id) in self.stored
        )
        assert (len(content), crc32c(content)) == (base.length, base.crc32c)
        for target in chunk.targets:
            self.stored[target.node_id, chunk.chunk_id] = (chunk.version, content)
        return content

    async def state(self, chunk: ChunkLocation) -> tuple[int, int] | None:
        return self.flushed.get(chunk.chunk_id)

    async def open_sink(self, chunk: AllocatedChunk) -> FakeSink:
        self.maybe_break("open", chunk, None)
        sink = FakeSink(self, chunk)
        self.sinks.append(sink)
        return sink

    async def read(
        self, chunk: ChunkLocation, offset: int, length: int, timeout_ms: int | None = None
    ) -> list[Packet]:
        self.reads.append((chunk.chunk_id, offset, length))
        self.before_read(chunk)
        for replica in chunk.replicas:
            version, data = self.stored.get((replica.node_id, chunk.chunk_id), (0, b""))
            if replica.node_id not in self.dead and version == chunk.version:
                if chunk.crc32c:  # else it is still being written
                    assert len(data) == chunk.length, "the masters believe in another length"
                    assert crc32c(data) == chunk.crc32c, "the masters believe in another checksum"
                found = data[offset : offset + length]
                middle = len(found) // 2
                return [memoryview(found[:middle]), memoryview(found[middle:])]
        raise ChunkUnavailable("no replica could be read")

    async def close(self) -> None:
        return


class FakeCluster:
    """Everything together; `connect` gives a client of it."""

    def __init__(
        self,
        chunk_bytes: int,
        servers: Sequence[str] = ("c1", "c2", "c3"),
        consistency: Consistency = LINEARIZABLE,
        *,
        groups: dict[str, list[str]] | None = None,
        inline_total_bytes_max: int = limits.MIB,
    ) -> None:
        self.namespace = Namespace()
        give_key(self.namespace)
        self.consensus = FakeConsensus(self.namespace)
        self.fleet = FakeFleet(servers)
        self.allocation = Allocation(
            cast(Any, self.consensus), cast(Any, self.fleet), self.namespace
        )
        self.defaults = FileDefaults(3, chunk_bytes, inline_total_bytes_max=inline_total_bytes_max)
        self.service = NamespaceService(
            cast(Any, self.consensus),
            self.allocation,
            cast(Any, self.fleet),
            self.defaults,
            callers=Callers(groups),
            consistency=consistency,
        )
        self.chunks = FakeChunks()
        self.clock = ManualClock()
        self.router = FakeRouter(self.service)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(max(1, int(seconds * 1000)))

    def connect(
        self,
        parallel: int = 4,
        consistency: str | None = None,
        creation: Creation = CREATION_DEFAULT,
        identity: Identity = ANN,
    ) -> AsyncFileSystem:
        router = self.router if identity == ANN else FakeRouter(self.service, identity)
        calls = MasterCalls(router, OpSession(), 10_000)
        patience = Patience(self.clock, 10_000, random=lambda: 0.5, sleep=self.sleep)
        return AsyncFileSystem(
            calls,
            self.chunks,
            patience,
            creation=creation,
            parallel=parallel,
            consistency=consistency,
        )

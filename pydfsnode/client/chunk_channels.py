"""The chunk path over real connections: chooses replicas, hedges reads, reports bad ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pydfsnode import limits
from pydfsnode.client import wire_chunks
from pydfsnode.client.chunk_io import ChunkSink, Packet
from pydfsnode.client.chunk_reader import ChunkReader
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, ChunkLocation
from pydfsnode.client.read_hedge import Hedging, ReadCounts
from pydfsnode.client.replica_choice import NowMs, ReplicaChoice, fine_ms
from pydfsnode.client.wire import MasterCalls
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import PydfsError
from pydfsnode.obs.log import get_logger

READ_STALL_MS = 10_000  # limits.py candidate
"""The last replica to be asked has failed when it sends nothing for so long."""
STATE_TIMEOUT_MS = 3_000
"""Another server is asked how long an open chunk is when one does not say it."""
REPORTS_MAX = 64  # limits.py candidate
"""Reports of bad replicas under way at once; more are dropped: the scrub finds them too."""

_log = get_logger("client.chunks")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a client reads chunks, as client.toml says it."""

    rack: str = ""
    hedged: bool = True
    read_ahead_bytes: int = limits.READ_AHEAD_BYTES_DEFAULT
    timeout_ms: int | None = None
    """Of what is written too: so long nothing goes on, at most."""


READING_DEFAULT = Reading()


class ChannelChunkIO:
    """A `ChunkIO` for one client."""

    def __init__(
        self,
        connect: Connect,
        calls: MasterCalls,
        reading: Reading = READING_DEFAULT,
        now_ms: NowMs = fine_ms,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Args:
        connect: (node id, "host:port") to a connection to that chunkserver.
        now_ms, chance: a clock and a source of random numbers in [0, 1).
        """
        self.read_ahead_bytes = reading.read_ahead_bytes
        self.timeout_ms = reading.timeout_ms
        self._connect = connect
        self._calls = calls
        self._choice = ReplicaChoice(reading.rack, now_ms, chance)
        self._hedging = Hedging(enabled=reading.hedged)
        self._reader = ChunkReader(
            connect, self._choice, self._hedging, self._report_bad, READ_STALL_MS, now_ms
        )
        self._reports: set[asyncio.Task[None]] = set()

    @property
    def counts(self) -> ReadCounts:
        """See ChunkIO."""
        return replace(self._hedging.counts)

    async def open_sink(self, chunk: AllocatedChunk) -> ChunkSink:
        """See ChunkIO."""
        return await ChunkWriter.open(chunk, self._connect, self.timeout_ms)

    async def state(self, chunk: ChunkLocation) -> tuple[int, int] | None:
        """See ChunkIO. The first of the pipeline shows the least, which all have."""
        timeout_ms = min(STATE_TIMEOUT_MS, self.timeout_ms or STATE_TIMEOUT_MS)
        for replica in chunk.replicas:
            try:
                peer = self._connect(replica.node_id, replica.listen)
                version, length, _ = await wire_chunks.chunk_state(
                    peer, chunk.chunk_id, timeout_ms, chunk.capability
                )
            except PydfsError as error:
                _log.debug("no state", chunk_id=chunk.chunk_id, error=str(error))
            else:
                return version, length
        return None

    async def read(
        self, chunk: ChunkLocation, offset: int, length: int, timeout_ms: int | None = None
    ) -> Sequence[Packet]:
        """See ChunkIO. Reads at the same time are spread over the replicas."""
        replicas = self._choice.in_order(chunk.replicas, length)
        packets = self._reader.read(chunk, offset, length, replicas, timeout_ms)
        return [view async for view in packets]

    def _report_bad(self, chunk_id: int, node_id: str, reason: str) -> None:
        if len(self._reports) >= REPORTS_MAX:
            return
        task = asyncio.get_running_loop().create_task(self._report(chunk_id, node_id, reason))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report(self, chunk_id: int, node_id: str, reason: str) -> None:
        _log.warning("bad replica", chunk_id=chunk_id, node_id=node_id, reason=reason)
        try:
            await self._calls.report_bad_replica(chunk_id, node_id, reason)
        except PydfsError as error:
            # The read itself goes on with another replica; the next reader reports again.
            _log.warning("bad replica not reported", chunk_id=chunk_id, error=str(error))

    async def close(self) -> None:
        """Wait for the reports under way."""
        await asyncio.gather(*self._reports, return_exceptions=True)

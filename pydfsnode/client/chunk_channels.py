"""The chunk path over real connections: picks replicas, avoids failed ones, reports bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydfsnode.client.chunk_io import ChunkSink, Packet
from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.client.model import AllocatedChunk, ChunkLocation, Replica
from pydfsnode.client.wire import MasterCalls
from pydfsnode.client.wire_chunks import ChunkPeer, Connect
from pydfsnode.errors import PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.runtime.clock import Clock

READ_STALL_MS = 10_000  # limits.py candidate
"""A replica that sends nothing for so long is left for another."""
SUSPECT_MS = 30_000  # limits.py candidate
"""How long a chunkserver that failed a read is asked last."""
REPORTS_MAX = 64  # limits.py candidate
"""Reports of bad replicas under way at once; more are dropped: the scrub finds them too."""

_log = get_logger("client.chunks")


class ChannelChunkIO:
    """A `ChunkIO` for one client."""

    def __init__(self, connect: Connect, calls: MasterCalls, clock: Clock) -> None:
        """Args: connect: (node id, "host:port") to a connection to that chunkserver."""
        self._connect = connect
        self._calls = calls
        self._clock = clock
        self._suspect_until_ms: dict[str, int] = {}
        self._reports: set[asyncio.Task[None]] = set()

    async def open_sink(self, chunk: AllocatedChunk) -> ChunkSink:
        """See ChunkIO."""
        return await ChunkWriter.open(chunk, self._connect)

    async def read(self, chunk: ChunkLocation, offset: int, length: int) -> Sequence[Packet]:
        """See ChunkIO. Ranges are spread over the replicas; suspects are asked last."""
        asked: list[str] = []

        def connect(node_id: str, listen: str) -> ChunkPeer:
            asked.append(node_id)
            return self._connect(node_id, listen)

        location = ChunkLocation(
            chunk.chunk_id,
            chunk.version,
            chunk.offset,
            chunk.length,
            chunk.crc32c,
            self._in_order(chunk.replicas, offset + length),
        )
        answered = False
        try:
            packets = read_chunk(location, offset, length, connect, self._report_bad, READ_STALL_MS)
            found = [packet async for packet in packets]
            answered = True
            return found
        finally:
            # The reader goes from one to the next only when one fails: all but the last did.
            self._suspect(asked[:-1] if answered else asked)

    def _in_order(self, replicas: tuple[Replica, ...], seed: int) -> tuple[Replica, ...]:
        if not replicas:
            return replicas
        first = (seed >> 20) % len(replicas)  # ranges differ in their MiB
        rotated = replicas[first:] + replicas[:first]
        if not self._suspect_until_ms:
            return rotated
        now = self._clock.monotonic_ms()
        return tuple(
            sorted(
                rotated, key=lambda replica: self._suspect_until_ms.get(replica.node_id, 0) > now
            )
        )

    def _suspect(self, node_ids: Sequence[str]) -> None:
        now = self._clock.monotonic_ms()
        if len(self._suspect_until_ms) > 1024:  # servers come and go; forget those forgiven
            self._suspect_until_ms = {
                name: until for name, until in self._suspect_until_ms.items() if until > now
            }
        for node_id in node_ids:
            self._suspect_until_ms[node_id] = now + SUSPECT_MS

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

"""What the file streams need from the chunk path; `chunk_channels.py` does it with real servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkDone, ChunkLocation

if TYPE_CHECKING:
    from pydfsnode.client.read_hedge import ReadCounts

Packet = bytes | memoryview
"""Bytes that nobody changes any more."""


class ChunkSink(Protocol):
    """A chunk being written through its pipeline."""

    @property
    def acked_bytes(self) -> int:
        """How many bytes every server of the pipeline has received."""
        ...

    async def write(self, packet: Packet) -> None:
        """Hand over the next bytes; waits while the pipeline is full.

        Raises:
            PipelineBroken: a server failed; `fields["failed_node_id"]` names it when known.
        """
        ...

    async def flush(self) -> None:
        """On return every server has all that was written, and readers may see it.

        Raises:
            PipelineBroken: as in `write`.
        """
        ...

    def acked_base(self) -> ChunkBase | None:
        """What was acknowledged, for the chunk's next version to begin with.

        None: nothing of this chunk's own; of one that continues another, that other one.
        """
        ...

    async def finish(self) -> ChunkDone:
        """End the chunk; on return it is on disk in every server of the pipeline.

        Raises:
            PipelineBroken: as in `write`.
        """
        ...

    async def cancel(self) -> None:
        """Let go of the stream; harmless after a failure and when called twice."""
        ...


class ChunkIO(Protocol):
    """The chunkservers."""

    read_ahead_bytes: int
    """How much a reader of a file may have in flight or waiting to be consumed."""
    timeout_ms: int | None
    """How long a writer of a file may wait while nothing goes on; None: it has time."""

    @property
    def counts(self) -> ReadCounts:
        """What was read so far, and how often from two replicas."""
        ...

    async def open_sink(self, chunk: AllocatedChunk) -> ChunkSink:
        """Begin to write a chunk; raises PipelineBroken when the first server does not answer."""
        ...

    async def state(self, chunk: ChunkLocation) -> tuple[int, int] | None:
        """(version, length) of what readers may see of a chunk that is being written; None: no
        server that is asked has anything of it."""
        ...

    async def read(
        self, chunk: ChunkLocation, offset: int, length: int, timeout_ms: int | None = None
    ) -> Sequence[Packet]:
        """Verified bytes [offset, offset + length) of a chunk, from whichever replica can.

        Args:
            timeout_ms: so long the caller waits while nothing comes; None: it has time.

        Raises:
            ChunkUnavailable: no replica could.
        """
        ...

    async def close(self) -> None:
        """Wait for what runs in the background; the connections are closed by their owner."""
        ...

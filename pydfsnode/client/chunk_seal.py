"""Ends a chunk whose pipeline broke: cut to what all had acknowledged, under a new version."""

from __future__ import annotations

from pydfsnode.client import wire_chunks
from pydfsnode.client.model import AllocatedChunk, ChunkDone, Replica
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import CorruptionError, StaleEpoch

SEAL_TIMEOUT_MS = 30_000


async def seal_replica(
    chunk: AllocatedChunk,
    replica: Replica,
    length: int,
    connect: Connect,
    *,
    new_version: int = 0,
    timeout_ms: int = SEAL_TIMEOUT_MS,
) -> ChunkDone:
    """Seal *chunk* on one server at *length* bytes as *new_version* (0: the next one); repeatable.

    When the masters elected a new leader since the chunk was allocated, the server names the epoch
    of now and is asked again with it: a writer's right to its chunk comes from its lease and the
    chunk's version, not from the leader that happened to allocate it.

    Raises:
        PydfsError: that server cannot do it.
    """
    peer = connect(replica.node_id, replica.listen)
    version = new_version or chunk.version + 1

    async def ask(epoch: int) -> tuple[int, int]:
        return await wire_chunks.seal(
            peer, chunk.chunk_id, chunk.version, version, length, epoch, timeout_ms
        )

    try:
        sealed_bytes, crc = await ask(chunk.epoch)
    except StaleEpoch as stale:
        sealed_bytes, crc = await ask(int(stale.fields.get("epoch", chunk.epoch)))
    if sealed_bytes != length:
        raise CorruptionError(
            f"chunk {chunk.chunk_id}: {replica.node_id} sealed {sealed_bytes} bytes, not {length}"
        )
    return ChunkDone(chunk.chunk_id, version, length, crc)

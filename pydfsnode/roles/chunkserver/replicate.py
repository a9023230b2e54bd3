"""Makes a replica here by pulling it from another chunkserver."""

from __future__ import annotations

from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.model import ChunkLocation
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import AlreadyExists
from pydfsnode.obs.log import get_logger
from pydfsnode.storage.chunk_store import ChunkStore

_log = get_logger("chunkserver.replicate")


async def replicate(
    store: ChunkStore, wanted: ChunkLocation, connect: Connect, is_sealed: bool = False,
    is_keyed: bool = False,
) -> None:  # fmt: skip
    """Pull the chunk from one of `wanted.replicas` and store it; on return it is durable here.

    Every packet is verified, and the whole against `wanted.crc32c` (0: not known) before it counts.
    A replica that is here already, and is good, is enough.

    Raises:
        ChunkUnavailable, CorruptionError: no source had it whole.
        StaleChunkVersion, DiskFull, StorageError: it cannot be stored here.
    """
    try:
        chunk = store.create(
            wanted.chunk_id, wanted.version, wanted.length, is_sealed=is_sealed, is_keyed=is_keyed
        )
    except AlreadyExists:
        store.find(wanted.chunk_id, wanted.version)
        return
    try:
        async for view in read_chunk(wanted, 0, wanted.length, connect, _note_bad):
            await chunk.append([view])
        await chunk.finish([], wanted.crc32c or None)
    except BaseException as error:
        await chunk.discard(f"its copy failed: {error}")
        raise


def _note_bad(chunk_id: int, node_id: str, reason: str) -> None:
    """The source reports its own damage; this is for the log of who saw it first."""
    _log.warning("a source is corrupt", chunk_id=chunk_id, source=node_id, error=reason)

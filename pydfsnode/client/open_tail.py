"""How much of a file that is being written readers see: what its writer flushed last, or more."""

from __future__ import annotations

import msgspec

from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.model import ChunkLocation, FileLocations


async def with_open_tail(found: FileLocations, chunks: ChunkIO) -> FileLocations:
    """*found* with what readers may see of the open chunk, and the size that the file has so.

    The masters do not hear of what is flushed: a server of the pipeline is asked, as in HDFS. When
    none answers the file is as long as the masters know it to be.
    """
    written = found.open_chunk
    if written is None:
        return found
    state = await chunks.state(written)
    if state is None:
        return found
    version, length = state
    replaced_bytes = sum(chunk.length for chunk in found.chunks if chunk.offset >= written.offset)
    if length <= replaced_bytes:
        return found
    tail = ChunkLocation(
        written.chunk_id, version, written.offset, length, 0, written.replicas,
        capability=written.capability,
    )  # fmt: skip
    return FileLocations(
        msgspec.structs.replace(found.status, size=written.offset + length),
        (*(chunk for chunk in found.chunks if chunk.offset < written.offset), tail),
        written,
    )

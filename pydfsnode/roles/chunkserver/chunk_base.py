"""Begins a chunk here with bytes that are stored already: of another chunk, or of itself before.

A chunk that continues another begins with all of it (append, and writing on after `sync`); one
whose pipeline broke begins with what was acknowledged, under a new version. Who has those bytes
uses its own; who takes the place of a server that failed fetches them from those before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from pydfsnode import limits
from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.client.chunk_reader import read_chunk
from pydfsnode.client.model import ChunkBase, ChunkLocation
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import CorruptionError, InvalidArgument, ReplicaNotFound, StaleChunkVersion
from pydfsnode.obs.log import get_logger
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.open_chunk import OpenChunk

_log = get_logger("chunkserver.chunk_base")


async def begin_chunk(
    store: ChunkStore,
    chunk_id: int,
    version: int,
    base: ChunkBase | None,
    connect: Connect,
    *,
    is_sealed: bool = False,
    is_keyed: bool = False,
    capability: bytes = b"",
    chunk_bytes: int = limits.CHUNK_BYTES_MAX,
) -> OpenChunk:
    """The chunk, with the bytes of *base* written.

    Args:
        is_sealed: it is sealed at rest, if is_keyed with the key of its file too; one that grows
            here already stays as it is.
        capability: of the writer of this chunk.
        chunk_bytes: room that is set aside for it.

    Raises:
        AlreadyExists, StaleChunkVersion, DiskFull: as `ChunkStore.create`.
        InvalidArgument: a base that cannot be.
        ChunkUnavailable, CorruptionError: nobody had the base whole.
    """
    if base is None:
        return store.create(chunk_id, version, chunk_bytes, is_sealed=is_sealed, is_keyed=is_keyed)
    if base.length <= 0 or (base.chunk_id == chunk_id and base.version >= version):
        raise InvalidArgument(
            f"chunk {chunk_id} version {version} cannot begin with {base.length} bytes of chunk "
            f"{base.chunk_id} version {base.version}"
        )
    if base.chunk_id == chunk_id:
        resumed = await store.resume(chunk_id, version, base.length, chunk_bytes)
        if resumed is not None:
            return resumed
    chunk = store.create(chunk_id, version, chunk_bytes, is_sealed=is_sealed, is_keyed=is_keyed)
    try:
        own = _own(store, base)
        same = base.chunk_id == chunk_id
        if same:
            base = replace(base, version=version, capability=capability)
        await _fill(chunk, base, own or _fetched(base, connect))
    except BaseException as error:
        await chunk.discard(f"what it begins with could not be had: {error}")
        raise
    chunk.readable_bytes = base.length
    return chunk


def _own(store: ChunkStore, base: ChunkBase) -> AsyncIterator[memoryview] | None:
    """The bytes of *base* from the replica here; None: there is none."""
    try:
        held = store.find(base.chunk_id, base.version)
    except (ReplicaNotFound, StaleChunkVersion, CorruptionError):
        return None
    return _read(store, base) if held.length >= base.length else None


async def _read(store: ChunkStore, base: ChunkBase) -> AsyncIterator[memoryview]:
    async for packet in store.read(base.chunk_id, base.version, 0, base.length):
        yield packet.data


def _fetched(base: ChunkBase, connect: Connect) -> AsyncIterator[memoryview]:
    """From the sources: of the same chunk, those before us in the pipeline, who have begun it
    already."""
    location = ChunkLocation(
        base.chunk_id, base.version, 0, base.length, base.crc32c, base.sources,
        capability=base.capability,
    )  # fmt: skip
    return read_chunk(location, 0, base.length, connect, _note_bad)


async def _fill(chunk: OpenChunk, base: ChunkBase, views: AsyncIterator[memoryview]) -> None:
    whole = 0
    async for view in views:
        whole = crc32c_combine(whole, crc32c(view), len(view))
        await chunk.append([view])
    if chunk.length != base.length or whole != base.crc32c:
        raise CorruptionError(
            f"chunk {chunk.chunk_id}: the {base.length} bytes that it begins with have crc32c "
            f"{base.crc32c:08x}, found were {chunk.length} with {whole:08x}",
            chunk_id=chunk.chunk_id,
        )


def _note_bad(chunk_id: int, node_id: str, reason: str) -> None:
    """The source reports its own damage; this is for the log of who saw it first."""
    _log.warning("a source is corrupt", chunk_id=chunk_id, source=node_id, error=reason)

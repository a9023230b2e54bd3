"""Messages of the Namespace service as plain values, and back."""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    ChunkDone,
    ChunkLocation,
    FileStatus,
    Freshness,
    Replica,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb


def chunk_done(chunk: ChunkDone | None) -> pb.ChunkDone | None:
    """A finished chunk as a message."""
    if chunk is None:
        return None
    return pb.ChunkDone(
        chunk_id=chunk.chunk_id, version=chunk.version, length=chunk.length, crc32c=chunk.crc32c
    )


def replicas(addresses: Sequence[pb.Address]) -> tuple[Replica, ...]:
    """Chunkservers."""
    return tuple(Replica(address.node_id, address.listen) for address in addresses)


def file_status(status: pb.FileStatus, freshness: Freshness | None = None) -> FileStatus:
    """What is at a path, with the label of the answer that told it."""
    return FileStatus(
        path=status.path,
        type=DIRECTORY if status.type == pb.DIRECTORY else FILE,
        size=status.size,
        replication=status.replication,
        owner=status.owner,
        group=status.group,
        mode=status.mode,
        mtime_ms=status.mtime_ms,
        checksum=status.checksum,
        inode_id=status.inode_id,
        chunk_bytes=status.chunk_bytes,
        under_construction=status.under_construction,
        child_count=status.child_count,
        ctime_ms=status.ctime_ms,
        atime_ms=status.atime_ms,
        has_acl=status.has_acl,
        inline=status.inline,
        freshness=freshness,
    )


def chunk_location(chunk: pb.ChunkLocation) -> ChunkLocation:
    """A chunk and where it is."""
    return ChunkLocation(
        chunk_id=chunk.chunk_id,
        version=chunk.version,
        offset=chunk.offset,
        length=chunk.length,
        crc32c=chunk.crc32c,
        replicas=replicas(chunk.replicas),
        inline_content=chunk.inline_content,
    )

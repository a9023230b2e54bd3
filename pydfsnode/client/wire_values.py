"""Messages of the Namespace service as plain values, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydfsnode._fast import ClientAnswers
from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    AllocatedChunk,
    ChunkBase,
    ChunkDone,
    ChunkLocation,
    FileLocations,
    FileStatus,
    Freshness,
    Listing,
    Replica,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

LIST, LOCATE = "/pydfs.v1.Namespace/List", "/pydfs.v1.Namespace/Locate"
_FAST = ClientAnswers(FileStatus, ChunkLocation, Freshness, FILE, DIRECTORY)


def chunk_done(chunk: ChunkDone | None) -> pb.ChunkDone | None:
    """A finished chunk as a message."""
    if chunk is None:
        return None
    return pb.ChunkDone(
        chunk_id=chunk.chunk_id, version=chunk.version, length=chunk.length, crc32c=chunk.crc32c
    )


def replicas(addresses: Sequence[pb.Address]) -> tuple[Replica, ...]:
    """Chunkservers."""
    return tuple(Replica(a.node_id, a.listen, a.rack) for a in addresses)


def allocated(answer: pb.AllocateChunkResponse) -> AllocatedChunk:
    """A chunk to be written."""
    base = None
    if answer.HasField("base"):
        told = answer.base
        base = ChunkBase(
            told.chunk_id, told.version, told.length, told.crc32c, replicas(told.replicas),
            told.capability,
        )  # fmt: skip
    return AllocatedChunk(
        answer.chunk_id, answer.version, answer.epoch, replicas(answer.targets), answer.seal, base,
        answer.capability, answer.chunk_bytes,
    )  # fmt: skip


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
        capability=chunk.capability,
    )


def freshness(answer: Any) -> Freshness | None:
    """The label of an answer to a read; None: it is linearizable."""
    return label_of(answer.freshness) if answer.HasField("freshness") else None


def label_of(label: pb.Freshness) -> Freshness:
    """The label of an answer as a value."""
    return Freshness(label.linearizable, label.staleness_ms, label.served_by, label.leader_hint)


def status_reader(path: str) -> Callable[[bytes], FileStatus]:
    """Reads the encoded answer of the method *path*, which has a status, and a label if any.

    This and the readers below raise MalformedMessage for what is none.
    """
    read_fast = _FAST.status
    parse = rpc_of(path).parse_response

    def read(encoded: bytes) -> FileStatus:
        status: FileStatus | None = read_fast(encoded)
        if status is None:  # not as our masters write it today
            answer = parse(encoded)
            label = freshness(answer) if "freshness" in answer.DESCRIPTOR.fields_by_name else None
            status = file_status(answer.status, label)
        return status

    return read


def read_listing(encoded: bytes) -> Listing:
    """The encoded answer to List."""
    found = _FAST.page(encoded)
    if found is not None:
        return Listing(*found)
    answer = rpc_of(LIST).parse_response(encoded)
    label = freshness(answer)
    return Listing([file_status(e, label) for e in answer.entries], bool(answer.more), label)


def read_locations(encoded: bytes) -> FileLocations:
    """The encoded answer to Locate."""
    found = _FAST.located(encoded)
    if found is not None:
        return FileLocations(*found)
    answer = rpc_of(LOCATE).parse_response(encoded)
    chunks = tuple(chunk_location(chunk) for chunk in answer.chunks)
    written = chunk_location(answer.open_chunk) if answer.HasField("open_chunk") else None
    return FileLocations(file_status(answer.status, freshness(answer)), chunks, written)

"""The answers to clients by protobuf itself, field by field."""

from __future__ import annotations

from pydfsnode.client.model import FileLocations, FileStatus, Freshness, Listing
from pydfsnode.client.wire_values import chunk_location, file_status
from pydfsnode.rpc.pb import dfs_pb2 as pb


def _label(answer: pb.StatResponse | pb.ListResponse | pb.LocateResponse) -> Freshness | None:
    if not answer.HasField("freshness"):
        return None
    label = answer.freshness
    return Freshness(label.linearizable, label.staleness_ms, label.served_by, label.leader_hint)


def status(encoded: bytes) -> FileStatus:
    """Of a StatResponse."""
    answer = pb.StatResponse.FromString(encoded)
    return file_status(answer.status, _label(answer))


def page(encoded: bytes) -> Listing:
    """Of a ListResponse."""
    answer = pb.ListResponse.FromString(encoded)
    label = _label(answer)
    return Listing([file_status(e, label) for e in answer.entries], answer.more, label)


def located(encoded: bytes) -> FileLocations:
    """Of a LocateResponse."""
    answer = pb.LocateResponse.FromString(encoded)
    chunks = tuple(chunk_location(chunk) for chunk in answer.chunks)
    written = chunk_location(answer.open_chunk) if answer.HasField("open_chunk") else None
    return FileLocations(file_status(answer.status, _label(answer)), chunks, written)


def split_batch(encoded: bytes) -> tuple[list[bytes], dict[int, bytes]]:
    """Of a BatchResponse."""
    found = pb.BatchResponse.FromString(encoded).answers
    errors = {position: answer.error for position, answer in enumerate(found) if answer.error}
    return [answer.response for answer in found], errors

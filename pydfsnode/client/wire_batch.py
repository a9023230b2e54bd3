"""Batches on the wire: requests that are encoded already, and the encoded answers in them."""

from __future__ import annotations

from pydfsnode._fast import client_requests, split_batch
from pydfsnode.errors import MalformedMessage, PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.status import UNKNOWN, error_from_status

BATCH = "/pydfs.v1.Namespace/Batch"
request = client_requests.batch


def head(path: str) -> bytes:
    """What a call of *path* in a batch begins with, for `request`."""
    return pb.BatchItem(method=path.rpartition("/")[2]).SerializeToString()


def answers(response: bytes, count: int) -> tuple[list[bytes], dict[int, PydfsError]]:
    """Each call's response, encoded, and by position the errors of those that failed.

    Raises:
        MalformedMessage: another number of answers than *count*, or they cannot be read.
    """
    found, encoded_errors = split_batch(response) or _split_with_protobuf(response)
    if len(found) != count:
        raise MalformedMessage(f"{count} calls in a batch, {len(found)} answers")
    if not encoded_errors:
        return found, {}
    return found, {
        position: error_from_status(UNKNOWN, "", encoded)
        for position, encoded in encoded_errors.items()
    }


def _split_with_protobuf(response: bytes) -> tuple[list[bytes], dict[int, bytes]]:
    found = rpc_of(BATCH).parse_response(response).answers
    errors = {position: answer.error for position, answer in enumerate(found) if answer.error}
    return [answer.response for answer in found], errors

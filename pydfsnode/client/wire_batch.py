"""Batches on the wire: requests that are encoded already, and the answers in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydfsnode.errors import MalformedMessage, PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.status import UNKNOWN, error_from_status


def request(calls: Sequence[tuple[str, bytes]]) -> pb.BatchRequest:
    """The message for *calls*: (path, encoded request)."""
    batch = pb.BatchRequest()
    add = batch.items.add
    for path, encoded in calls:
        item = add()
        item.method = path.rpartition("/")[2]
        item.request = encoded
    return batch


def answers(paths: Sequence[str], response: pb.BatchResponse) -> list[Any | PydfsError]:
    """Each call's response, or its error.

    Raises:
        MalformedMessage: another number of answers than calls, or one that cannot be read.
    """
    found = response.answers
    if len(found) != len(paths):
        raise MalformedMessage(f"{len(paths)} calls in a batch, {len(found)} answers")
    return [
        error_from_status(UNKNOWN, "", answer.error)
        if answer.error
        else rpc_of(path).parse_response(answer.response)
        for path, answer in zip(paths, found, strict=True)
    ]

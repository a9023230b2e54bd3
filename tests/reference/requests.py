"""From requests to log entries by protobuf's messages and msgspec's structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.ops import OPS
from pydfsnode.rpc.pb import dfs_pb2 as pb


class OpCoder:
    """As `_fast.OpCoder`, for requests that are messages of the class *message*."""

    def __init__(self, message: Any, tag: int, fields: Sequence[tuple[int, str, int]]) -> None:
        self._message = message
        self._type: Any = OPS[tag]
        self._fields = [
            (message.DESCRIPTOR.fields_by_number[number].name, default)
            for number, _, default in fields
        ]

    def encode(self, request: bytes, at_ms: int, user: str) -> tuple[int, bytes]:
        """(client id, payload); what is asked must be one of those that a handler takes."""
        asked = self._message.FromString(request)
        op = asked.op
        given = [(getattr(asked, name), default) for name, default in self._fields]
        values = [default if default and not value else value for value, default in given]
        made = self._type(op.client_id, op.seq, op.first_unacked, at_ms, user, *values)
        return op.client_id, encode_op(made)


def only_text(request: bytes) -> str:
    """The text in field 1."""
    return pb.StatRequest.FromString(request).path


def batch_response(responses: list[bytes | None], errors: dict[int, bytes]) -> bytes:
    """Answers and errors in the order of what was asked."""
    return pb.BatchResponse(
        answers=[
            pb.BatchAnswer(error=errors[at]) if found is None else pb.BatchAnswer(response=found)
            for at, found in enumerate(responses)
        ]
    ).SerializeToString()

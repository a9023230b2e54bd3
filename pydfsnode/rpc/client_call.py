"""Open calls on the calling side of a framed connection, and what becomes of failed ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydfsnode.errors import DeadlineExceeded, OutcomeUnknown, PydfsError, Unavailable
from pydfsnode.rpc.framed_stream import FramedStream
from pydfsnode.rpc.methods import Method

if TYPE_CHECKING:
    from pydfsnode.rpc.client_connection import ClientConnection


class UnaryCall:
    """A request that waits for its answer."""

    __slots__ = ("connection", "deadline", "future", "method", "stream_id")

    def __init__(
        self, connection: ClientConnection, stream_id: int, method: Method, deadline: float
    ) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.method = method
        self.deadline = deadline
        self.future: asyncio.Future[bytes] = connection.loop.create_future()

    def expire(self) -> None:
        """The deadline has passed; the peer may or may not have acted."""
        self.connection.drop(self)
        self.fail(OutcomeUnknown(f"{self.method.path}: no answer in time", reason="timeout"))

    def fail(self, error: PydfsError) -> None:
        """End the call with *error*."""
        if not self.future.done():
            self.future.set_exception(error)

    def lost(self) -> None:
        """The connection is gone and no answer had come."""
        self.fail(OutcomeUnknown(f"{self.method.path}: the connection was lost", reason="lost"))


class StreamCall:
    """A streaming call as the connection's timer sees it."""

    __slots__ = ("connection", "deadline", "method", "stream", "stream_id")

    def __init__(
        self, connection: ClientConnection, stream_id: int, method: Method, deadline: float
    ) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.method = method
        self.deadline = deadline
        self.stream = FramedStream(connection, stream_id)

    def expire(self) -> None:
        """The deadline has passed."""
        self.connection.drop(self)
        self.fail(DeadlineExceeded(f"{self.method.path}: deadline exceeded"))

    def fail(self, error: PydfsError) -> None:
        """End the call with *error*."""
        self.stream.fail(error)

    def lost(self) -> None:
        """The connection is gone; only an idempotent call is known to be safe to repeat."""
        message = f"{self.method.path}: the connection was lost"
        self.fail(
            Unavailable(message)
            if self.method.idempotent
            else OutcomeUnknown(message, reason="lost")
        )

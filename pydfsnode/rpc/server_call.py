"""One call on the serving side of a framed connection; handlers see it as their `CallContext`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import randbytes
from typing import TYPE_CHECKING, Any

from pydfsnode.obs.trace import parse_traceparent, start_trace
from pydfsnode.rpc.acting import ACT_FOR_KEY
from pydfsnode.rpc.context import FRAMED, CallContext
from pydfsnode.rpc.framed_stream import FramedStream, as_buffers
from pydfsnode.rpc.framing import REQUEST_ID_KEY, TRACEPARENT_KEY
from pydfsnode.rpc.pb import ttrpc_pb2
from pydfsnode.rpc.server import REQUEST_ID_CHARACTERS_MAX, Route

if TYPE_CHECKING:
    from pydfsnode.rpc.server_connection import ServerConnection


class ServerCall(CallContext):
    """Metadata is looked at when a handler or a log line asks for it: most calls never do."""

    __slots__ = (
        "answered", "connection", "envelope", "payload", "route", "started", "stream", "stream_id",
        "work",
    )  # fmt: skip

    def __init__(
        self, connection: ServerConnection, stream_id: int, route: Route, payload: bytes,
        timeout_nano: int, envelope: bytes,
    ) -> None:  # fmt: skip
        # Set before any frame is read.
        self.identity = connection.identity  # type: ignore[assignment]
        self.via = None
        self.method = route.method
        self.peer = connection.peer
        self.transport = FRAMED
        self.clock = clock = connection.loop.time
        self._request_id = self._traceparent = ""
        self.connection = connection
        self.stream_id = stream_id
        self.route = route
        self.payload = payload
        self.envelope = envelope
        self.started = now = clock()
        self.deadline = now + connection.dispatch.timeout_s(route, timeout_nano / 1_000_000_000)
        self.answered = False
        self.stream: FramedStream | None = None
        self.work: asyncio.Task[None] | SteppedCall | None = None

    def expire(self) -> None:
        """The deadline has passed."""
        self.connection.expire(self)

    @property
    def request_id(self) -> str:
        """The caller's, or one made of the peer and the stream."""
        if not self._request_id:
            given = self._metadata(REQUEST_ID_KEY)
            if 0 < len(given) <= REQUEST_ID_CHARACTERS_MAX and given.isprintable():
                self._request_id = given
            else:
                self._request_id = f"{self.peer}/{self.stream_id}"
        return self._request_id

    @property
    def traceparent(self) -> str:
        """The caller's, or a new trace's when it sent none that is valid."""
        if not self._traceparent:
            given = self._metadata(TRACEPARENT_KEY)
            known = parse_traceparent(given) is not None
            self._traceparent = given if known else str(start_trace(randbytes(24)))
        return self._traceparent

    @property
    def is_writable(self) -> bool:
        """See CallContext."""
        return not self.connection.writer.paused

    async def writable(self) -> None:
        """See CallContext."""
        await self.connection.writer.writable()

    @property
    def acted_for(self) -> str:
        """Whom the caller wants to act for, "" for nobody; any text."""
        return self._metadata(ACT_FOR_KEY)

    def act_for(self) -> None:
        """Of a gateway: be the user from now on whom it names.

        Raises:
            PermissionDenied: it may not.
        """
        peer = self.identity
        self.identity = self.connection.dispatch.acting.identity(peer, self.acted_for)
        if self.identity is not peer:
            self.via = peer

    def _metadata(self, key: str) -> str:
        pairs = ttrpc_pb2.Request.FromString(self.envelope).metadata
        return next((pair.value for pair in pairs if pair.key == key), "")


class SteppedCall:
    """Runs the coroutine of a unary call without a task: at once up to where it waits first.

    Like a task it goes on when the future it waits for is done, and `cancel` cancels that future.
    """

    __slots__ = ("_call", "_cancelled", "_coroutine", "_waiting")

    def __init__(self, call: ServerCall, coroutine: Coroutine[Any, Any, None]) -> None:
        self._call = call
        self._coroutine = coroutine
        self._cancelled = False
        self._waiting: asyncio.Future[Any] | None = None

    def start(self) -> None:
        """Run up to where the coroutine waits first; call once."""
        self._step()

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits, or will wait next."""
        if self._waiting is None or not self._waiting.cancel():
            self._cancelled = True

    def _step(self, _done: object = None) -> None:
        self._waiting = None
        try:
            if self._cancelled:
                self._cancelled = False
                waiting = self._coroutine.throw(asyncio.CancelledError())
            else:
                waiting = self._coroutine.send(None)
        except StopIteration:
            # Else call and coroutine would hold each other until the collector comes: at
            # thousands of calls a second that is a pause of tens of milliseconds, again and again.
            self._call.work = None
            return
        if waiting is None:  # sleep(0)
            self._call.connection.loop.call_soon(self._step)
            return
        waiting._asyncio_future_blocking = False
        waiting.add_done_callback(self._step)
        self._waiting = waiting
        if self._cancelled and waiting.cancel():
            self._cancelled = False


class FramedServerStream:
    """`ServerStream` on a framed connection."""

    __slots__ = ("_call", "_raw_request", "_raw_response", "_stream")

    def __init__(self, call: ServerCall, stream: FramedStream) -> None:
        self._call = call
        self._stream = stream
        self._raw_request = call.method.raw_request
        self._raw_response = call.method.raw_response

    async def receive(self) -> Any | None:
        """The caller's next message, or None after its last one."""
        payload = await self._stream.receive_payload()
        if payload is None or self._raw_request:
            return payload
        self._call.connection.server.dispatch.check_size(self._call.route, len(payload))
        return self._call.route.rpc.parse_request(payload)

    async def receive_only(self) -> Any | None:
        """See ServerStream."""
        return await self._stream.receive_only() if self._raw_request else None

    async def send(self, message: Any, *, end: bool = False) -> None:
        """Send a message when the caller has room for it; buffers may be used again afterwards."""
        if self._raw_response:
            buffers, size = as_buffers(message)
        else:
            body = message.SerializeToString()
            buffers, size = (body,), len(body)
        self._call.connection.server.dispatch.telemetry.bytes_out(size)
        await self._stream.send_payload(buffers, size, end=end)

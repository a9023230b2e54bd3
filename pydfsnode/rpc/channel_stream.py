"""A streaming call from the caller's side."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydfsnode.errors import Cancelled, DeadlineExceeded, PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.request_scope import current, traceparent_below
from pydfsnode.rpc.framed_stream import as_buffers
from pydfsnode.rpc.stream_watch import Sign

if TYPE_CHECKING:
    from pydfsnode.rpc.channel import FramedChannel
    from pydfsnode.rpc.client_call import StreamCall
    from pydfsnode.rpc.client_connection import ClientConnection
    from pydfsnode.rpc.schema import Rpc

_log = get_logger("rpc.client")


class ClientStream:
    """One streaming call; one task may send and one may receive at a time.

    Read it to its end, `cancel` it, or use `async with`, which cancels what has not ended.
    """

    __slots__ = (
        "_call", "_cancelled", "_channel", "_connection", "_deadline", "_opening", "_payload",
        "_request_id", "_rpc", "_traceparent",
    )  # fmt: skip

    def __init__(
        self, channel: FramedChannel, rpc: Rpc, payload: bytes, timeout_ms: int | None,
        request_id: str, traceparent: str,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._rpc = rpc
        self._payload = payload
        self._request_id = request_id
        self._traceparent = traceparent
        now = asyncio.get_running_loop().time()
        self._deadline = math.inf if timeout_ms is None else now + timeout_ms / 1000
        scope = current.get()
        if scope is not None and not request_id:
            self._request_id, self._traceparent = scope.request_id, traceparent_below(scope)
            self._deadline = min(self._deadline, scope.deadline)
            _log.debug("call", method=rpc.method.path, to=channel.peer)
        self._call: StreamCall | None = None
        self._connection: ClientConnection | None = None
        self._opening: asyncio.Lock | None = None
        self._cancelled = False

    async def open(self) -> ClientStream:
        """Connect if needed and send the first message; done by the first operation otherwise.

        Raises:
            Unavailable, PeerUnauthenticated, DeadlineExceeded: nothing was sent.
        """
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._call is None:
                if self._cancelled:
                    raise Cancelled(f"{self._rpc.method.path}: cancelled")
                path = self._rpc.method.path
                connection = await self._channel.connected(path, self._deadline)
                if self._deadline <= connection.loop.time():
                    raise DeadlineExceeded(f"{path}: deadline exceeded before it was sent")
                self._connection = connection
                self._call = connection.open_stream(
                    self._rpc, self._payload, self._deadline, self._request_id,
                    self._traceparent,
                )  # fmt: skip
        return self

    async def send(self, message: Any, *, end: bool = False) -> None:
        """Send a message (raw methods: bytes-like, or several that form one frame).

        Waits while the peer has not consumed what was sent before. Buffers may be used again
        afterwards.

        Args:
            end: no more messages follow, as `close_send` says it.

        Raises:
            Cancelled: the peer has ended the call in order; `receive` tells what it said.
            PydfsError: the call failed.
        """
        call = self._call or await self._opened()
        if self._rpc.method.raw_request:
            buffers, size = as_buffers(message)
        else:
            body = message.SerializeToString()
            buffers, size = (body,), len(body)
        await call.stream.send_payload(buffers, size, end=end)

    async def receive(self) -> Any | None:
        """The peer's next message (raw methods: its bytes), or None after its last one.

        Raises:
            PydfsError: the call failed.
        """
        call = self._call or await self._opened()
        try:
            payload = await call.stream.receive_payload()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, PydfsError):
                self._channel.note(error)
            self._forget()
            raise
        if payload is None:
            self._forget()
            return None
        if self._rpc.method.raw_response:
            return payload
        return self._rpc.parse_response(payload)

    async def close_send(self) -> None:
        """Say that no more messages follow."""
        call = self._call or await self._opened()
        call.stream.close_local()

    async def cancel(self) -> None:
        """End the call now, on both sides. Does nothing when it has ended."""
        self._cancelled = True
        call, connection = self._call, self._connection
        if call is not None and connection is not None:
            connection.drop(call)
            call.fail(Cancelled(f"{self._rpc.method.path}: cancelled"))
            self._forget()

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued in this process for the connection, of all its calls."""
        return self._connection.writer.unsent_bytes if self._connection is not None else 0

    def sign_of_life(self) -> Sign:
        """The peer's last one; and ask for another. None, ever, while there is no connection."""
        if self._connection is None:
            return Sign(0.0, 0)
        return self._connection.sign_of_life()

    def __await__(self) -> Generator[Any, None, ClientStream]:
        return self.open().__await__()

    async def __aenter__(self) -> ClientStream:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.cancel()

    async def _opened(self) -> StreamCall:
        await self.open()
        call = self._call
        if call is None:
            raise Cancelled(f"{self._rpc.method.path}: cancelled")
        return call

    def _forget(self) -> None:
        if self._call is not None and self._connection is not None:
            self._connection.forget_stream(self._call.stream)

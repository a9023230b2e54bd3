"""One end of a streaming call on a framed connection: its queue, its credit, its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydfsnode import limits
from pydfsnode.errors import Cancelled, MessageTooLarge, PydfsError, RemoteProtocolError
from pydfsnode.rpc.flow import ReceiveWindow, SendWindow
from pydfsnode.rpc.framing import DATA, NO_DATA, REMOTE_CLOSED

if TYPE_CHECKING:
    from pydfsnode.rpc.framed_connection import FramedConnection

STABLE_BYTES = 32 * 1024
"""A smaller raw message is joined (and so copied): it may wait for the end of the turn."""


class FramedStream:
    """Payloads in order in both directions; one task may receive and one may send at a time."""

    __slots__ = (
        "_error", "_queue", "_receiver", "_sender", "connection", "ended", "local_closed",
        "receive_window", "remote_closed", "send_window", "stream_id",
    )  # fmt: skip

    def __init__(self, connection: FramedConnection, stream_id: int) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.receive_window = ReceiveWindow()
        self.send_window = SendWindow()
        self.remote_closed = False
        self.local_closed = False
        self.ended = False
        self._queue: deque[bytes | memoryview] = deque()
        self._error: PydfsError | None = None
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None

    # ---- called by the connection

    def feed(self, flags: int, payload: bytes | memoryview) -> None:
        """A Data frame arrived.

        Raises:
            RemoteProtocolError: after the peer's end, or more than its window.
        """
        if self.remote_closed:
            raise RemoteProtocolError(f"stream {self.stream_id}: Data after remote closed")
        if flags & ~(REMOTE_CLOSED | NO_DATA):
            raise RemoteProtocolError(f"stream {self.stream_id}: Data with flags {flags:#04x}")
        if flags & NO_DATA:
            if payload:
                raise RemoteProtocolError(f"stream {self.stream_id}: bytes in a frame without data")
        else:
            self._queue.append(payload)
            self.connection.stream_data(self, payload)
        if flags & REMOTE_CLOSED:
            self.remote_closed = True
        self._wake_receiver()

    def credit(self, size: int) -> None:
        """The peer consumed *size* bytes."""
        self.send_window.grant(size)
        self.wake_sender()

    def end(self) -> None:
        """The peer ended the whole call in order: nothing more comes, nothing more may be sent."""
        self.ended = True
        self.remote_closed = True
        self.local_closed = True
        self._wake_receiver()
        self.wake_sender()

    def fail(self, error: PydfsError) -> None:
        """The call ended with *error*; the first end counts. What is queued is still read."""
        if not self.ended:
            self._error = error
            self.end()

    def drop_queue(self) -> int:
        """Forget what was not consumed; returns what it counted in the windows."""
        queued, self.receive_window.queued = self.receive_window.queued, 0
        self._queue.clear()
        return queued

    # ---- called by the user of the stream

    @property
    def error(self) -> PydfsError | None:
        """Why the call failed, if it did."""
        return self._error

    async def receive_payload(self) -> bytes | memoryview | None:
        """The next Data payload, or None after the peer's last one.

        Raises:
            PydfsError: the call failed.
        """
        queue = self._queue
        while not queue:
            if self._error is not None:
                raise self._error
            if self.remote_closed:
                return None
            self._receiver = self.connection.loop.create_future()
            await self._receiver
        payload = queue.popleft()
        self.connection.stream_consumed(self, len(payload))
        return payload

    async def receive_only(self) -> bytes | memoryview | None:
        """The one Data payload of a peer that ended with it; None, and nothing is taken, when more
        than that came, may still come, or the call failed."""
        while not self._queue and not self.remote_closed:
            self._receiver = self.connection.loop.create_future()
            await self._receiver
        if not self.remote_closed or len(self._queue) != 1 or self._error is not None:
            return None
        payload = self._queue.popleft()
        self.connection.stream_consumed(self, len(payload))
        return payload

    async def send_payload(
        self, buffers: Sequence[bytes | memoryview], size: int, *, end: bool = False
    ) -> None:
        """Send one Data frame when the window and the transport have room for it.

        Args:
            end: no more follows; said in the same frame, which saves the peer a wake-up.

        Raises:
            MessageTooLarge: more than a frame may hold.
            PydfsError: the call failed or was ended by the peer; nothing was sent.
        """
        if size > limits.FRAME_BYTES_MAX:
            raise MessageTooLarge(f"message of {size} bytes, at most {limits.FRAME_BYTES_MAX}")
        connection = self.connection
        while True:
            if self.local_closed:
                raise self._error or Cancelled(
                    f"{connection.peer}: the call has ended, nothing more can be sent"
                )
            if connection.write_paused:
                await connection.writable()
            elif not connection.flow or self.send_window.try_take(size):
                break
            else:
                self._sender = connection.loop.create_future()
                await self._sender
        if end:
            self.local_closed = True
        flags = REMOTE_CLOSED if end else 0
        connection.send_buffers(self.stream_id, DATA, flags, buffers, size)

    def close_local(self) -> None:
        """Say that we send no more Data."""
        if not self.local_closed:
            self.local_closed = True
            self.connection.send_frame(self.stream_id, DATA, REMOTE_CLOSED | NO_DATA, b"")

    def _wake_receiver(self) -> None:
        receiver = self._receiver
        if receiver is not None:
            self._receiver = None
            if not receiver.done():
                receiver.set_result(None)

    def wake_sender(self) -> None:
        """Let a waiting sender look again."""
        sender = self._sender
        if sender is not None:
            self._sender = None
            if not sender.done():
                sender.set_result(None)


def as_buffers(message: object) -> tuple[Sequence[bytes | memoryview], int]:
    """(buffers, bytes) of a raw message: bytes-like, or a sequence of bytes-likes.

    A small buffer that could change before the frame leaves is copied.
    """
    if isinstance(message, bytes):
        return (message,), len(message)
    pieces = message if isinstance(message, list | tuple) else (message,)
    size = sum(_size(piece) for piece in pieces)
    if size < STABLE_BYTES:
        return (b"".join(pieces),), size
    return [p if isinstance(p, bytes) else memoryview(p).cast("B") for p in pieces], size


def _size(piece: object) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    if isinstance(piece, bytearray | memoryview):
        return memoryview(piece).nbytes
    raise TypeError(
        f"a raw message is bytes-like or a sequence of them, not {type(piece).__name__}"
    )

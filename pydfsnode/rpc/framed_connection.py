"""One TLS connection that carries ttrpc frames: cutting, batching, back-pressure, control, timers.

Both ends derive from it. All frames of one turn of the event loop leave in one write; small ones
are joined, large buffers are handed to TLS as they are. One timer serves all deadlines of a
connection.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from pydfsnode import limits
from pydfsnode._fast import FrameReader
from pydfsnode.errors import PydfsError, RemoteProtocolError, Unavailable
from pydfsnode.rpc.frame_writer import FrameWriter
from pydfsnode.rpc.framed_stream import FramedStream
from pydfsnode.rpc.framing import (
    CANCEL,
    CLOSE,
    CONTROL_STREAM,
    CREDIT,
    DATA,
    control_record,
    control_records,
)  # fmt: skip

TURN_FRAMES = 16
"""Frames handled in one turn of the loop: the answers to the first leave while the next are
handled, so that both ends work at the same time, and no connection holds up the others."""
BACKLOG_FRAMES_MAX = 1024
"""Frames cut and not yet handled; past it reading pauses."""
CONNECTION_QUEUE_BYTES_MAX = 128 * limits.MIB  # limits.py candidate
"""Received and not consumed on one connection, all streams together; past it reading pauses."""
HOUSEKEEPING_S = 5.0
CLOSE_S = 5.0
"""A peer that does not take our last bytes for this long is cut off."""
CUT_SHORT = "ended inside a frame"
"""What a connection's end is called that came before the end of a frame."""


class Call(Protocol):
    """An open call of either side, as the connection's timer sees it."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


class FramedConnection(asyncio.BufferedProtocol):
    """What server and client connections share. Subclasses implement `frame` and the hooks."""

    reads_only_when_read = False
    """Whether a peer that does not take our answers is not listened to. Of one end only: else both
    could wait for each other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: Any = None
        self.peer = ""
        self.calls: dict[int, Any] = {}
        self.streams: dict[int, FramedStream] = {}
        self.flow: bool | None = None  # does the peer know control records; None: not yet known
        self.closed = False
        self.received_at = loop.time()
        self.opened_at = self.received_at
        self.queued_bytes = 0
        self._reader = FrameReader(limits.FRAME_BYTES_MAX)
        # Saves a call for every read.
        self.get_buffer = self._reader.get_buffer  # type: ignore[method-assign,assignment]
        self.writer = writer = FrameWriter(loop)
        self.send_frame = writer.send_frame
        self.send_whole = writer.send_whole
        self.send_buffers = writer.send_buffers
        self.flush = writer.flush
        self.writable = writer.writable
        self._backlog: deque[tuple[int, int, int, bytes | memoryview]] = deque()
        self._streams_over: set[int] = set()
        self._reading = True
        self._frame_began_at: float | None = None
        self._sweep_at = math.inf
        self._sweep_timer: asyncio.TimerHandle | None = None

    # ---- hooks

    def opened(self) -> None:
        """TLS is established."""

    def frame(self, stream_id: int, kind: int, flags: int, payload: bytes | memoryview) -> None:
        """One frame arrived. Raises `RemoteProtocolError` to end the connection."""
        raise RemoteProtocolError(f"unexpected frame of type {kind}")

    def control(self, kind: int, stream_id: int, value: int) -> None:
        """A control record that is not credit."""

    def broken(self, error: PydfsError) -> None:
        """The peer broke the protocol; the connection is being closed."""

    def lost(self, error: BaseException | None) -> None:
        """The connection is gone; every call must end."""

    def housekeeping(self, now: float) -> None:
        """Called every few seconds."""

    # ---- asyncio.BufferedProtocol

    def connection_made(self, transport: Any) -> None:
        """Called by the transport when TLS is established."""
        self.transport = transport
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
        transport.set_write_buffer_limits(high=limits.WRITE_BUFFER_BYTES_HIGH)
        self.writer.transport = transport
        self._plan_sweep(self.loop.time() + HOUSEKEEPING_S)
        self.opened()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport writes next; replaced by the reader's own in `__init__`."""
        return self._reader.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Cut what arrived into frames and handle the first of them."""
        if self.closed:
            return
        self.received_at = self.loop.time()
        try:
            frames = self._reader.buffer_updated(nbytes)
        except ValueError as error:
            self._handle_all()
            self.break_off(RemoteProtocolError(str(error)))
            return
        if not frames:
            if self._frame_began_at is None:
                self._frame_began_at = self.received_at
            return
        self._frame_began_at = None
        backlog = self._backlog
        if backlog:
            backlog.extend(frames)
            self._adapt_reading()
        elif len(frames) <= TURN_FRAMES:
            self._handle(frames)
        else:
            self._handle(frames[:TURN_FRAMES])
            backlog.extend(frames[TURN_FRAMES:])
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Handle some more of what arrived; the rest waits for the next turn."""
        backlog = self._backlog
        self._handle([backlog.popleft() for _ in range(min(TURN_FRAMES, len(backlog)))])
        if backlog:
            self.loop.call_soon(self._next_turn)
        if not self._reading:
            self._adapt_reading()

    def _handle_all(self) -> None:
        """Handle what waits before the connection ends."""
        frames = list(self._backlog)
        self._backlog.clear()
        self._handle(frames)

    def _handle(self, frames: Sequence[tuple[int, int, int, bytes | memoryview]]) -> None:
        try:
            for stream_id, kind, flags, payload in frames:
                if self.closed:
                    return
                if stream_id == CONTROL_STREAM:
                    self._control(kind, payload)
                else:
                    self.frame(stream_id, kind, flags, payload)
        except RemoteProtocolError as error:
            self.break_off(error)

    def eof_received(self) -> bool:
        """The peer sends no more; a frame that was cut is a broken one."""
        self._handle_all()
        if not self.closed and self._reader.pending():
            self.break_off(
                RemoteProtocolError(f"{CUT_SHORT}, {self._reader.pending()} bytes of it came")
            )
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the transport once, last."""
        self._handle_all()
        pending = self._reader.pending()
        if not self.closed and pending:
            self.broken(RemoteProtocolError(f"{CUT_SHORT}, {pending} bytes of it came"))
        self.closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self.writer.end()
        self.lost(exc)
        for stream in list(self.streams.values()):
            stream.fail(Unavailable(f"{self.peer}: connection lost"))
        self.streams.clear()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.writer.paused = True
        self._adapt_reading()

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.writer.resume()
        self._adapt_reading()

    def frame_age_s(self, now: float) -> float:
        """For how long bytes have come that end no frame; what we do not read is not counted."""
        if not self._reading:
            self._frame_began_at = None
        return 0.0 if self._frame_began_at is None else now - self._frame_began_at

    # ---- sending: `send_frame`, `send_whole`, `send_buffers`, `flush`, `writable` are the writer's

    def send_control(self, kind: int, stream_id: int, value: int) -> None:
        """Queue a control record; only for a peer that knows them."""
        self.send_frame(CONTROL_STREAM, DATA, 0, control_record(kind, stream_id, value))

    @property
    def write_paused(self) -> bool:
        """Whether the transport's buffer is full."""
        return self.writer.paused

    # ---- credit and back-pressure of what is received

    def stream_data(self, stream: FramedStream, payload: bytes | memoryview) -> None:
        """Account for Data that arrived on *stream*; its window bounds it, or TCP does."""
        self.queued_bytes += stream.receive_window.arrived(len(payload))
        if self.flow:
            if stream.receive_window.overrun:
                raise RemoteProtocolError(
                    f"stream {stream.stream_id}: more Data than its window of "
                    f"{stream.receive_window.capacity} bytes"
                )
        elif stream.receive_window.over:
            self._streams_over.add(stream.stream_id)
        self._adapt_reading()

    def stream_consumed(self, stream: FramedStream, size: int) -> None:
        """A consumer took a message of *size* bytes: return credit, or read on."""
        window = stream.receive_window
        self.queued_bytes -= window.consumed(size)
        if self.flow and not stream.remote_closed:
            grant = window.take_grant()
            if grant:
                self.send_control(CREDIT, stream.stream_id, grant)
        if not self._reading:
            if not window.over:
                self._streams_over.discard(stream.stream_id)
            self._adapt_reading()

    def forget_stream(self, stream: FramedStream) -> None:
        """*stream* is over; what nobody consumed is dropped."""
        if self.streams.pop(stream.stream_id, None) is not None:
            self.queued_bytes -= stream.drop_queue()
            self._streams_over.discard(stream.stream_id)
            if not self._reading:
                self._adapt_reading()

    def _adapt_reading(self) -> None:
        wanted = (
            not self._streams_over
            and self.queued_bytes <= CONNECTION_QUEUE_BYTES_MAX
            and len(self._backlog) <= BACKLOG_FRAMES_MAX
            and not (self.reads_only_when_read and self.writer.paused)
        )
        if wanted != self._reading and not self.closed:
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _control(self, kind: int, payload: bytes | memoryview) -> None:
        if kind != DATA:
            raise RemoteProtocolError(f"frame of type {kind} on stream 0")
        for record, stream_id, value in control_records(payload):
            if record == CREDIT:
                stream = self.streams.get(stream_id)
                if stream is not None:
                    stream.credit(value)
            else:
                self.control(record, stream_id, value)

    # ---- ending

    def break_off(self, error: PydfsError) -> None:
        """The peer broke the protocol: tell it, close, and let the subclass count and log it."""
        if self.closed:
            return
        self.broken(error)
        self.close(error)

    def close(self, error: PydfsError | None = None) -> None:
        """Send what is queued, then close; *error* tells the peer why in a control record."""
        if self.closed:
            return
        if error is not None:
            self.send_control(CLOSE, 0, error.code)
        self.flush()
        self.closed = True
        self.writer.end()
        self.transport.close()
        self.loop.call_later(CLOSE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection off without waiting for anything."""
        self.closed = True
        self.writer.end()
        self.transport.abort()

    def cancel_remote(self, stream_id: int) -> None:
        """Ask the peer to stop working on a call, if it knows how to be asked."""
        if self.flow and not self.closed:
            self.send_control(CANCEL, stream_id, 0)

    # ---- time

    def watch(self, deadline: float) -> None:
        """Make sure that the timer fires no later than *deadline*."""
        if deadline < self._sweep_at:
            self._plan_sweep(deadline)

    def _plan_sweep(self, at: float) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._sweep_at = at
        self._sweep_timer = self.loop.call_at(at, self._sweep)

    def _sweep(self) -> None:
        """End the calls whose deadline has passed; plan the next look."""
        now = self.loop.time()
        for call in [call for call in self.calls.values() if call.deadline <= now]:
            call.expire()
        if not self.closed:
            self.housekeeping(now)
        nearest = min((call.deadline for call in self.calls.values()), default=math.inf)
        self._plan_sweep(min(nearest, now + HOUSEKEEPING_S))

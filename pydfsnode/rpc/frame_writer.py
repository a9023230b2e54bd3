"""The sending half of a framed connection: frames of one turn of the loop leave in one write."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections.abc import Sequence
from typing import Any

from pydfsnode._fast import FRAME_HEAD_BYTES, frame_head

LARGE_BYTES = 32 * 1024
"""A frame from this size on leaves at once, without joining its large buffers with others."""
EARLY_BYTES = 2 * 1024
"""A whole call or answer from this size on leaves at once, so that the peer works on it while this
end works on the next: those are batches."""
SEPARATE_BYTES = 8 * 1024
"""A buffer from this size on is large: copying it costs more than a TLS record of its own."""
FLUSH_BYTES = 256 * 1024
"""More is handed to the transport before the turn ends, so that back-pressure is felt."""


class FrameWriter:
    """Queues frames, hands them to the transport together, and says when there is room for more."""

    __slots__ = (
        "_flush_planned", "_loop", "_out", "_out_bytes", "_out_large", "_waiters", "ended",
        "paused", "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: Any = None
        self.paused = False
        """The transport's buffer is full."""
        self.ended = False
        """Nothing is sent any more; what comes is dropped."""
        self._loop = loop
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self._out_large = False
        self._flush_planned = False
        self._waiters: list[asyncio.Future[None]] = []

    def resume(self) -> None:
        """The transport's buffer has drained."""
        self.paused = False
        self._wake()

    def end(self) -> None:
        """The connection is closed: drop what comes, let nobody wait."""
        self.ended = True
        self._wake()

    def send_frame(self, stream_id: int, kind: int, flags: int, payload: bytes) -> None:
        """Queue a frame; it leaves at the end of this turn of the loop."""
        size = len(payload)
        out = self._out
        out.append(frame_head(size, stream_id, kind, flags))
        if size:
            out.append(payload)
            if size >= LARGE_BYTES:
                self._out_large = True
        self._out_bytes += size + FRAME_HEAD_BYTES
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def send_whole(self, frame: bytes) -> None:
        """Queue a frame that is encoded already, its head too."""
        size = len(frame)
        self._out.append(frame)
        self._out_bytes += size
        if size >= LARGE_BYTES:
            self._out_large = True
        if size >= EARLY_BYTES:
            self.flush()
        elif not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def send_buffers(
        self,
        stream_id: int,
        kind: int,
        flags: int,
        buffers: Sequence[bytes | memoryview],
        size: int,
    ) -> None:
        """Send a frame of *size* bytes from several buffers, without joining large ones.

        TLS has encrypted a large buffer before this returns, so that the caller may use it again.
        """
        out = self._out
        out.append(frame_head(size, stream_id, kind, flags))
        out.extend(buffers)
        self._out_bytes += size + FRAME_HEAD_BYTES
        if size >= LARGE_BYTES:
            self._out_large = True
            self.flush()
        elif self._out_bytes >= FLUSH_BYTES:
            self.flush()
        elif not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        """Hand what is queued to the transport now."""
        out = self._out
        if not out:
            return
        self._out = []
        self._out_bytes = 0
        if self.ended:
            return
        if self._out_large:
            self._out_large = False
            self.transport.writelines(_group(out))
        else:
            self.transport.write(b"".join(out))

    def _flush(self) -> None:
        self._flush_planned = False
        self.flush()

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued here and in the transport."""
        return self._out_bytes + int(self.transport.get_write_buffer_size())

    @property
    def untaken_bytes(self) -> int:
        """Bytes handed to the system that the peer's host has not acknowledged."""
        wire = self.transport.get_extra_info("socket")
        try:
            counted = fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return 0  # it is closed
        return int.from_bytes(counted, sys.byteorder)

    async def writable(self) -> None:
        """Wait until the transport takes more, or the connection is gone."""
        while self.paused and not self.ended:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _group(out: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """*out* with neighbouring small buffers joined and large ones left as they are."""
    grouped: list[bytes | memoryview] = []
    small: list[bytes | memoryview] = []
    for buffer in out:
        if len(buffer) >= SEPARATE_BYTES:
            if small:
                grouped.append(b"".join(small))
                small = []
            grouped.append(buffer)
        else:
            small.append(buffer)
    if small:
        grouped.append(b"".join(small))
    return grouped

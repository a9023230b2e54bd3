"""Writes one chunk through its pipeline of chunkservers; keeps what is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from pydfsnode import limits
from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.client import wire_chunks
from pydfsnode.client.model import AllocatedChunk, ChunkBase, ChunkDone
from pydfsnode.client.wire_chunks import ChunkStream, Connect, WriteAck
from pydfsnode.errors import (
    CorruptionError,
    InvalidArgument,
    PipelineBroken,
    PydfsError,
    StaleEpoch,
)
from pydfsnode.rpc.chunk_packets import pack_head
from pydfsnode.rpc.stream_watch import StreamWatch

WINDOW_BYTES = 16 * limits.MIB  # limits.py candidate
"""Bytes sent and not acknowledged by all servers; `write` waits beyond it (INV-BOUND)."""
TIMEOUT_SHARE = 0.5
"""A server that stands still is left after so much of the caller's time: the rest is for going on
without it."""


class _Sent(NamedTuple):
    view: memoryview
    crc32c: int


class ChunkWriter:
    """One chunk; made by `open`. Not for several tasks at once.

    After `PipelineBroken`: `acked_bytes` are on every server but the failed one, `unacked()` are
    the rest of all that was given to `write`.
    """

    def __init__(
        self, chunk: AllocatedChunk, connect: Connect, timeout_ms: int | None = None
    ) -> None:
        base = chunk.base
        self.chunk = chunk
        self.acked_bytes = base.length if base is not None else 0
        """How many bytes every server of the pipeline has written."""
        self.acked_crc32c = base.crc32c if base is not None else 0
        """Of the first `acked_bytes` of the chunk."""
        self.failed_node_id = ""
        """The server that broke the pipeline, when known."""
        self._connect = connect
        self._stream: ChunkStream | None = None
        self._acks: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._failure: PipelineBroken | None = None
        self._durable: WriteAck | None = None
        self._gathered = bytearray()
        self._sent: deque[_Sent] = deque()
        self._sent_bytes = self.acked_bytes
        self._crc = self.acked_crc32c
        self._stall_s = wire_chunks.stall_s(len(chunk.targets))
        if timeout_ms is not None:
            self._stall_s = min(self._stall_s, timeout_ms / 1000 * TIMEOUT_SHARE)
        self._watch = StreamWatch(self._stall_s)

    @classmethod
    async def open(
        cls, chunk: AllocatedChunk, connect: Connect, timeout_ms: int | None = None
    ) -> ChunkWriter:
        """Begin *chunk* on its targets.

        Args:
            timeout_ms: of the caller, for whatever it waits for; None: it has time.

        Raises:
            PipelineBroken: the first target cannot be reached; nothing was written.
        """
        writer = cls(chunk, connect, timeout_ms)
        first, *rest = chunk.targets
        try:
            async with asyncio.timeout(min(writer._stall_s, wire_chunks.OPEN_MS / 1000)):
                writer._stream = await wire_chunks.open_write(
                    connect(first.node_id, first.listen),
                    chunk.chunk_id, chunk.version, chunk.epoch, rest, seal=chunk.seal,
                    base=chunk.base, capability=chunk.capability, chunk_bytes=chunk.chunk_bytes,
                    stall_ms=wire_chunks.stall_ms_behind(writer._stall_s),
                )  # fmt: skip
        except (PydfsError, TimeoutError) as error:
            raise writer._broken(error) from error
        writer._acks = asyncio.create_task(writer._receive_acks(writer._stream))
        return writer

    async def write(self, buffer: bytes | bytearray | memoryview) -> None:
        """Send *buffer*. Read-only buffers are sent as they are and must not change until `finish`;
        writable ones are copied. Bytes beyond the last full packet wait for more, or for `finish`.

        Raises:
            PipelineBroken: a server failed; `fields["failed_node_id"]` names it when known.
            InvalidArgument: more than a chunk may hold.
        """
        view = memoryview(buffer).cast("B")
        if not view.readonly:
            view = memoryview(bytes(view))
        if self._sent_bytes + len(self._gathered) + len(view) > limits.CHUNK_BYTES_MAX:
            raise InvalidArgument(f"a chunk has at most {limits.CHUNK_BYTES_MAX} bytes")
        try:
            self._raise_failure()
            if self._gathered:
                room = limits.PACKET_BYTES - len(self._gathered)
                self._gathered += view[:room]
                view = view[room:]
                if len(self._gathered) == limits.PACKET_BYTES:
                    await self._flush()
            while len(view) >= limits.PACKET_BYTES:
                packet, view = view[: limits.PACKET_BYTES], view[limits.PACKET_BYTES :]
                await self._send(packet)
        finally:
            self._gathered += view  # after a failure too: `unacked` is complete

    async def flush(self) -> None:
        """Send what waits for a full packet; on return every target has all that was written, and
        readers may see it. Raises as `write`."""
        await self._flush()
        self._raise_failure()
        while self.acked_bytes < self._sent_bytes:
            await self._wait_for_news()

    async def finish(self) -> ChunkDone:
        """End the chunk; on return it is on disk on every target (INV-DUR).

        Raises:
            PipelineBroken: as `write`; or the first server says that it holds something else than
                what was sent.
            InvalidArgument: nothing was written.
        """
        said_end = await self._flush(end=True)
        if not self._sent_bytes:
            raise InvalidArgument(f"chunk {self.chunk.chunk_id}: a chunk has at least one byte")
        self._raise_failure()
        assert self._stream is not None
        if not said_end:
            try:
                await self._stream.close_send()
            except PydfsError as error:
                await self._give_up(error)
        while self._durable is None:
            await self._wait_for_news()
        assert self._acks is not None
        await self._acks
        if (self._durable.acked_bytes, self._durable.crc32c) != (self._sent_bytes, self._crc):
            wrong = CorruptionError(
                f"chunk {self.chunk.chunk_id}: sent {self._sent_bytes} bytes with crc32c "
                f"{self._crc:08x}, stored {self._durable.acked_bytes} with "
                f"{self._durable.crc32c:08x}",
                chunk_id=self.chunk.chunk_id,
            )
            raise self._broken(wrong) from wrong
        return ChunkDone(self.chunk.chunk_id, self.chunk.version, self._sent_bytes, self._crc)

    def acked_base(self) -> ChunkBase | None:
        """See ChunkSink."""
        base = self.chunk.base
        if self.acked_bytes <= (base.length if base is not None else 0):
            return base
        return ChunkBase(
            self.chunk.chunk_id, self.chunk.version, self.acked_bytes, self.acked_crc32c,
            self.chunk.targets,
        )  # fmt: skip

    def unacked(self) -> list[memoryview]:
        """What was given to `write` and is not among `acked_bytes`, in order."""
        left = [sent.view for sent in self._sent]
        return [*left, memoryview(bytes(self._gathered))] if self._gathered else left

    async def cancel(self) -> None:
        """Let go of the stream; harmless after a failure and when called twice."""
        if self._acks is not None:
            self._acks.cancel()
            await asyncio.wait([self._acks])
        if self._stream is not None:
            await self._stream.cancel()

    # ---- sending

    async def _flush(self, *, end: bool = False) -> bool:
        """Send what waits for a full packet, with the stream's *end*; whether there was any."""
        if not self._gathered:
            return False
        packet = memoryview(bytes(self._gathered))
        self._gathered.clear()
        await self._send(packet, end=end)
        return True

    async def _send(self, view: memoryview, *, end: bool = False) -> None:
        """Send one packet, the last one with the stream's *end*; whatever happens, it is among
        those sent."""
        crc = crc32c(view)
        head = pack_head(self._sent_bytes, len(view), crc)
        self._sent.append(_Sent(view, crc))
        self._sent_bytes += len(view)
        self._crc = crc32c_combine(self._crc, crc, len(view))
        self._raise_failure()
        while self._sent_bytes - self.acked_bytes > WINDOW_BYTES:
            await self._wait_for_news()
        stream = self._stream
        assert stream is not None
        try:
            await self._watch.persist(lambda: stream.send((head, view), end=end), stream)
        except (PydfsError, TimeoutError) as error:
            await self._give_up(error)

    async def _wait_for_news(self) -> None:
        """Wait until something was acknowledged, or raise why not."""
        self._raise_failure()
        self._news.clear()
        assert self._stream is not None
        try:
            await self._watch.persist(self._news.wait, self._stream)
        except TimeoutError as error:
            if not self._news.is_set():  # else it was us who stood still, and both are here at once
                self._fail(error)
        self._raise_failure()

    # ---- acknowledgements

    async def _receive_acks(self, stream: ChunkStream) -> None:
        """Note every acknowledgement; on an early end, why."""
        try:
            while (message := await stream.receive()) is not None:
                ack = wire_chunks.parse_ack(message)
                self.failed_node_id = ack.failed_node_id or self.failed_node_id
                self._note_acked(ack.acked_bytes)
                if ack.durable:
                    self._durable = ack
                self._news.set()
            if self._durable is None:
                self._fail(PipelineBroken("the stream ended before the chunk was durable"))
        except PydfsError as error:
            self._fail(error)

    def _note_acked(self, acked_bytes: int) -> None:
        """Drop what is acknowledged; the packets' checksums give that of the acknowledged part."""
        acked_bytes = min(acked_bytes, self._sent_bytes)
        while self.acked_bytes < acked_bytes:
            view, crc = self._sent.popleft()
            size = acked_bytes - self.acked_bytes
            if size < len(view):
                self._sent.appendleft(_Sent(view[size:], crc32c(view[size:])))
                view, crc = view[:size], crc32c(view[:size])
            self.acked_crc32c = crc32c_combine(self.acked_crc32c, crc, len(view))
            self.acked_bytes += len(view)

    # ---- failure

    async def _give_up(self, error: PydfsError | TimeoutError) -> None:
        """Sending failed: let the stream say who is to blame, then raise."""
        assert self._acks is not None
        if not isinstance(error, TimeoutError):
            await asyncio.wait([self._acks], timeout=wire_chunks.LAST_WORD_S)
        self._fail(error)
        self._raise_failure()

    def _fail(self, error: PydfsError | TimeoutError) -> None:
        if self._failure is None:
            self._failure = self._broken(error)
            self._failure.__cause__ = error
        self._news.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _broken(self, error: PydfsError | TimeoutError) -> PipelineBroken:
        told = error.fields.get("failed_node_id", "") if isinstance(error, PydfsError) else ""
        if told:
            self.failed_node_id = str(told)
        elif not self.failed_node_id and not isinstance(error, StaleEpoch):
            # Nobody was named: it is the only server that we talk to ourselves.
            self.failed_node_id = self.chunk.targets[0].node_id
        reason = str(error) or "no connection in time"
        return PipelineBroken(
            f"chunk {self.chunk.chunk_id}: the write broke after {self.acked_bytes} bytes at "
            f"{self.failed_node_id or 'no server'}: {reason}",
            failed_node_id=self.failed_node_id,
            acked_bytes=self.acked_bytes,
        )

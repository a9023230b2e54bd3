"""One chunk being received: written here and forwarded to the next server at the same time.

    upstream -> receive (verify, forward) -> bounded queue -> write (threads)
    upstream <- acknowledgements: the least of what is written here and what downstream has

What is acknowledged is in the file of every server from here on, so that a seal finds it there
after any of them failed.

A chunk of one packet that comes with the stream's end needs none of this: it is forwarded, written
and made durable in one go, and acknowledged once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from pydfsnode import limits
from pydfsnode._fast import crc32c_combine
from pydfsnode.client import wire_chunks
from pydfsnode.client.model import ChunkBase, Replica
from pydfsnode.client.wire_chunks import ChunkStream, Connect, WriteAck
from pydfsnode.errors import (
    CorruptionError,
    InvalidArgument,
    MalformedMessage,
    PipelineBroken,
    PydfsError,
    StaleChunkVersion,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc.chunk_packets import parse_head, parse_packet
from pydfsnode.rpc.server import ServerStream
from pydfsnode.rpc.stream_watch import StreamWatch
from pydfsnode.storage.open_chunk import OpenChunk

QUEUE_PACKETS = 4
"""Packets between the network and the disk: they overlap, and memory stays bounded."""
QUEUED_PACKETS_MAX = 48
"""Of all chunks that are received at once: many have one each."""

ONLY_PACKET_S = 0.02
"""How long a chunk may take to show that it is of one packet, before it gets a pipeline."""

_log = get_logger("chunkserver.pipeline")

SendAck = Callable[[WriteAck], Awaitable[None]]


def queue_packets(streams: int) -> int:
    """How many packets of each chunk may wait for the disk while so many are received."""
    return max(1, min(QUEUE_PACKETS, QUEUED_PACKETS_MAX // max(1, streams)))


class ChainPlace(NamedTuple):
    """Who we are in a pipeline, and who comes behind us, in order."""

    node_id: str
    epoch: int
    downstream: Sequence[Replica]
    seal: int = 0
    """Whether the chunk is sealed at rest, a `SealChoice`."""
    base: ChunkBase | None = None
    """What it begins with, here already."""
    capability: bytes = b""
    """The writer's, for those behind us."""
    chunk_bytes: int = 0
    """As the writer said, for those behind us too."""
    stall_ms: int = 0
    """How long the next server may make no progress, as the one before us said; 0: as usual."""


class WritePipeline:
    """Receives one chunk; `run` once."""

    def __init__(
        self,
        chunk: OpenChunk,
        place: ChainPlace,
        upstream: ServerStream,
        send_ack: SendAck,
        connect: Connect,
        streams: Callable[[], int] = lambda: 1,
    ) -> None:
        """*streams*: how many chunks are received here now."""
        self._streams = streams
        self._chunk = chunk
        self._place = place
        self._upstream = upstream
        self._send_ack = send_ack
        self._connect = connect
        self._downstream: ChunkStream | None = None
        self._queue: asyncio.Queue[memoryview | None] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._news = asyncio.Event()
        base = place.base
        self._received = self._written = base.length if base is not None else 0
        self._crc = base.crc32c if base is not None else 0
        self._forwarded_end = False
        self._downstream_acked = self._written
        self._downstream_durable: WriteAck | None = None
        self._downstream_done = asyncio.Event()
        self._stall_s = wire_chunks.stall_s(len(place.downstream), place.stall_ms)
        self._watch = StreamWatch(self._stall_s)

    async def run(self) -> None:
        """Receive to the end; on return the chunk is durable in all servers, and upstream knows.

        Raises:
            PydfsError: after a last acknowledgement; `fields["failed_node_id"]` says which server
                of the pipeline broke it, "" when it was none of them.
        """
        try:
            packet = await self._only_packet()
            await self._open_downstream()
            whole = await (self._transfer() if packet is None else self._transfer_only(packet))
            await self._send_ack(WriteAck(self._written, True, whole, ""))
        except BaseExceptionGroup as failures:
            await self._end_broken(_first_error(failures))
        except PydfsError as error:
            await self._end_broken(error)
        finally:
            if self._downstream is not None:
                await self._downstream.cancel()

    async def _open_downstream(self) -> None:
        if not self._place.downstream:
            return
        following, *rest = self._place.downstream
        chunk = self._chunk
        try:
            async with asyncio.timeout(min(self._stall_s, wire_chunks.OPEN_MS / 1000)):
                self._downstream = await wire_chunks.open_write(
                    self._connect(following.node_id, following.listen),
                    chunk.chunk_id, chunk.version, self._place.epoch, rest,
                    seal=self._place.seal, base=self._place.base,
                    capability=self._place.capability, chunk_bytes=self._place.chunk_bytes,
                    stall_ms=wire_chunks.stall_ms_behind(self._stall_s),
                )  # fmt: skip
        except (PydfsError, TimeoutError) as error:
            raise self._downstream_broken(error) from error

    async def _transfer(self) -> int:
        """Run all directions until the chunk is durable everywhere; returns its CRC32C."""
        async with asyncio.TaskGroup() as tasks:
            watching = [
                tasks.create_task(self._end_when_revoked()),
                tasks.create_task(self._acknowledge()),
            ]
            tasks.create_task(self._receive())
            if self._downstream is not None:
                watching.append(tasks.create_task(self._watch_downstream(self._downstream)))
                tasks.create_task(self._receive_acks(self._downstream))
            whole = await self._write()
            if self._downstream is not None:
                await self._downstream_done.wait()
            for task in watching:
                task.cancel()
        return whole

    # ---- a chunk of one packet

    async def _only_packet(self) -> memoryview | bytes | None:
        """The packet that is the whole chunk; None: it has more, or was begun ahead of its bytes"""
        if self._place.base is not None:
            return None
        try:
            async with asyncio.timeout(ONLY_PACKET_S):
                return await self._upstream.receive_only()
        except TimeoutError:
            return None

    async def _transfer_only(self, packet: memoryview | bytes) -> int:
        """Forward, write and finish the chunk that *packet* is; returns its CRC32C.

        While it is written here the next server works on it too, and its answer can wait.
        """
        view = self._checked(packet)
        self._received = len(view)
        downstream = self._downstream
        if downstream is not None:
            try:
                # When it refuses, the reason comes with its answer.
                with contextlib.suppress(PydfsError):
                    await self._watch.persist(lambda: downstream.send(packet, end=True), downstream)
            except TimeoutError as error:
                raise self._downstream_broken(error) from error
        loop = asyncio.get_running_loop()
        began = loop.time()
        whole = await self._chunk.finish([view], self._crc)
        metrics().counter("chunk_write_bytes_total").inc(self._received)
        self._written = self._received
        if downstream is not None:
            # The one before us has counted meanwhile.
            took_s = loop.time() - began
            try:
                await self._watch.persist(
                    lambda: self._receive_acks(downstream), downstream, took_s
                )
            except TimeoutError as error:
                raise self._downstream_broken(error) from error
        return whole

    # ---- from upstream to the disk and downstream

    async def _receive(self) -> None:
        downstream = self._downstream
        while (packet := await self._upstream.receive()) is not None:
            view = self._checked(packet)
            self._received += len(view)
            if downstream is not None:
                try:
                    await downstream.send(packet)
                except PydfsError as error:
                    # What it acknowledged and whom it blames may still be on its way to us.
                    await self._hear_out(error)
            while self._queue.qsize() >= queue_packets(self._streams()):
                self._taken.clear()
                await self._taken.wait()
            self._queue.put_nowait(view)
        if downstream is not None:
            self._forwarded_end = True
            await downstream.close_send()
        self._queue.put_nowait(None)

    def _checked(self, packet: bytes | memoryview) -> memoryview:
        """The bytes of *packet*, verified and in their place."""
        _, length, crc = parse_head(packet)
        offset, view = parse_packet(packet)
        if offset != self._received or not length:
            raise MalformedMessage(
                f"chunk {self._chunk.chunk_id}: a packet of {length} bytes at offset {offset}, "
                f"offset {self._received} was expected"
            )
        if offset + length > limits.CHUNK_BYTES_MAX:
            raise InvalidArgument(
                f"chunk {self._chunk.chunk_id}: more than {limits.CHUNK_BYTES_MAX} bytes"
            )
        self._crc = crc32c_combine(self._crc, crc, length)
        return view

    async def _write(self) -> int:
        """Write what comes out of the queue, finish at its end; returns the chunk's CRC32C."""
        written_bytes = metrics().counter("chunk_write_bytes_total")
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            self._taken.set()
            views = [view for view in batch if view is not None]
            if len(views) < len(batch):
                whole = await self._chunk.finish(views, self._crc)
                written_bytes.inc(self._received - self._written)
                self._written = self._received
                return whole
            await self._chunk.append(views)
            written_bytes.inc(self._chunk.length - self._written)
            self._written = self._chunk.length
            self._news.set()

    async def _end_when_revoked(self) -> None:
        await self._chunk.revoked.wait()
        raise StaleChunkVersion(
            f"chunk {self._chunk.chunk_id} version {self._chunk.version} was sealed or deleted "
            "while it was written"
        )

    # ---- acknowledgements

    @property
    def _acked(self) -> int:
        if not self._place.downstream:
            return self._written
        return min(self._written, self._downstream_acked)

    async def _acknowledge(self) -> None:
        """Tell upstream whenever more is acknowledged; what comes meanwhile is told at once."""
        told = self._acked
        while True:
            await self._news.wait()
            self._news.clear()
            if self._acked > told:
                told = self._chunk.readable_bytes = self._acked
                await self._send_ack(WriteAck(told, False, 0, ""))

    async def _receive_acks(self, downstream: ChunkStream) -> None:
        blamed = ""
        try:
            while (message := await downstream.receive()) is not None:
                ack = wire_chunks.parse_ack(message)
                blamed = ack.failed_node_id or blamed
                self._downstream_acked = ack.acked_bytes
                if ack.durable:
                    self._check_durable(ack)
                    self._downstream_done.set()
                self._news.set()
        except PydfsError as error:
            raise self._downstream_broken(error, blamed) from error
        if not self._downstream_done.is_set():
            raise self._downstream_broken(PipelineBroken("it ended before it was durable"), blamed)

    def _check_durable(self, ack: WriteAck) -> None:
        if (ack.acked_bytes, ack.crc32c) != (self._received, self._crc):
            raise CorruptionError(
                f"it stored {ack.acked_bytes} bytes with crc32c {ack.crc32c:08x}, sent were "
                f"{self._received} with {self._crc:08x}"
            )

    async def _watch_downstream(self, downstream: ChunkStream) -> None:
        """Fail when what was forwarded is not acknowledged for too long."""
        before = 0
        while True:
            await asyncio.sleep(self._watch.step_s)
            acked = self._downstream_acked
            owes = self._forwarded_end or self._received > acked
            if owes and acked == before and not self._downstream_done.is_set():
                try:
                    self._watch.stood_still(downstream)
                except TimeoutError as error:
                    raise self._downstream_broken(error) from error
            else:
                self._watch.went_on()
            before = acked

    # ---- failure

    def _downstream_broken(
        self, error: PydfsError | TimeoutError, blamed: str = ""
    ) -> PipelineBroken:
        following = self._place.downstream[0].node_id
        if isinstance(error, PydfsError):
            blamed = str(error.fields.get("failed_node_id", "")) or blamed
        reason = str(error) or "no connection in time"
        return PipelineBroken(
            f"chunk {self._chunk.chunk_id}: {following}: {reason}",
            failed_node_id=blamed or following,
        )

    async def _hear_out(self, error: PydfsError) -> None:
        """Sending failed: `_receive_acks` soon says why; this is for when it does not."""
        await asyncio.sleep(wire_chunks.LAST_WORD_S)
        raise self._downstream_broken(error) from error

    async def _end_broken(self, error: PydfsError) -> None:
        """Say what was acknowledged and who failed, then raise."""
        if "failed_node_id" not in error.fields:
            ours = not isinstance(error, StaleChunkVersion)
            error.fields["failed_node_id"] = self._place.node_id if ours else ""
        failed = str(error.fields["failed_node_id"])
        _log.warning(
            "a write broke",
            chunk_id=self._chunk.chunk_id,
            acked_bytes=self._acked,
            failed_node_id=failed,
            error=str(error),
        )
        with contextlib.suppress(PydfsError):  # upstream may be what failed
            await self._send_ack(WriteAck(self._acked, False, 0, failed))
        raise error


def _first_error(failures: BaseExceptionGroup[BaseException]) -> PydfsError:
    """The error that ended the pipeline; a bug is raised as itself."""
    first = failures.exceptions[0]
    if isinstance(first, PydfsError):
        return first
    raise first

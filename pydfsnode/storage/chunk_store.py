"""A chunkserver's store as the event loop sees it: the work on the disk runs in its own threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, InvalidArgument, InvariantViolation, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.storage.chunk_disk import ChunkDisk, StatVfs
from pydfsnode.storage.chunk_disk_set import DiskSet
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.chunk_packer import ChunkPacker
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.first_touch import FirstTouch
from pydfsnode.storage.segment_compaction import Compaction

IO_THREADS = 8  # limits.py candidate
BROKEN_CHUNK_KEPT_MS = 600_000  # limits.py candidate
"""How long what a broken stream left waits for its seal."""
BROKEN_CHUNKS_MAX = 1024  # limits.py candidate

T = TypeVar("T")
Args = TypeVarTuple("Args")
_log = get_logger("storage.chunk_store")


class Packet(NamedTuple):
    """Verified bytes of a chunk; crc32c is of exactly these."""

    offset: int
    data: memoryview
    crc32c: int


class DiskSignals(NamedTuple):
    """How the disks of a node do: percentiles of the last 10 to 20 s, of the slowest disk."""

    read_p50_us: int
    read_p99_us: int
    write_p50_us: int
    write_p99_us: int
    failed_disks: int
    read_errors: int
    """Reads that a disk refused, since the start."""


class OpenChunk:
    """A chunk that a stream is writing. Appends are not to overlap; one task drives it."""

    def __init__(self, store: ChunkStore, writer: ChunkFileWriter) -> None:
        self.chunk_id = writer.chunk_id
        self.version = writer.version
        self.revoked = asyncio.Event()
        """Set when a seal or a deletion took the chunk away: the stream should end."""
        self._store = store
        self._writer = writer

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._writer.length

    async def append(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Write *buffers*; raises as `ChunkReplicas.append`."""
        if self._writer.holds(buffers):
            self._writer.append(buffers)  # into memory: no thread is needed
        else:
            await self._store.append(self._writer, buffers)

    async def finish(self, buffers: Sequence[memoryview | bytes], crc: int | None) -> int:
        """Write the last *buffers*, make the chunk durable and readable; returns its CRC32C.

        *crc* is that of all bytes as they were received; None: not known.

        Raises:
            as `ChunkReplicas.finish`. An empty chunk is refused with InvalidArgument.
        """
        return await self._store.finish(self, self._writer, buffers, crc)

    def keep(self, now_ms: int) -> None:
        """The stream broke: what was written waits for a seal, for a bounded time."""
        self._store.keep(self, self._writer, now_ms)

    async def discard(self, why: str) -> None:
        """Give the chunk up; nothing when it is finished or taken."""
        await self._store.discard(self, self._writer, why)


class ChunkStore:
    """Chunks of one node. Make it with `open`, inside the loop."""

    def __init__(
        self,
        disks: Sequence[ChunkDisk],
        seconds: Callable[[], float] | None = None,
        pack_bytes_max: int = 0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="chunk-io")
        self._seconds = seconds or self._loop.time
        self._replicas = ChunkReplicas(
            disks, self._note_change, self._seconds, self._end, pack_bytes_max
        )
        self._packer = ChunkPacker(
            self._replicas.growing, lambda batch: self.start(self._replicas.finish_all, batch)
        )
        self._touched = FirstTouch()
        self._streams: dict[int, OpenChunk] = {}
        self._kept: dict[OpenChunk, tuple[ChunkFileWriter, int]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._change_noted = False
        self._closed = False
        self.foreground_bytes = 0
        """Bytes read and written for others so far; the scrubber waits while it grows."""
        self.failed: asyncio.Future[InvariantViolation] = self._loop.create_future()
        """Resolves when the node must stop (INV-STOP)."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        reserved_bytes: int,
        statvfs: StatVfs = os.statvfs,
    ) -> ChunkStore:
        """Take over *directory* alone, keeping *reserved_bytes* of its disk free.

        Raises:
            ConfigError: the directory cannot be used.
        """
        return await cls.open_disks([ChunkDisk(directory, reserved_bytes, statvfs)])

    @classmethod
    async def open_disks(
        cls,
        disks: Sequence[ChunkDisk],
        seconds: Callable[[], float] | None = None,
        pack_bytes_max: int = 0,
    ) -> ChunkStore:
        """Take over *disks*; those that cannot be used are left out.

        Args:
            seconds: a fine clock for latencies, from any thread; None: the loop's.
            pack_bytes_max: chunks up to this size are packed into segments; 0: none.

        Raises:
            ConfigError, InvariantViolation: none can be used.
        """
        store = cls(disks, seconds, pack_bytes_max)
        try:
            await store.run(store._replicas.open)
        except BaseException:
            store._pool.shutdown(wait=False)
            raise
        return store

    @property
    def index(self) -> ChunkIndex:
        """What is here, for reports."""
        return self._replicas.index

    def free_bytes(self) -> int:
        """Bytes that new chunks may take."""
        return self._replicas.free_bytes()

    @property
    def disks(self) -> DiskSet:
        """The disks, for what is told of them."""
        return self._replicas.disks

    def signals(self) -> DiskSignals:
        """How the disks do, the slowest counting."""
        now = self._seconds()
        live = self._replicas.disks.live
        reads = [disk.latency.reads.view(now) for disk in live]
        writes = [disk.latency.writes.view(now) for disk in live]
        return DiskSignals(
            max((view.p50_us for view in reads), default=0),
            max((view.p99_us for view in reads), default=0),
            max((view.p50_us for view in writes), default=0),
            max((view.p99_us for view in writes), default=0),
            len(self._replicas.disks.failed),
            sum(disk.read_errors for disk in self._replicas.disks.all),
        )

    def compactions(self) -> list[Compaction]:
        """What frees the room of deleted small chunks, one for each disk; to be `run`."""
        return self._replicas.compactions()

    async def check_disks(self) -> None:
        """Take out disks that vanished or became read-only without anybody using them."""
        await self.run(self._replicas.disks.check)
        await self.run(self._replicas.flush)

    def lose_disk(self, directory: Path, reason: str) -> None:
        """Something else than the store saw the disk of *directory* fail."""
        for disk in self._replicas.disks.live:
            if disk.directory == directory:
                self._replicas.disks.take_out(disk, reason)

    def find(self, chunk_id: int, version: int) -> Replica:
        """The readable replica of this version; raises as `ChunkReplicas.find`."""
        return self._replicas.find(chunk_id, version)

    def growing(self) -> int:
        """Chunks that are being written or wait for a seal."""
        return len(self._replicas.growing)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* in the loop after each change of the index."""
        self._listeners.append(listener)

    # ---- writing

    def create(
        self, chunk_id: int, version: int, bytes_expected: int = limits.CHUNK_BYTES_MAX
    ) -> OpenChunk:
        """Begin a chunk; raises as `ChunkReplicas.create`."""
        self._refuse_after_failure()
        chunk = OpenChunk(self, self._replicas.create(chunk_id, version, bytes_expected))
        replaced = self._streams.get(chunk_id)
        self._streams[chunk_id] = chunk
        if replaced is not None:
            self._forget(replaced)
            replaced.revoked.set()
        return chunk

    async def seal(self, chunk_id: int, version: int, new_version: int, length: int) -> int:
        """End a chunk at *length* bytes as *new_version*; see `ChunkReplicas.seal`."""
        crc = await self.run(self._replicas.seal, chunk_id, version, new_version, length)
        self._revoke(chunk_id, version)
        return crc

    async def delete(self, chunk_id: int, version: int) -> None:
        """Remove a chunk up to *version*; see `ChunkReplicas.delete`."""
        await self.run(self._replicas.delete, chunk_id, version)
        self._revoke(chunk_id, version)

    async def append(self, writer: ChunkFileWriter, buffers: Sequence[memoryview | bytes]) -> None:
        """See `OpenChunk.append`."""
        await self.run(self._replicas.append, writer, buffers)
        self.foreground_bytes += sum(map(len, buffers))

    async def finish(
        self,
        chunk: OpenChunk,
        writer: ChunkFileWriter,
        buffers: Sequence[memoryview | bytes],
        crc: int | None,
    ) -> int:
        """See `OpenChunk.finish`; one trip to the threads, whatever is still to be written."""
        if not writer.length and not buffers:
            await self.discard(chunk, writer, "it stayed empty")
            raise InvalidArgument(f"chunk {chunk.chunk_id}: a chunk has at least one byte")
        started = self._loop.time()
        try:
            if writer.holds(buffers):
                writer.append(buffers)
                whole = await self._packer.finish(writer, crc)
            else:
                whole = await self.run(self._append_and_finish, writer, buffers, crc)
        finally:
            if writer.closed:
                self._forget(chunk)
        self.foreground_bytes += sum(map(len, buffers))
        metrics().histogram("chunk_fsync_seconds").observe(self._loop.time() - started)
        return whole

    def keep(self, chunk: OpenChunk, writer: ChunkFileWriter, now_ms: int) -> None:
        """See `OpenChunk.keep`. The oldest is given up when too many wait."""
        if self._streams.get(chunk.chunk_id) is not chunk:
            return  # finished, sealed, deleted or given up
        if writer.closed or not writer.length:
            self._drop_soon(chunk, writer, "nothing was written")
            return
        self._replicas.growing.release_room(writer)
        self._kept[chunk] = (writer, now_ms)
        if len(self._kept) > BROKEN_CHUNKS_MAX:
            oldest = next(iter(self._kept))
            self._drop_soon(oldest, self._kept[oldest][0], "too many broken chunks wait")

    def sweep(self, now_ms: int) -> int:
        """Drop what waited too long for its seal; returns how many."""
        late = [
            (chunk, writer)
            for chunk, (writer, since_ms) in self._kept.items()
            if now_ms - since_ms >= BROKEN_CHUNK_KEPT_MS
        ]
        for chunk, writer in late:
            self._drop_soon(chunk, writer, "no seal came in time")
        return len(late)

    async def discard(self, chunk: OpenChunk, writer: ChunkFileWriter, why: str) -> None:
        """See `OpenChunk.discard`."""
        self._forget(chunk)
        await self.run(self._replicas.drop, writer, why)

    # ---- reading

    async def read(
        self, chunk_id: int, version: int, offset: int, length: int
    ) -> AsyncIterator[Packet]:
        """The packets of a range, one read ahead; every block they touch is verified (INV-SUM).

        Packets end at multiples of PACKET_BYTES, so that all but the edges are whole blocks.

        Raises:
            ReplicaNotFound, StaleChunkVersion: another version, or none, is here.
            InvalidArgument: the range is not inside the chunk.
            CorruptionError: a block is bad; the replica is marked and reported.
        """
        held = self._replicas.find(chunk_id, version)
        end = offset + length
        if length <= 0 or offset < 0 or end > held.length:
            raise InvalidArgument(
                f"chunk {chunk_id}: bytes {offset}..{end} are not inside its {held.length}"
            )
        reader = await self.run(self._replicas.reader, held)
        try:
            ahead = self._read_ahead(reader, held, offset, end)
            while offset < end:
                packet = await ahead
                offset += len(packet.data)
                if offset < end:
                    ahead = self._read_ahead(reader, held, offset, end)
                self.foreground_bytes += len(packet.data)
                metrics().counter("chunk_read_bytes_total").inc(len(packet.data))
                yield packet
        finally:
            self._close_reader(reader)

    async def verify(self, held: Replica) -> AsyncIterator[int]:
        """Read *held* from its disk and verify every block of it; yields the bytes of each step.

        Raises:
            as `read`; ReplicaNotFound too when it was deleted meanwhile.
        """
        reader = await self.run(self._replicas.reader, held)
        try:
            for offset in range(0, held.length, limits.PACKET_BYTES):
                size = min(limits.PACKET_BYTES, held.length - offset)
                await self.run(self._verify, reader, held, offset, size)
                yield size
        finally:
            self._close_reader(reader)

    def _verify(self, reader: ChunkFileReader, held: Replica, offset: int, size: int) -> None:
        # From the disk: what is in the page cache says nothing of it.
        self._replicas.read(reader, held, offset, size, past_cache=True)

    def _close_reader(self, reader: ChunkFileReader) -> None:
        """A read may still run in a thread; the close waits for it there, not here."""
        if self._closed:
            reader.close()
        else:
            self._pool.submit(reader.close)

    def _read_ahead(
        self, reader: ChunkFileReader, held: Replica, offset: int, end: int
    ) -> asyncio.Future[Packet]:
        boundary = (offset // limits.PACKET_BYTES + 1) * limits.PACKET_BYTES
        size = min(end, boundary) - offset
        future = self._loop.run_in_executor(
            self._pool, self._read_packet, reader, held, offset, size
        )
        future.add_done_callback(_look_at_error)
        return future

    def _read_packet(
        self, reader: ChunkFileReader, held: Replica, offset: int, size: int
    ) -> Packet:
        try:
            first = self._touched.is_first(held.chunk_id, held.version, offset, size)
            view = self._replicas.read(reader, held, offset, size, past_cache=first)
        except CorruptionError as error:
            _log.error("a replica is corrupt", chunk_id=held.chunk_id, error=str(error))
            metrics().counter("chunk_corrupt_total").inc()
            raise
        return Packet(offset, view, crc32c(view))

    # ---- threads and end

    async def run(self, work: Callable[[*Args], T], *args: *Args) -> T:
        """Run *work* in a thread of the store; a cancelled caller does not stop it."""
        # Shielded, or work that still waits for a thread would not be done at all.
        return await asyncio.shield(self.start(work, *args))

    def start(self, work: Callable[[*Args], T], *args: *Args) -> asyncio.Future[T]:
        """Begin *work* as `run` does; nobody has to wait for it."""
        self._refuse_after_failure()
        future = self._loop.run_in_executor(self._pool, self._watched, work, *args)
        future.add_done_callback(_look_at_error)
        return future

    async def close(self) -> None:
        """Finish what runs, drop what is being written. The store cannot be used afterwards."""
        if self._closed:
            return
        self._closed = True
        await self._loop.run_in_executor(None, self._pool.shutdown)
        self._replicas.close()

    def _watched(self, work: Callable[[*Args], T], *args: *Args) -> T:
        try:
            return work(*args)
        except InvariantViolation as error:
            # Told to the node even if nobody waits for this work any more.
            self._end(error)
            raise

    def _append_and_finish(
        self, writer: ChunkFileWriter, buffers: Sequence[memoryview | bytes], crc: int | None
    ) -> int:
        if buffers:
            self._replicas.append(writer, buffers)
        return self._replicas.finish(writer, crc)

    def _end(self, error: InvariantViolation) -> None:
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: InvariantViolation) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _refuse_after_failure(self) -> None:
        if self.failed.done():
            raise self.failed.result()
        if self._closed:
            raise Unavailable("the chunk store is closed: this node stops")

    def _drop_soon(self, chunk: OpenChunk, writer: ChunkFileWriter, why: str) -> None:
        """Drop in a thread: a write of the chunk may still run in another, and has to end first."""
        self._forget(chunk)
        if not self._closed:  # `close` drops everything
            self._pool.submit(self._replicas.drop, writer, why)

    def _revoke(self, chunk_id: int, version: int) -> None:
        chunk = self._streams.get(chunk_id)
        if chunk is not None and chunk.version <= version:
            self._forget(chunk)
            chunk.revoked.set()

    def _forget(self, chunk: OpenChunk) -> None:
        self._kept.pop(chunk, None)
        if self._streams.get(chunk.chunk_id) is chunk:
            del self._streams[chunk.chunk_id]

    def _note_change(self) -> None:
        if not self._change_noted:  # many changes, one turn of the loop
            self._change_noted = True
            self._loop.call_soon_threadsafe(self._tell_listeners)

    def _tell_listeners(self) -> None:
        self._change_noted = False
        for listener in self._listeners:
            listener()


def _look_at_error(future: asyncio.Future[Any]) -> None:
    """Mark the error of work that nobody awaits any more as seen."""
    if not future.cancelled():
        future.exception()

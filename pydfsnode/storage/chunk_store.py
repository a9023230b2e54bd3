"""A chunkserver's store as the event loop sees it: the work on the disk runs in its own threads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from pydfsnode import limits
from pydfsnode.errors import (
    FileKeyMissing,
    InvalidArgument,
    InvariantViolation,
    ReplicaNotFound,
    Unavailable,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.security.chunk_keys import NO_KEYS, ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk, StatVfs, disk_failed
from pydfsnode.storage.chunk_disk_set import DiskSet
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.chunk_packer import ChunkPacker
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.disk_signals import DiskSignals, signals_of
from pydfsnode.storage.disk_threads import DiskThreads
from pydfsnode.storage.first_touch import FirstTouch
from pydfsnode.storage.open_chunk import ChunkState, OpenChunk, Packet
from pydfsnode.storage.range_read import RangeRead
from pydfsnode.storage.segment_compaction import Compaction

READS_AHEAD_MAX = 24
"""While more chunks are read at once, no packet is read ahead: the others keep the disk busy."""
KEYS_AHEAD = 256
"""Chunks with ids from one on whose files' keys are asked for together."""
CHECK_WAIT_S = 5.0
"""A look at an idle disk that takes longer is not waited for."""
BROKEN_CHUNK_KEPT_MS = 600_000  # limits.py candidate
"""How long what a broken stream left waits for its seal."""
BROKEN_CHUNKS_MAX = 1024  # limits.py candidate

T = TypeVar("T")
Args = TypeVarTuple("Args")
_log = get_logger("storage.chunk_store")


class ChunkStore:
    """Chunks of one node. Make it with `open`, inside the loop."""

    def __init__(
        self,
        disks: Sequence[ChunkDisk],
        seconds: Callable[[], float] | None = None,
        pack_bytes_max: int = 0,
        keys: ChunkKeys = NO_KEYS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = DiskThreads()
        self._seconds = seconds or self._loop.time
        self._replicas = ChunkReplicas(
            disks, self._note_change, self._seconds, self._end, pack_bytes_max, keys
        )
        self._file_keys = keys.files
        self._packer = ChunkPacker(
            self._replicas.growing,
            lambda disk, batch: self.start(disk, self._replicas.finish_all, batch),
        )
        self._touched = FirstTouch()
        self._streams: dict[int, OpenChunk] = {}
        self._kept: dict[OpenChunk, tuple[ChunkFileWriter, int]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._change_noted = False
        self._closed = False
        self._reads = 0
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
        keys: ChunkKeys = NO_KEYS,
    ) -> ChunkStore:
        """Take over *disks*; those that cannot be used are left out.

        Args:
            seconds: a fine clock for latencies, from any thread; None: the loop's.
            pack_bytes_max: chunks up to this size are packed into segments; 0: none.
            keys: of chunks that are sealed at rest.

        Raises:
            ConfigError, InvariantViolation: none can be used.
        """
        store = cls(disks, seconds, pack_bytes_max, keys)
        try:
            await store.run(store._replicas.open)
        except BaseException:
            store._threads.close()
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
        return signals_of(self._replicas.disks, self._seconds())

    def compactions(self) -> list[Compaction]:
        """What frees the room of deleted small chunks, one for each disk; to be `run`."""
        return self._replicas.compactions()

    async def check_disks(self) -> None:
        """Take out disks that vanished or became read-only without anybody using them."""
        live = self._replicas.disks.live
        checks = [self.start(disk, self._replicas.check, disk) for disk in live]
        if checks:
            await asyncio.wait(checks, timeout=CHECK_WAIT_S)

    def look_at_disks(self, looks_max: int) -> None:
        """Take out disks that are at one job for the so-many-th look; at even intervals."""
        for disk in self._threads.look(looks_max):
            reason = "it does not answer"
            self._threads.abandon(disk, disk_failed(disk.directory, reason))
            # In a thread of that disk: to give its files up may take as long.
            self._threads.submit(disk, self.lose_disk, disk.directory, reason)

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
        self,
        chunk_id: int,
        version: int,
        bytes_expected: int = limits.CHUNK_BYTES_MAX,
        *,
        is_sealed: bool = False,
        is_keyed: bool = False,
    ) -> OpenChunk:
        """Begin a chunk; raises as `ChunkReplicas.create`."""
        self._refuse_after_failure()
        writer = self._replicas.create(chunk_id, version, bytes_expected, is_sealed, is_keyed)
        return self._enter(OpenChunk(self, writer))

    async def resume(
        self, chunk_id: int, version: int, length: int,
        bytes_expected: int = limits.CHUNK_BYTES_MAX,
    ) -> OpenChunk | None:  # fmt: skip
        """Go on with an older version that grows here; see `ChunkReplicas.resume`."""
        disk = self._replicas.disk_of(chunk_id)
        writer = await self.run_on(
            disk, self._replicas.resume, chunk_id, version, length, bytes_expected
        )
        if writer is None:
            return None
        chunk = self._enter(OpenChunk(self, writer))
        chunk.readable_bytes = length
        return chunk

    def _enter(self, chunk: OpenChunk) -> OpenChunk:
        """*chunk* is what its id means from now on; who wrote an older version has to end."""
        replaced = self._streams.get(chunk.chunk_id)
        self._streams[chunk.chunk_id] = chunk
        if replaced is not None:
            self._forget(replaced)
            replaced.revoked.set()
        return chunk

    async def seal(self, chunk_id: int, version: int, new_version: int, length: int) -> int:
        """End a chunk at *length* bytes as *new_version*; see `ChunkReplicas.seal`."""
        disk = self._replicas.disk_of(chunk_id)
        crc = await self.run_on(disk, self._replicas.seal, chunk_id, version, new_version, length)
        self._revoke(chunk_id, version)
        return crc

    async def reseal(self, chunk_id: int, version: int, *, is_sealed: bool = True) -> None:
        """Write a finished chunk anew with the newest key; see `ChunkReplicas.reseal`."""
        reseal = partial(self._replicas.reseal, chunk_id, version, is_sealed=is_sealed)
        await self.run_on(self._replicas.disk_of(chunk_id), reseal)

    async def seal_epoch(self, held: Replica) -> int | None:
        """The epoch of the key that *held* is sealed with; None: it is plain.

        Raises:
            as `ChunkReplicas.reader`.
        """
        return await self.run_on(
            self._replicas.disk_of(held.chunk_id), self._replicas.seal_epoch, held
        )

    async def delete(self, chunk_id: int, version: int) -> None:
        """Remove a chunk up to *version*; see `ChunkReplicas.delete`."""
        disk = self._replicas.disk_of(chunk_id)
        await self.run_on(disk, self._replicas.delete, chunk_id, version)
        self._file_keys.drop(chunk_id)
        self._revoke(chunk_id, version)

    async def append(self, writer: ChunkFileWriter, buffers: Sequence[memoryview | bytes]) -> None:
        """See `OpenChunk.append`."""
        await self.run_on(self._disk_of(writer), self._replicas.append, writer, buffers)
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
                disk = self._disk_of(writer)
                whole = await self.run_on(disk, self._append_and_finish, writer, buffers, crc)
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
        await self.run_on(self._disk_of(writer), self._replicas.drop, writer, why)

    # ---- reading

    def state(self, chunk_id: int) -> ChunkState:
        """What is here of a chunk; of one that is being written, what readers may see.

        Raises:
            ReplicaNotFound: nothing.
        """
        chunk = self._streams.get(chunk_id)
        if chunk is not None and chunk.readable_bytes:
            return ChunkState(chunk.version, chunk.readable_bytes, False)
        held = self._replicas.index.get(chunk_id)
        if held is None or self._replicas.index.is_corrupt(chunk_id):
            raise ReplicaNotFound(f"nothing of chunk {chunk_id} is here", chunk_id=chunk_id)
        return ChunkState(held.version, held.length, True)

    async def read(
        self, chunk_id: int, version: int, offset: int, length: int
    ) -> AsyncIterator[Packet]:
        """The packets of a range; every block they touch is verified (INV-SUM).

        One is read ahead, unless many read at once.
        Packets end at multiples of PACKET_BYTES, so that all but the edges are whole blocks.

        Raises:
            ReplicaNotFound, StaleChunkVersion: another version, or none, is here.
            InvalidArgument: the range is not inside the chunk.
            CorruptionError: a block is bad; the replica is marked and reported.
        """
        growing = self._streams.get(chunk_id)
        if growing is not None and growing.version == version:
            async for packet in growing.packets(offset, length):
                yield packet
            return
        held = self._replicas.find(chunk_id, version)
        end = offset + length
        if length <= 0 or offset < 0 or end > held.length:
            raise InvalidArgument(
                f"chunk {chunk_id}: bytes {offset}..{end} are not inside its {held.length}"
            )
        disk = self._replicas.disk_of(held.chunk_id)
        reading = RangeRead(self._replicas, self._touched, held, offset, end)
        ahead = None
        self._reads += 1
        try:
            while offset < end:
                try:
                    packet = await (ahead or self.start(disk, reading.next))
                except FileKeyMissing:  # of the first packet: nothing is open yet
                    await self._have_file_key(chunk_id)
                    continue
                offset += len(packet.data)
                ahead = None
                if offset < end and self._reads <= READS_AHEAD_MAX:
                    ahead = self.start(disk, reading.next)
                self.foreground_bytes += len(packet.data)
                metrics().counter("chunk_read_bytes_total").inc(len(packet.data))
                yield packet
        finally:
            self._reads -= 1
            if not reading.closed:
                self._close_reader(disk, reading)

    async def verify(self, held: Replica) -> AsyncIterator[int]:
        """Read *held* from its disk and verify every block of it; yields the bytes of each step.

        Raises:
            as `read`; ReplicaNotFound too when it was deleted meanwhile.
        """
        disk = self._replicas.disk_of(held.chunk_id)
        reader = await self.run_on(disk, self._replicas.reader, held)
        try:
            for offset in range(0, held.length, limits.PACKET_BYTES):
                size = min(limits.PACKET_BYTES, held.length - offset)
                await self.run_on(disk, self._verify, reader, held, offset, size)
                yield size
        finally:
            self._close_reader(disk, reader)

    def _verify(self, reader: ChunkFileReader, held: Replica, offset: int, size: int) -> None:
        # From the disk: what is in the page cache says nothing of it.
        self._replicas.read(reader, held, offset, size, past_cache=True)

    def _close_reader(self, disk: ChunkDisk | None, reader: ChunkFileReader | RangeRead) -> None:
        """A read may still run in a thread; the close waits for it there, not here."""
        if self._closed:
            reader.close()
        else:
            self._threads.submit(disk, reader.close)

    # ---- threads and end

    async def run(self, work: Callable[[*Args], T], *args: *Args) -> T:
        """Run *work* that is of no disk in a thread; a cancelled caller does not stop it."""
        return await self.run_on(None, work, *args)

    async def run_on(self, disk: ChunkDisk | None, work: Callable[[*Args], T], *args: *Args) -> T:
        """`run`, in a thread of *disk*: StorageError when that does not answer."""
        # Shielded, or work that still waits for a thread would not be done at all.
        try:
            return await asyncio.shield(self.start(disk, work, *args))
        except FileKeyMissing as missing:  # which is seen before anything was done
            await self._have_file_key(int(missing.fields["chunk_id"]))
        return await asyncio.shield(self.start(disk, work, *args))

    async def _have_file_key(self, chunk_id: int) -> None:
        """Get it from the masters, and those of the next chunks: who walks wants them soon."""
        following = range(chunk_id + 1, chunk_id + KEYS_AHEAD)
        index = self._replicas.index
        await self._file_keys.have(chunk_id, (i for i in following if index.get(i) is not None))

    def _disk_of(self, writer: ChunkFileWriter) -> ChunkDisk | None:
        return self._replicas.growing.disk(writer)

    def start(
        self, disk: ChunkDisk | None, work: Callable[[*Args], T], *args: *Args
    ) -> asyncio.Future[T]:
        """Begin *work* as `run_on` does; nobody has to wait for it."""
        self._refuse_after_failure()
        return self._threads.start(disk, self._watched, work, *args)

    async def close(self) -> None:
        """Finish what runs, drop what is being written. The store cannot be used afterwards."""
        if self._closed:
            return
        self._closed = True
        failed = self._replicas.disks.failed
        hung = await self._loop.run_in_executor(None, self._threads.close, failed)
        self._replicas.close(hung)

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
            self._threads.submit(self._disk_of(writer), self._replicas.drop, writer, why)

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

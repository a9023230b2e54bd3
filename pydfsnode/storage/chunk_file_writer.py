"""A chunk that is being written: a temporary file that grows, is cut and made durable. Blocking."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pydfsnode._fast import block_checksums, crc32c, verify_blocks
from pydfsnode.errors import CorruptionError, InvariantViolation, StaleChunkVersion, StorageError
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.security.chunk_cipher import ChunkCipher
from pydfsnode.storage import chunk_format, sealed_chunk
from pydfsnode.storage.aligned_units import UNIT_BYTES
from pydfsnode.storage.chunk_file import FULL, bad_block, disk_full, durability_failure, read_all
from pydfsnode.storage.chunk_held import HeldBytes
from pydfsnode.storage.direct_sink import DirectSink, write_all
from pydfsnode.storage.sealing_sink import SealingSink
from pydfsnode.storage.segment_format import Record
from pydfsnode.storage.segment_sealing import seal_record

WRITEBACK_BYTES = 8 * MIB
"""A growing chunk is handed to the disk every so often, so that its last sync is short."""

_CHECKSUM = struct.Struct("<I")


class ChunkFileWriter:
    """A chunk that is being written, in a temporary file; every method may be called in any thread.

    It is opened at the first byte. After `take` the stream that wrote it can do nothing more with
    it (INV-FENCE), whatever job of it is still queued in a thread.
    """

    def __init__(
        self,
        path: Path,
        chunk_id: int,
        version: int,
        held: HeldBytes | None = None,
        cipher: ChunkCipher | None = None,
    ) -> None:
        """
        Args:
            held: the chunk stays in memory as long as that has room for it; None: it does not.
            cipher: seals what goes to the disk; None: it lies there as it is.
        """
        self.path = path
        self.chunk_id = chunk_id
        self.version = version
        self.length = 0
        """Bytes taken; they are in the file or on their way, not necessarily on the disk."""
        self._lock = threading.RLock()
        self._fd = -1
        self._cipher = cipher
        self._sink: DirectSink | None = None
        self._checksums = bytearray()
        self._partial_crc = 0
        self._partial_bytes = 0
        self._unsynced_bytes = 0
        self._closed = ""
        self._room = held
        self._held: list[memoryview | bytes] | None = [] if held is not None else None

    def append(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Write *buffers* behind what is there and take their checksums.

        Raises:
            DiskFull: the file is removed.
            StaleChunkVersion: the chunk was taken from this writer.
            StorageError: another failure of the disk; the file is removed.
        """
        with self._lock:
            self._check_open()
            size = sum(map(len, buffers))
            if self._held is not None:
                if self._room is not None and self._room.take(size, self.length + size):
                    self._held += buffers
                    self._add(buffers)
                    return
                self._spill()
            try:
                if self._fd < 0:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    self._fd = os.open(self.path, flags, 0o600)
                sink = self._opened_sink()
                sink.write(buffers)
                self._add(buffers)
                self._unsynced_bytes += size
                if self._unsynced_bytes >= WRITEBACK_BYTES and not sink.is_direct:
                    self._sync()
            except OSError as error:
                self._fail(error)

    def finish(self, crc: int | None = None) -> int:
        """Write the tail and make the file durable under its temporary name.

        Args:
            crc: CRC32C of the whole chunk as it was received, to be compared; None: not known.

        Returns:
            CRC32C of the whole chunk.

        Raises:
            CorruptionError: *crc* is another one; the file is removed.
            DiskFull, StaleChunkVersion, StorageError: as `append`.
            DurabilityFailure: the disk refused to sync; the node must stop (INV-STOP).
        """
        with self._lock:
            self._check_open()
            if self._held is not None:
                self._spill()
            sums = self._checked(crc)
            try:
                sink = self._opened_sink()
                sink.settle()
                tail = self._encoded_tail(sink, sums)
                write_all(self._fd, memoryview(tail), self.length)
                self._sync()
            except OSError as error:
                self._fail(error)
            self.close("it is finished")
            return sums.crc32c

    def holds(self, buffers: Sequence[memoryview | bytes]) -> bool:
        """Whether *buffers* too could stay in memory, and nothing went to the disk so far."""
        size = sum(map(len, buffers))
        room = self._room
        return self._held is not None and room is not None and room.fits(size, self.length + size)

    def finish_held(self, crc: int | None = None) -> Record | None:
        """End a chunk that is in memory: its record, to be made durable by the caller.

        None when it went to its file meanwhile: `finish` is for that.

        Raises:
            CorruptionError, StaleChunkVersion: as `finish`.
        """
        with self._lock:
            self._check_open()
            if self._held is None:
                return None
            sums = self._checked(crc)
            record = Record(self.chunk_id, self.version, self.length, sums, self._held)
            if self._cipher is not None:
                record = seal_record(record, self._cipher)
            self.close("it is finished")
            return record

    def _checked(self, crc: int | None) -> chunk_format.Tail:
        if not self.length:
            raise InvariantViolation(f"chunk {self.chunk_id}: an empty chunk was finished")
        checksums = bytes(self._all_checksums())
        whole = chunk_format.fold_checksums(checksums, self.length)
        if crc is not None and crc != whole:
            self.discard("its checksum did not match")
            raise CorruptionError(
                f"chunk {self.chunk_id}: the bytes written have crc32c {whole:08x}, those "
                f"received had {crc:08x}; check this server's memory",
                chunk_id=self.chunk_id,
            )
        return chunk_format.Tail(whole, checksums)

    def _spill(self) -> None:
        """Put what was held into the file."""
        held, self._held = self._held or [], None
        if self._room is not None:
            self._room.give(self.length)
        if not held:
            return
        sums = self._checksums, self._partial_crc, self._partial_bytes
        self._checksums, self._partial_crc, self._partial_bytes = bytearray(), 0, 0
        self.length = 0
        self.append(held)
        # Summed again on the way: what changed in memory meanwhile is not written as good.
        if sums != (self._checksums, self._partial_crc, self._partial_bytes):
            self.discard("its bytes changed in memory")
            raise CorruptionError(
                f"chunk {self.chunk_id}: its bytes changed in memory; check this server's memory",
                chunk_id=self.chunk_id,
            )

    def take(self, why: str) -> ChunkFileWriter:
        """Move the file to a new writer; every later call on this one is refused with *why*."""
        with self._lock:
            self._check_open()
            heir = ChunkFileWriter(self.path, self.chunk_id, self.version, cipher=self._cipher)
            heir.length, heir._fd = self.length, self._fd
            heir._sink, self._sink = self._sink, None
            heir._room, heir._held = self._room, self._held
            self._room = self._held = None
            heir._checksums = self._checksums
            heir._partial_crc, heir._partial_bytes = self._partial_crc, self._partial_bytes
            heir._unsynced_bytes = self._unsynced_bytes
            self._fd = -1
            self.close(why)
            return heir

    def truncate(self, length: int) -> None:
        """Keep the first *length* bytes; the block that is cut is verified, then summed anew.

        Raises:
            CorruptionError: the cut block is not what was written.
        """
        with self._lock:
            self._check_open()
            if not 0 < length <= self.length:
                raise InvariantViolation(
                    f"chunk {self.chunk_id}: cut to {length} of {self.length} bytes"
                )
            first, kept = length // BLOCK_BYTES, length % BLOCK_BYTES
            checksums = self._all_checksums()
            try:
                partial_crc = 0
                if kept:
                    block = self._verified_block(first)
                    partial_crc = crc32c(memoryview(block)[:kept])
                self._cut_file(length)
            except OSError as error:
                self._fail(error)
            self._checksums = checksums[: first * 4]
            self._partial_crc, self._partial_bytes = partial_crc, kept
            self.length = length
            self._cut_held(length)

    def read(self, offset: int, length: int) -> memoryview:
        """The bytes of a range inside what was taken so far, each block verified (INV-SUM).

        Raises:
            CorruptionError: a block is not what was written.
            StaleChunkVersion: the chunk is finished, taken or given up.
            StorageError: the disk does not give it.
        """
        with self._lock:
            self._check_open()
            first, last = offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES)
            try:
                blocks = b"".join(
                    self._read_back(block, min(BLOCK_BYTES, self.length - block * BLOCK_BYTES))
                    for block in range(first, last)
                )
            except OSError as error:
                raise StorageError(
                    f"{self.path}: cannot be read: {error.strerror}; check the disk",
                    chunk_id=self.chunk_id,
                ) from error
            bad = verify_blocks(
                blocks, bytes(self._all_checksums()[first * 4 : last * 4]), BLOCK_BYTES
            )
            if bad >= 0:
                raise bad_block(self.chunk_id, first + bad)
            begin = offset - first * BLOCK_BYTES
            return memoryview(blocks)[begin : begin + length]

    def _verified_block(self, block: int) -> bytes:
        try:
            found = self._read_back(block, min(BLOCK_BYTES, self.length - block * BLOCK_BYTES))
        except OSError as error:
            self._fail(error)
        stored = bytes(self._all_checksums()[block * 4 : block * 4 + 4])
        if verify_blocks(found, stored, BLOCK_BYTES) >= 0:
            raise bad_block(self.chunk_id, block)
        return found

    def _read_back(self, block: int, size: int) -> bytes:
        """The first *size* bytes of a block as they were given."""
        start = block * BLOCK_BYTES
        if self._held is not None:
            return b"".join(self._held)[start : start + size]
        sink = self._opened_sink()
        if isinstance(sink, SealingSink):
            return sink.read(block, size)
        sink.settle()
        return read_all(self._fd, start, size)

    def _cut_file(self, length: int) -> None:
        if self._held is not None:
            return
        sink = self._opened_sink()
        if isinstance(sink, SealingSink):
            sink.cut(length)
            return
        sink.settle()
        os.ftruncate(self._fd, length)
        self._sink = None

    def _cut_held(self, length: int) -> None:
        if self._held is not None and self._room is not None:
            content = b"".join(self._held)
            self._room.give(len(content) - length)
            self._held = [content[:length]]

    def rename(self, path: Path, version: int) -> None:
        """Go on under another temporary name, as *version*.

        Raises:
            StorageError: the disk refused; the file is removed.
        """
        with self._lock:
            self._check_open()
            try:
                if self._held is None:
                    self.path.rename(path)
            except OSError as error:
                self._fail(error)
            self.path, self.version = path, version

    def discard(self, why: str) -> None:
        """Close and remove the file; nothing when that was done already."""
        with self._lock:
            if self._closed:
                return
            was_held = self._held is not None
            self.close(why)
            if was_held:
                return
            with contextlib.suppress(OSError):  # swept at the next start
                os.unlink(self.path)

    @property
    def is_sealed(self) -> bool:
        """Whether what goes to the disk is sealed."""
        return self._cipher is not None

    @property
    def written_bytes(self) -> int:
        """Bytes that the file has surely got; a unit of the rest may wait in memory."""
        return 0 if self._held is not None else max(0, self.length - UNIT_BYTES)

    @property
    def is_held(self) -> bool:
        """Whether everything is in memory."""
        return self._held is not None

    @property
    def closed(self) -> bool:
        """Whether it can no longer be written."""
        return bool(self._closed)

    def close(self, why: str) -> None:
        """Close the file; later calls are refused with *why*."""
        with self._lock:
            self._closed = self._closed or why
            if self._held is not None and self._room is not None:
                self._room.give(self.length)
                self._held = None
            if self._sink is not None:
                self._sink.release()
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                with contextlib.suppress(OSError):  # everything that counts was synced before
                    os.close(fd)

    def _opened_sink(self) -> DirectSink:
        """Where the file goes on."""
        if self._sink is None and self._cipher is not None:
            self._sink = SealingSink(self._fd, self.chunk_id, self._cipher)
        elif self._sink is None:
            self._sink = DirectSink(self._fd, self.length)
        return self._sink

    def _encoded_tail(self, sink: DirectSink, sums: chunk_format.Tail) -> bytes:
        if isinstance(sink, SealingSink):
            return sealed_chunk.encode_tail(
                sink.sealing, self.chunk_id, self.version, self.length, sums
            )
        return chunk_format.encode_tail(self.chunk_id, self.version, self.length, sums)

    def _check_open(self) -> None:
        if self._closed:
            raise StaleChunkVersion(
                f"chunk {self.chunk_id} version {self.version} can no longer be written: "
                f"{self._closed}",
                chunk_id=self.chunk_id,
            )

    def _add(self, buffers: Sequence[memoryview | bytes]) -> None:
        for buffer in buffers:
            view = memoryview(buffer)
            self._add_checksums(view)
            self.length += len(view)

    def _add_checksums(self, view: memoryview) -> None:
        if self._partial_bytes:
            head = view[: BLOCK_BYTES - self._partial_bytes]
            self._partial_crc = crc32c(head, self._partial_crc)
            self._partial_bytes += len(head)
            view = view[len(head) :]
            if self._partial_bytes < BLOCK_BYTES:
                return
            self._checksums += _CHECKSUM.pack(self._partial_crc)
            self._partial_bytes = self._partial_crc = 0
        whole = len(view) // BLOCK_BYTES * BLOCK_BYTES
        if whole:
            self._checksums += block_checksums(view[:whole], BLOCK_BYTES)
        if whole < len(view):
            self._partial_crc = crc32c(view[whole:])
            self._partial_bytes = len(view) - whole

    def _all_checksums(self) -> bytearray:
        if self._partial_bytes:
            return self._checksums + _CHECKSUM.pack(self._partial_crc)
        return self._checksums[:]

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            if error.errno in FULL:
                raise
            self.close("its sync failed")
            raise durability_failure(self.path, error) from error
        self._unsynced_bytes = 0

    def _fail(self, error: OSError) -> NoReturn:
        self.discard(f"its file was given up: {error.strerror}")
        if error.errno in FULL:
            raise disk_full(self.path.parent) from error
        raise StorageError(
            f"{self.path}: cannot be written: {error.strerror}; check the disk",
            chunk_id=self.chunk_id,
        ) from error

"""One chunk file at a time, blocking: the file that grows, and verified reads of a finished one."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from pydfsnode._fast import block_checksums, crc32c, verify_blocks
from pydfsnode.errors import (
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    InvariantViolation,
    StaleChunkVersion,
    StorageError,
    invariant,
)
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.security import files
from pydfsnode.storage import chunk_format
from pydfsnode.storage.aligned_units import UNIT_BYTES, give_unit, take_unit
from pydfsnode.storage.direct_sink import DirectSink, write_all

DIRECT_ALIGN = 4096
"""What offsets and sizes of direct reads are multiples of."""
WRITEBACK_BYTES = 8 * MIB
"""A growing chunk is handed to the disk every so often, so that its last sync is short."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CHECKSUM = struct.Struct("<I")


class ChunkFileWriter:
    """A chunk that is being written, in a temporary file; every method may be called in any thread.

    It is opened at the first byte. After `take` the stream that wrote it can do nothing more with
    it (INV-FENCE), whatever job of it is still queued in a thread.
    """

    def __init__(self, path: Path, chunk_id: int, version: int) -> None:
        self.path = path
        self.chunk_id = chunk_id
        self.version = version
        self.length = 0
        """Bytes taken; they are in the file or on their way, not necessarily on the disk."""
        self._lock = threading.RLock()
        self._fd = -1
        self._sink: DirectSink | None = None
        self._checksums = bytearray()
        self._partial_crc = 0
        self._partial_bytes = 0
        self._unsynced_bytes = 0
        self._closed = ""

    def append(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Write *buffers* behind what is there and take their checksums.

        Raises:
            DiskFull: the file is removed.
            StaleChunkVersion: the chunk was taken from this writer.
            StorageError: another failure of the disk; the file is removed.
        """
        with self._lock:
            self._check_open()
            try:
                if self._fd < 0:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    self._fd = os.open(self.path, flags, 0o600)
                if self._sink is None:
                    self._sink = DirectSink(self._fd, self.length)
                self._sink.write(buffers)
                for buffer in buffers:
                    view = memoryview(buffer)
                    self._add_checksums(view)
                    self.length += len(view)
                    self._unsynced_bytes += len(view)
                if self._unsynced_bytes >= WRITEBACK_BYTES and not self._sink.is_direct:
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
            tail = chunk_format.encode_tail(
                self.chunk_id, self.version, self.length, chunk_format.Tail(whole, checksums)
            )
            try:
                self._settle()
                write_all(self._fd, memoryview(tail), self.length)
                self._sync()
            except OSError as error:
                self._fail(error)
            self.close("it is finished")
            return whole

    def take(self, why: str) -> ChunkFileWriter:
        """Move the file to a new writer; every later call on this one is refused with *why*."""
        with self._lock:
            self._check_open()
            heir = ChunkFileWriter(self.path, self.chunk_id, self.version)
            heir.length, heir._fd = self.length, self._fd
            heir._sink, self._sink = self._sink, None
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
                self._settle()
                self._partial_crc = 0
                if kept:
                    start = first * BLOCK_BYTES
                    block = _read_all(self._fd, start, min(BLOCK_BYTES, self.length - start))
                    stored = bytes(checksums[first * 4 : first * 4 + 4])
                    if verify_blocks(block, stored, BLOCK_BYTES) >= 0:
                        raise _bad_block(self.chunk_id, first)
                    self._partial_crc = crc32c(memoryview(block)[:kept])
                os.ftruncate(self._fd, length)
            except OSError as error:
                self._fail(error)
            self._checksums = checksums[: first * 4]
            self._partial_bytes = kept
            self.length = length

    def rename(self, path: Path, version: int) -> None:
        """Go on under another temporary name, as *version*.

        Raises:
            StorageError: the disk refused; the file is removed.
        """
        with self._lock:
            self._check_open()
            try:
                self.path.rename(path)
            except OSError as error:
                self._fail(error)
            self.path, self.version = path, version

    def discard(self, why: str) -> None:
        """Close and remove the file; nothing when that was done already."""
        with self._lock:
            if self._closed:
                return
            self.close(why)
            with contextlib.suppress(OSError):  # swept at the next start
                os.unlink(self.path)

    @property
    def closed(self) -> bool:
        """Whether it can no longer be written."""
        return bool(self._closed)

    def close(self, why: str) -> None:
        """Close the file; later calls are refused with *why*."""
        with self._lock:
            self._closed = self._closed or why
            if self._sink is not None:
                self._sink.release()
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                with contextlib.suppress(OSError):  # everything that counts was synced before
                    os.close(fd)

    def _settle(self) -> None:
        """Have every byte in the file, for reading and for what follows them."""
        if self._sink is not None:
            self._sink.settle()
            self._sink = None

    def _check_open(self) -> None:
        if self._closed:
            raise StaleChunkVersion(
                f"chunk {self.chunk_id} version {self.version} can no longer be written: "
                f"{self._closed}",
                chunk_id=self.chunk_id,
            )

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
            if error.errno in _FULL:
                raise
            self.close("its sync failed")
            raise durability_failure(self.path, error) from error
        self._unsynced_bytes = 0

    def _fail(self, error: OSError) -> NoReturn:
        self.discard(f"its file was given up: {error.strerror}")
        if error.errno in _FULL:
            raise disk_full(self.path.parent) from error
        raise StorageError(
            f"{self.path}: cannot be written: {error.strerror}; check the disk",
            chunk_id=self.chunk_id,
        ) from error


class ChunkFileReader:
    """A finished chunk file, opened and its tail verified; use it as a context manager."""

    def __init__(self, path: Path, chunk_id: int, version: int, length: int) -> None:
        """Open *path*.

        Raises:
            FileNotFoundError: it is gone.
            CorruptionError: its tail is damaged or it cannot be read.
        """
        self.chunk_id = chunk_id
        self.length = length
        self._path = path
        # A reader may be closed while a read of it still runs in another thread.
        self._lock = threading.RLock()
        self._direct_fd = -1
        self._direct_refused = False
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CorruptionError(
                f"{path}: cannot be opened: {error.strerror}; check the disk", chunk_id=chunk_id
            ) from error
        try:
            tail = self._read(length, chunk_format.tail_bytes(length) + 1)
            self.tail = chunk_format.decode_tail(tail, chunk_id, version, length)
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, length: int, *, past_cache: bool = False) -> memoryview:
        """The bytes of a range inside the chunk, each block of it verified (INV-SUM).

        Args:
            past_cache: read from the disk and leave the page cache as it is, where that is
                possible: for what is not expected to be read again.

        Raises:
            CorruptionError: a block does not match its checksum or cannot be read.
        """
        first = offset // BLOCK_BYTES
        start = first * BLOCK_BYTES
        stop = min(self.length, -(-(offset + length) // BLOCK_BYTES) * BLOCK_BYTES)
        blocks = self._read(start, stop - start, past_cache)
        if len(blocks) != stop - start:
            raise _bad_block(self.chunk_id, (start + len(blocks)) // BLOCK_BYTES)
        stored = self.tail.checksums[first * 4 : chunk_format.block_count(stop) * 4]
        bad = verify_blocks(blocks, stored, BLOCK_BYTES)
        if bad >= 0:
            raise _bad_block(self.chunk_id, first + bad)
        return memoryview(blocks)[offset - start : offset - start + length]

    def close(self) -> None:
        """Close the file, after a read that runs; a second time does nothing."""
        with self._lock:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)
            if self._direct_fd >= 0:
                fd, self._direct_fd = self._direct_fd, -1
                os.close(fd)

    def _opened_direct(self) -> bool:
        """Whether direct reads are possible; the file system may know none (tmpfs)."""
        if self._direct_fd < 0 and not self._direct_refused:
            try:
                self._direct_fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
                if not os.path.sameopenfile(self._direct_fd, self._fd):
                    raise OSError(errno.ESTALE, "replaced since it was opened")
            except OSError:  # also one removed since: the open descriptor still reads it
                self._direct_refused = True
        return self._direct_fd >= 0 and not self._direct_refused

    def __enter__(self) -> ChunkFileReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, offset: int, size: int, past_cache: bool = False) -> bytes:
        try:
            with self._lock:
                invariant(self._fd >= 0, f"chunk {self.chunk_id}: read after its file was closed")
                if past_cache and size <= UNIT_BYTES and self._opened_direct():
                    return _read_direct(self._direct_fd, offset, size)
                return _read_all(self._fd, offset, size)
        except OSError as error:
            raise CorruptionError(
                f"chunk {self.chunk_id}: the disk cannot read it: {error.strerror}; check the disk",
                chunk_id=self.chunk_id,
            ) from error


def _read_direct(fd: int, offset: int, size: int) -> bytes:
    """*size* bytes at *offset*, a multiple of a block, through an aligned buffer."""
    unit = take_unit()
    try:
        with memoryview(unit) as whole, whole[: -(-size // DIRECT_ALIGN) * DIRECT_ALIGN] as wanted:
            found = os.preadv(fd, [wanted], offset)
            return bytes(wanted[: min(found, size)])
    finally:
        give_unit(unit)


def sync_directory(path: Path) -> None:
    """Make the names in directory *path* durable.

    Raises:
        DurabilityFailure: the disk refused (INV-STOP).
    """
    try:
        files.sync_directory(path)
    except OSError as error:
        raise durability_failure(path, error) from error


def durability_failure(path: Path, error: OSError) -> DurabilityFailure:
    """The error that stops the node."""
    return DurabilityFailure(
        f"{path}: cannot be made durable: {error.strerror}; what is on the disk is unknown, the "
        "node stops: check the disk and start it again"
    )


def disk_full(directory: Path) -> DiskFull:
    """The refusal of a write that has no room."""
    return DiskFull(
        f"{directory}: no space left on the disk; free some or add a chunkserver",
        path=str(directory),
    )


def _bad_block(chunk_id: int, block: int) -> CorruptionError:
    return CorruptionError(
        f"chunk {chunk_id}: block {block} does not match its checksum; another replica is used "
        "and this one is made again",
        chunk_id=chunk_id,
        block=block,
    )


def _read_all(fd: int, offset: int, size: int) -> bytes:
    found = os.pread(fd, size, offset)
    if len(found) == size or not found:
        return found
    # A short read in the middle of a file is rare (a signal, or the end of a torn file).
    parts = [found]
    while found and size > (have := sum(map(len, parts))):
        found = os.pread(fd, size - have, offset + have)
        parts.append(found)
    return b"".join(parts)

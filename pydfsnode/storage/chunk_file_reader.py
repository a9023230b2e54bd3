"""Verified reads of a finished chunk file. Blocking."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import TracebackType

from pydfsnode._fast import verify_blocks
from pydfsnode.errors import CorruptionError, StorageError, invariant
from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import chunk_format, sealed_chunk
from pydfsnode.storage.aligned_units import UNIT_BYTES
from pydfsnode.storage.chunk_file import bad_block, direct_span, read_direct, read_packet
from pydfsnode.storage.chunk_format import Tail
from pydfsnode.storage.sealed_chunk import Sealing, open_blocks

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class ChunkFileReader:
    """A finished chunk file, opened and its tail verified; use it as a context manager."""

    def __init__(
        self,
        path: Path,
        chunk_id: int,
        version: int,
        length: int,
        keys: ChunkKeys | None = None,
    ) -> None:
        """Open *path*, which is sealed when *keys* are given.

        Raises:
            FileNotFoundError: it is gone.
            KeyUnavailable, FileKeyMissing: what it is sealed with is not among *keys*.
            CorruptionError: its tail is damaged or it cannot be read.
            StorageError: this process has no descriptor or memory left for it.
        """
        self.chunk_id = chunk_id
        self.length = length
        self._keys = keys
        self._sealing: Sealing | None = None
        self._path = path
        self._base = 0
        # A reader may be closed while a read of it still runs in another thread.
        self._lock = threading.RLock()
        self._direct_fd = -1
        self._direct_refused = False
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise StorageError(f"{path}: cannot be opened now: {error.strerror}") from error
            raise CorruptionError(
                f"{path}: cannot be opened: {error.strerror}; check the disk", chunk_id=chunk_id
            ) from error
        try:
            self.tail = self._load_tail(version)
        except BaseException:
            self.close()
            raise

    def _load_tail(self, version: int) -> Tail:
        if self._keys is not None:
            found = bytes(self._read(self.length, sealed_chunk.tail_bytes(self.length) + 1))
            opened = sealed_chunk.decode_tail(
                found, self._keys, self.chunk_id, version, self.length
            )
            sums, self._sealing = opened
            return sums
        tail = bytes(self._read(self.length, chunk_format.tail_bytes(self.length) + 1))
        return chunk_format.decode_tail(tail, self.chunk_id, version, self.length)

    @property
    def seal_epoch(self) -> int | None:
        """The epoch of the key that it is sealed with; None: it is plain."""
        return None if self._sealing is None else self._sealing.cipher.head.epoch

    @property
    def is_keyed(self) -> bool:
        """Whether it is sealed with the key of its file too."""
        return self._sealing is not None and self._sealing.cipher.is_keyed

    def read(self, offset: int, length: int, *, past_cache: bool = False) -> memoryview:
        """The bytes of a range inside the chunk, each block of it verified (INV-SUM).

        Args:
            past_cache: read from the disk and leave the page cache as it is, where that is
                possible: for what is not expected to be read again.

        Raises:
            CorruptionError: a block does not match its checksum or seal, or cannot be read.
        """
        first = offset // BLOCK_BYTES
        start = first * BLOCK_BYTES
        stop = min(self.length, -(-(offset + length) // BLOCK_BYTES) * BLOCK_BYTES)
        blocks: bytes | bytearray | memoryview = self._read(start, stop - start, past_cache)
        if len(blocks) != stop - start:
            raise bad_block(self.chunk_id, (start + len(blocks)) // BLOCK_BYTES)
        if self._sealing is not None:
            blocks = open_blocks(self._sealing, self.chunk_id, first, blocks)
        stored = self.tail.checksums[first * 4 : chunk_format.block_count(stop) * 4]
        bad = verify_blocks(blocks, stored, BLOCK_BYTES)
        if bad >= 0:
            raise bad_block(self.chunk_id, first + bad)
        return memoryview(blocks).toreadonly()[offset - start : offset - start + length]

    def checksum(self, offset: int, length: int) -> int | None:
        """CRC32C of a range, known without looking at its bytes; None: it is not whole blocks."""
        end = offset + length
        if offset % BLOCK_BYTES or (end % BLOCK_BYTES and end != self.length):
            return None
        sums = self.tail.checksums[offset // BLOCK_BYTES * 4 : chunk_format.block_count(end) * 4]
        return chunk_format.fold_checksums(sums, length)

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

    def _read(self, offset: int, size: int, past_cache: bool = False) -> bytes | memoryview:
        """Bytes of the data; where it begins in the file is `_base`."""
        offset += self._base
        try:
            with self._lock:
                invariant(self._fd >= 0, f"chunk {self.chunk_id}: read after its file was closed")
                if past_cache and direct_span(offset, size) <= UNIT_BYTES and self._opened_direct():
                    return read_direct(self._direct_fd, offset, size)
                return read_packet(self._fd, offset, size)
        except OSError as error:
            raise CorruptionError(
                f"chunk {self.chunk_id}: the disk cannot read it: {error.strerror}; check the disk",
                chunk_id=self.chunk_id,
            ) from error

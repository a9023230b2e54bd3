"""Writes a growing chunk sealed: whole blocks go to the file, the rest of one waits in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydfsnode.errors import CorruptionError
from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.security.chunk_cipher import SEAL_BYTES, ChunkCipher
from pydfsnode.storage.chunk_file import bad_block, read_all
from pydfsnode.storage.direct_sink import DirectSink
from pydfsnode.storage.sealed_chunk import Sealing


class SealingSink(DirectSink):
    """As `DirectSink`, for plain bytes; begins with an empty file. Not for several threads at once.

    A block is sealed once it is full, or at `settle`; what is sealed again gets a new number, so
    no two contents ever share a nonce.
    """

    def __init__(self, descriptor: int, chunk_id: int, cipher: ChunkCipher) -> None:
        super().__init__(descriptor)
        self._chunk_id = chunk_id
        self._cipher = cipher
        self._partial = bytearray()
        self._seals = bytearray()

    @property
    def sealing(self) -> Sealing:
        """Of all blocks; after `settle`."""
        return Sealing(self._cipher, bytes(self._seals))

    def write(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Take plain *buffers* behind what is there. Raises OSError as `os.pwrite`."""
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            if self._partial:
                head = view[: BLOCK_BYTES - len(self._partial)]
                self._partial += head
                view = view[len(head) :]
                if len(self._partial) < BLOCK_BYTES:
                    continue
                self._seal(memoryview(self._partial))
                self._partial = bytearray()
            whole = len(view) // BLOCK_BYTES * BLOCK_BYTES
            self._seal(view[:whole])
            self._partial += view[whole:]

    def settle(self) -> int:
        """Seal the last block too and put everything into the file; returns its length.

        Nothing can be written behind it, unless `cut` comes first.
        """
        if self._partial:
            self._seal(memoryview(self._partial))
            self._partial = bytearray()
        return super().settle()

    def cut(self, length: int) -> None:
        """Keep the first *length* bytes; the block that is cut waits in memory again.

        Raises:
            CorruptionError: that block is not what was sealed.
            OSError: as the disk does.
        """
        first, kept = divmod(length, BLOCK_BYTES)
        if first * SEAL_BYTES < len(self._seals):
            rest = self.read(first, kept) if kept else b""
            super().settle()
            del self._seals[first * SEAL_BYTES :]
            os.ftruncate(self._fd, first * BLOCK_BYTES)
            self._written = first * BLOCK_BYTES
            self._partial = bytearray(rest)
        else:
            del self._partial[kept:]

    def read(self, block: int, size: int) -> bytes:
        """The first *size* plain bytes of a block.

        Raises:
            CorruptionError: it is not what was sealed.
            OSError: as the disk does.
        """
        if block * SEAL_BYTES >= len(self._seals):
            return bytes(self._partial[:size])
        super().settle()
        sealed = read_all(self._fd, block * BLOCK_BYTES, BLOCK_BYTES)
        plain = memoryview(bytearray(len(sealed)))
        seal = self._seals[block * SEAL_BYTES : (block + 1) * SEAL_BYTES]
        if self._cipher.open_blocks(block, memoryview(sealed), bytes(seal), plain) is not None:
            raise bad_block(self._chunk_id, block)
        if len(plain) < size:
            raise CorruptionError(f"chunk {self._chunk_id}: block {block} is cut")
        return bytes(plain[:size])

    def _seal(self, blocks: memoryview) -> None:
        """Whole blocks, or the last one."""
        while blocks:
            with self.free_end() as free:  # always whole blocks, as a unit is
                taken = blocks[: len(free)]
                first = len(self._seals) // SEAL_BYTES
                self._seals += self._cipher.seal_blocks(first, taken, free)
            self.filled(len(taken))
            blocks = blocks[len(taken) :]

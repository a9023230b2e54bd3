"""`bench io`: one large file written and read back; checking it is no part of the time."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.cli.bench_load import Clock
from pydfsnode.errors import CorruptionError

PIECE_BYTES = 4 * limits.MIB
POOL_PIECES = 17
"""Random pieces written in turn. Prime, so that no two of 17 chunks are alike: one that is read in
the place of another is noticed."""


class Writer(Protocol):
    """The part of client.file_writer.AsyncFileWriter that is measured."""

    async def write(self, data: bytes) -> int: ...


class Reader(Protocol):
    """The part of client.file_reader.AsyncFileReader that is measured."""

    def packets(self) -> AsyncIterator[bytes | memoryview]: ...


class Pieces:
    """*size* bytes of incompressible content, the same each time it is walked."""

    def __init__(self, size: int, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.size = size
        self._pool = [random_bytes(PIECE_BYTES) for _ in range(POOL_PIECES)]

    def __iter__(self) -> Iterator[bytes]:
        whole, rest = divmod(self.size, PIECE_BYTES)
        for number in range(whole):
            yield self._pool[number % POOL_PIECES]
        if rest:
            yield self._pool[whole % POOL_PIECES][:rest]

    def checksum(self) -> int:
        """CRC-32C of all of it."""
        value = 0
        for piece in self:
            value = crc32c(piece, value)
        return value


async def write(
    open_writer: Callable[[], AbstractAsyncContextManager[Writer]],
    pieces: Pieces,
    clock: Clock = time.perf_counter_ns,
) -> float:
    """Write *pieces* as one file; MB/s (10^6 bytes) from its creation until it is durable."""
    began = clock()
    async with open_writer() as writer:
        for piece in pieces:
            await writer.write(piece)
    return megabytes_per_s(pieces.size, clock() - began)


async def read(
    open_reader: Callable[[], AbstractAsyncContextManager[Reader]],
    pieces: Pieces,
    clock: Clock = time.perf_counter_ns,
) -> float:
    """Read the file of *pieces* back; MB/s from its opening to its last byte, without our checking.

    Raises:
        CorruptionError: other bytes came back than were written.
    """
    expected = pieces.checksum()
    size, value, checking_ns = 0, 0, 0
    began = clock()
    async with open_reader() as reader:
        async for packet in reader.packets():
            before = clock()
            size += len(packet)
            value = crc32c(packet, value)
            checking_ns += clock() - before
    elapsed_ns = clock() - began - checking_ns
    if (size, value) != (pieces.size, expected):
        raise CorruptionError(
            f"read {size} bytes with crc32c {value:08x}, wrote {pieces.size} with {expected:08x}"
        )
    return megabytes_per_s(size, elapsed_ns)


def megabytes_per_s(size: int, elapsed_ns: int) -> float:
    """10^6 bytes a second, to one decimal."""
    return round(size / 1e6 / (elapsed_ns / 1e9), 1) if elapsed_ns > 0 else 0.0

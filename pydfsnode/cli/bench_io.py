"""`bench io`: one large file written and read back; checking it is no part of the time."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Protocol

from pydfsnode import limits
from pydfsnode._fast import crc32c, crc32c_combine
from pydfsnode.cli.bench_load import Clock, Load, closed_loop
from pydfsnode.errors import CorruptionError

PIECE_BYTES = 4 * limits.MIB
POOL_PIECES = 17
"""Random pieces written in turn. Prime, so that no two of 17 chunks are alike: one that is read in
the place of another is noticed."""
RANDOM_BYTES = 4096
"""Of one random read; a divisor of PIECE_BYTES."""


class Writer(Protocol):
    """The part of client.file_writer.AsyncFileWriter that is measured."""

    async def write(self, data: bytes) -> int: ...


class Reader(Protocol):
    """The part of client.file_reader.AsyncFileReader that is measured."""

    def packets(self, start: int, end: int) -> AsyncIterator[bytes | memoryview]: ...

    async def read_range(self, start: int, end: int) -> bytes: ...


OpenReader = Callable[[], AbstractAsyncContextManager[Reader]]


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

    def within(self, start: int, end: int) -> bytes:
        """The bytes [start, end), which lie in one piece."""
        number, offset = divmod(start, PIECE_BYTES)
        return self._pool[number % POOL_PIECES][offset : offset + end - start]


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
    open_reader: OpenReader,
    pieces: Pieces,
    streams: int = 1,
    clock: Clock = time.perf_counter_ns,
) -> float:
    """Read the file of *pieces* back; MB/s from its opening to its last byte, without our checking.

    Args:
        streams: readers that each read their part of the file at the same time.

    Raises:
        CorruptionError: other bytes came back than were written.
    """
    expected = pieces.checksum()
    bounds = [pieces.size * number // streams for number in range(streams + 1)]
    parts = [_Part(*ends) for ends in pairwise(bounds)]
    began = clock()
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part.read(open_reader, clock))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    # All run in one thread: what one checks holds the others up too.
    elapsed_ns = clock() - began - sum(part.checking_ns for part in parts)
    size, value = 0, 0
    for part in parts:
        size += part.size
        value = crc32c_combine(value, part.checksum, part.size)
    if (size, value) != (pieces.size, expected):
        raise CorruptionError(
            f"read {size} bytes with crc32c {value:08x}, wrote {pieces.size} with {expected:08x}"
        )
    return megabytes_per_s(size, elapsed_ns)


class _Part:
    """The range [start, end) of the file, as it came back."""

    def __init__(self, start: int, end: int) -> None:
        self._range = start, end
        self.size = self.checksum = self.checking_ns = 0

    async def read(self, open_reader: OpenReader, clock: Clock) -> None:
        async with open_reader() as reader:
            async for packet in reader.packets(*self._range):
                before = clock()
                self.size += len(packet)
                self.checksum = crc32c(packet, self.checksum)
                self.checking_ns += clock() - before


async def read_at_random(
    open_reader: OpenReader,
    pieces: Pieces,
    count: int,
    clock: Clock = time.perf_counter_ns,
    seed: int = 1,
) -> Load:
    """Read RANDOM_BYTES at *count* aligned places of the file of *pieces*, one after the other.

    Nothing is read from a file that is smaller.

    Raises:
        CorruptionError: other bytes came back than were written.
    """
    places = pieces.size // RANDOM_BYTES
    chance = random.Random(seed)
    async with open_reader() as reader:

        async def one(_number: int) -> None:
            start = chance.randrange(places) * RANDOM_BYTES
            found = await reader.read_range(start, start + RANDOM_BYTES)
            if found != pieces.within(start, start + RANDOM_BYTES):
                raise CorruptionError(f"other bytes were read at {start} than were written")

        return await closed_loop(one, inflight=1, count_max=count if places else 0, clock=clock)


def shares(figures: dict[str, float]) -> dict[str, float]:
    """For each figure in MB/s what percentage it is of its baseline, the one with "tls_"."""
    found = {}
    for name, value in figures.items():
        baseline = figures.get(f"tls_{name}")
        if name.endswith("_mb_per_s") and baseline:
            found[f"{name.removesuffix('_mb_per_s')}_of_tls_percent"] = round(
                100 * value / baseline, 1
            )
    return found


def megabytes_per_s(size: int, elapsed_ns: int) -> float:
    """10^6 bytes a second, to one decimal."""
    return round(size / 1e6 / (elapsed_ns / 1e9), 1) if elapsed_ns > 0 else 0.0

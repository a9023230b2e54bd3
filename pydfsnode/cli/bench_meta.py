"""`bench meta`: namespace writes (mkdirs) and linearizable reads (stat), many at once and alone."""

from __future__ import annotations

import random
from typing import Protocol

from pydfsnode.cli.bench_load import Load, closed_loop

DIRECTORY_ENTRIES = 1000
"""New paths are spread so that no directory grows without end, as in a real tree."""


class Namespace(Protocol):
    """The part of client.filesystem.AsyncFileSystem that is measured: one RPC each."""

    async def makedirs(self, path: str, exist_ok: bool = False) -> object: ...

    async def info(self, path: str) -> object: ...


def path_of(root: str, number: int) -> str:
    """The path of the directory that write *number* makes."""
    return f"{root}/{number // DIRECTORY_ENTRIES}/{number % DIRECTORY_ENTRIES}"


async def measure(
    namespace: Namespace, root: str, *, inflight: int, seconds: float
) -> dict[str, float]:
    """Write for *seconds*, read what was written for *seconds*, then one at a time a fifth as long.

    Args:
        namespace: a connected client.
        root: a directory that does not exist yet; everything is made below it.
        inflight: operations kept going at once.
        seconds: of each of the two main phases.

    Returns:
        Figures whose names end in their unit.
    """
    alone_seconds = seconds / 5
    writes = await _writes(namespace, f"{root}/many", inflight, seconds)
    reads = await _reads(namespace, f"{root}/many", writes.count, inflight, seconds)
    write_alone = await _writes(namespace, f"{root}/one", 1, alone_seconds)
    read_alone = await _reads(namespace, f"{root}/one", write_alone.count, 1, alone_seconds)
    return {
        **writes.figures("write"),
        **reads.figures("read"),
        "write_alone_p50_ms": write_alone.quantile_ms(0.50),
        "write_alone_p99_ms": write_alone.quantile_ms(0.99),
        "read_alone_p50_ms": read_alone.quantile_ms(0.50),
        "read_alone_p99_ms": read_alone.quantile_ms(0.99),
    }


async def _writes(namespace: Namespace, directory: str, inflight: int, seconds: float) -> Load:
    async def write(number: int) -> object:
        return await namespace.makedirs(path_of(directory, number), exist_ok=True)

    return await closed_loop(write, inflight=inflight, seconds=seconds)


async def _reads(
    namespace: Namespace, directory: str, count: int, inflight: int, seconds: float
) -> Load:
    order = random.Random(count)  # the same paths for the same count: runs are comparable

    async def read(_number: int) -> object:
        return await namespace.info(path_of(directory, order.randrange(count)))

    return await closed_loop(read, inflight=inflight, seconds=seconds if count else 0)

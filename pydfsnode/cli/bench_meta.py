"""`bench meta`: namespace writes (mkdirs) and reads (stat), many at once and alone."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from pydfsnode.cli.bench_load import Load, closed_loop
from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import NotFound

if TYPE_CHECKING:
    from pydfsnode.client.model import ClusterStatus

DIRECTORY_ENTRIES = 1000
"""New paths are spread so that no directory grows without end, as in a real tree."""


class Namespace(Protocol):
    """The part of client.filesystem.AsyncFileSystem that is measured: one RPC each."""

    async def makedirs(self, path: str, exist_ok: bool = False) -> object: ...

    async def info(self, path: str, *, consistency: Consistency | None = None) -> object: ...

    async def cluster_status(self) -> ClusterStatus: ...


def path_of(root: str, number: int) -> str:
    """The path of the directory that write *number* makes."""
    return f"{root}/{number // DIRECTORY_ENTRIES}/{number % DIRECTORY_ENTRIES}"


async def measure(
    namespace: Namespace,
    root: str,
    *,
    inflight: int,
    seconds: float,
    consistency: Consistency | None = None,
) -> dict[str, float]:
    """Write for *seconds*, read what was written for *seconds*, then one at a time a fifth as long.

    Args:
        namespace: a connected client.
        root: a directory that does not exist yet; everything is made below it.
        inflight: operations kept going at once.
        seconds: of each of the two main phases.
        consistency: of the reads; None: as configured.

    Returns:
        Figures whose names end in their unit. What the leader did for the many writes is left out
        when the leader changed meanwhile.
    """
    look = _look(namespace, consistency)
    alone_seconds = seconds / 5
    before = await namespace.cluster_status()
    writes = await _writes(namespace, f"{root}/many", inflight, seconds)
    groups = grouping(before, await namespace.cluster_status())
    reads = await _reads(look, f"{root}/many", writes.count, inflight, seconds)
    write_alone = await _writes(namespace, f"{root}/one", 1, alone_seconds)
    read_alone = await _reads(look, f"{root}/one", write_alone.count, 1, alone_seconds)
    return {
        **writes.figures("write"),
        **reads.figures("read"),
        "write_alone_p50_ms": write_alone.quantile_ms(0.50),
        "write_alone_p99_ms": write_alone.quantile_ms(0.99),
        "read_alone_p50_ms": read_alone.quantile_ms(0.50),
        "read_alone_p99_ms": read_alone.quantile_ms(0.99),
        **groups,
    }


def grouping(before: ClusterStatus, after: ClusterStatus) -> dict[str, float]:
    """How many log entries the leader sent in one message, and made durable with one fsync.

    {} when its counts cannot be compared: another master leads, or it was started again.
    """
    appends = after.appends_sent - before.appends_sent
    sent = after.entries_sent - before.entries_sent
    groups = after.groups_written - before.groups_written
    written = after.entries_written - before.entries_written
    if (before.leader, before.term) != (after.leader, after.term):
        return {}
    return {
        "entries_per_append": round(sent / appends, 2) if appends else 0.0,
        "entries_per_fsync": round(written / groups, 2) if groups else 0.0,
    }


async def _writes(namespace: Namespace, directory: str, inflight: int, seconds: float) -> Load:
    async def write(number: int) -> object:
        return await namespace.makedirs(path_of(directory, number), exist_ok=True)

    return await closed_loop(write, inflight=inflight, seconds=seconds)


Look = Callable[[str], Awaitable[object]]


def _look(namespace: Namespace, consistency: Consistency | None) -> Look:
    if consistency is None:
        return namespace.info

    async def look(path: str) -> object:
        try:
            return await namespace.info(path, consistency=consistency)
        except NotFound:
            if not consistency.may_miss:
                raise
            return None  # written a moment ago: an answer that this consistency allows

    return look


async def _reads(look: Look, directory: str, count: int, inflight: int, seconds: float) -> Load:
    order = random.Random(count)  # the same paths for the same count: runs are comparable

    async def read(_number: int) -> object:
        return await look(path_of(directory, order.randrange(count)))

    return await closed_loop(read, inflight=inflight, seconds=seconds if count else 0)

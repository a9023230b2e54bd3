"""`bench meta`: changes and questions of the namespace, many at once and alone.

The mix is that of a tree in use: of 16 changes 1 makes a directory, 7 create a file in it, 4 rename
and 4 delete one; of 5 questions 4 ask for a file's status and 1 lists a directory.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Protocol

from pydfsnode.cli.bench_load import Load, closed_loop
from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import NotFound

if TYPE_CHECKING:
    from pydfsnode.client.model import ClusterStatus

CHANGES = "dccrccxrcxcrxcrx"
"""The cycle of changes: d makes a directory, c creates a file, r renames one, x deletes one."""
LIST_EVERY = 5


class Namespace(Protocol):
    """The part of client.filesystem.AsyncFileSystem that is measured: one RPC each."""

    async def makedirs(self, path: str, exist_ok: bool = False) -> object: ...

    async def pipe_file(self, path: str, value: bytes) -> object: ...

    async def rename(self, source: str, destination: str) -> object: ...

    async def delete(self, path: str) -> object: ...

    async def info(self, path: str, *, consistency: Consistency | None = None) -> object: ...

    async def ls_page(
        self, path: str, *, limit: int, consistency: Consistency | None = None
    ) -> object: ...

    async def cluster_status(self) -> ClusterStatus: ...


async def measure(
    namespace: Namespace,
    root: str,
    *,
    inflight: int,
    seconds: float,
    consistency: Consistency | None = None,
) -> dict[str, float]:
    """Change for *seconds*, ask for *seconds*, then one at a time a fifth as long.

    Args:
        namespace: a connected client.
        root: a directory; everything is made below it.
        inflight: operations kept going at once.
        seconds: of each of the two main phases.
        consistency: of the questions; None: as configured.

    Returns:
        Figures whose names end in their unit. What the leader did for the many changes is left out
        when the leader changed meanwhile.
    """
    alone_seconds = seconds / 5
    many, alone = _Tree(namespace, f"{root}/many"), _Tree(namespace, f"{root}/one")
    before = await namespace.cluster_status()
    writes = await closed_loop(many.change, inflight=inflight, seconds=seconds)
    groups = grouping(before, await namespace.cluster_status())
    reads = await _reads(many, consistency, inflight, seconds)
    write_alone = await closed_loop(alone.change, inflight=1, seconds=alone_seconds)
    read_alone = await _reads(alone, consistency, 1, alone_seconds)
    return {
        **writes.figures("write"),
        **reads.figures("read"),
        "write_alone_p50_ms": write_alone.quantile_ms(0.50),
        "write_alone_p99_ms": write_alone.quantile_ms(0.99),
        "read_alone_p50_ms": read_alone.quantile_ms(0.50),
        "read_alone_p99_ms": read_alone.quantile_ms(0.99),
        **groups,
    }


class _Tree:
    """Files that exist, in the order in which they came to be; each change takes or adds one."""

    def __init__(self, namespace: Namespace, root: str) -> None:
        self._namespace = namespace
        self._root = root
        self._directory = f"{root}/0"
        self.files: deque[str] = deque()

    async def change(self, number: int) -> None:
        """Change *number* of the cycle; a rename or delete that finds no file creates one."""
        kind = CHANGES[number % len(CHANGES)]
        namespace = self._namespace
        if kind == "d" or number == 0:
            directory = f"{self._root}/{number // len(CHANGES)}"
            await namespace.makedirs(directory, exist_ok=True)
            self._directory = directory
        elif kind == "r" and self.files:
            source = self.files.popleft()
            target = f"{self._directory}/r{number}"
            await namespace.rename(source, target)
            self.files.append(target)
        elif kind == "x" and self.files:
            await namespace.delete(self.files.popleft())
        else:
            path = f"{self._directory}/f{number}"
            await namespace.pipe_file(path, b"")
            self.files.append(path)

    async def ask(self, path: str, number: int, consistency: Consistency | None) -> None:
        """Question *number*: what lies at *path*, or now and then in the directory around it."""
        try:
            if number % LIST_EVERY:
                await self._namespace.info(path, consistency=consistency)
            else:
                directory = path.rpartition("/")[0]
                await self._namespace.ls_page(directory, limit=32, consistency=consistency)
        except NotFound:
            if consistency is None or not consistency.may_miss:
                raise  # else written a moment ago: an answer that this consistency allows


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


async def _reads(
    tree: _Tree, consistency: Consistency | None, inflight: int, seconds: float
) -> Load:
    files = list(tree.files)
    order = random.Random(len(files))  # the same paths for the same count: runs are comparable

    async def read(number: int) -> None:
        await tree.ask(files[order.randrange(len(files))], number, consistency)

    return await closed_loop(read, inflight=inflight, seconds=seconds if files else 0)

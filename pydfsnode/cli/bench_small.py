"""`bench small`: many small files created and read by several clients at once."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from pydfsnode.cli.bench_load import closed_loop
from pydfsnode.errors import CorruptionError

DIRECTORY_ENTRIES = 1000


class Client(Protocol):
    """The part of client.filesystem.AsyncFileSystem that is measured."""

    async def pipe_file(self, path: str, value: bytes) -> object: ...

    async def cat_file(self, path: str) -> bytes: ...


async def measure(
    clients: Sequence[Client], root: str, *, files: int, file_bytes: int, inflight: int
) -> dict[str, float]:
    """Create *files* files of *file_bytes* bytes below *root*, then read each once in random order.

    Every client has *inflight* operations in flight. A file's content names its number, so that one
    read in the place of another is noticed.

    Returns:
        Figures whose names end in their unit, and what they were measured with.

    Raises:
        CorruptionError: a file's content is not what was written.
    """
    filler = os.urandom(file_bytes)

    def content(number: int) -> bytes:
        return (number.to_bytes(8, "little") + filler)[:file_bytes]

    def path(number: int) -> str:
        return f"{root}/{number // DIRECTORY_ENTRIES}/{number % DIRECTORY_ENTRIES}"

    # A client with room takes the next number: none waits for a slower one. Each is there once for
    # each of its operations, and the first of them all before the second of any.
    idle = deque(list(clients) * inflight)

    async def create(number: int) -> None:
        client = idle.popleft()
        await client.pipe_file(path(number), content(number))
        idle.append(client)

    order = random.Random(files).sample(range(files), files)

    async def read(position: int) -> None:
        client, number = idle.popleft(), order[position]
        if await client.cat_file(path(number)) != content(number):
            raise CorruptionError(f"{path(number)}: other bytes came back than were written")
        idle.append(client)

    together = len(clients) * inflight
    creates = await closed_loop(create, inflight=together, count_max=files)
    reads = await closed_loop(read, inflight=together, count_max=files)
    return {
        **creates.figures("create"),
        **reads.figures("read"),
        "clients": len(clients),
        "inflight_per_client": inflight,
    }

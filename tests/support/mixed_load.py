"""Mixed operations of one client, each of which would show if it were lost or applied twice.

Every worker has a directory of its own and does one thing after the other there: create a small
file that must not exist, create one that goes to chunkservers, append to a log, move a file that
must exist, delete one, read one back, list all. What each file must hold is remembered; at the end
everything is compared.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.errors import PydfsError

SMALL_BYTES, LARGE_BYTES = 200, 300_000
LINE_BYTES = 64
T = TypeVar("T")


@dataclass(slots=True)
class Outcomes:
    """What became of all operations; times in seconds of `time.monotonic`."""

    done: int = 0
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What was read and is not what was written."""
    ended: list[float] = field(default_factory=list)
    worst_s: float = 0.0
    """The longest operation."""
    worst_of: str = ""

    def longest_pause_s(self) -> float:
        """The longest time in which no operation of any worker ended."""
        ends = sorted(self.ended)
        return max((b - a for a, b in itertools.pairwise(ends)), default=0.0)


class MixedLoad:
    """Workers of one client, below *root*, a directory that is not there.

    `prepare` it before anything may fail, then `run` it. A worker goes on after an operation that
    failed; what it was about is looked at no more.
    """

    def __init__(self, fs: AsyncFileSystem, root: str, seed: int, workers: int = 4) -> None:
        self.outcomes = Outcomes()
        self._workers = [
            _Worker(fs, f"{root}/{n}", seed + n, self.outcomes) for n in range(workers)
        ]

    async def prepare(self) -> None:
        """Make the workers' directories."""
        for worker in self._workers:
            await worker.prepare()

    async def run(self, until: Callable[[], bool]) -> None:
        """Work until *until* says so and the operations under way have ended."""
        await asyncio.gather(*(worker.run(until) for worker in self._workers))

    async def verify(self) -> None:
        """Compare everything there is with what must be; `outcomes.wrong` gets what differs."""
        for worker in self._workers:
            await worker.verify()

    async def verify_with(self, fs: AsyncFileSystem) -> None:
        """As `verify`, as the fresh client *fs* sees it."""
        for worker in self._workers:
            worker.use(fs)
        await self.verify()


class _Worker:
    def __init__(self, fs: AsyncFileSystem, root: str, seed: int, outcomes: Outcomes) -> None:
        self._fs = fs
        self._root = root
        self._random = random.Random(seed)
        self._outcomes = outcomes
        self._content: dict[str, bytes] = {}
        self._unknown: set[str] = set()  # an operation on it failed: it may or may not be there
        self._next = 0

    async def prepare(self) -> None:
        await self._fs.makedirs(self._root, exist_ok=True)

    async def run(self, until: Callable[[], bool]) -> None:
        choices: Sequence[tuple[Callable[[], Awaitable[None]], int]] = (
            (self._create_small, 5), (self._create_large, 2), (self._append, 2),
            (self._rename, 3), (self._delete, 1), (self._read, 5), (self._list, 1),
        )  # fmt: skip
        actions = [action for action, weight in choices for _ in range(weight)]
        while not until():
            await self._random.choice(actions)()

    def use(self, fs: AsyncFileSystem) -> None:
        self._fs = fs

    async def verify(self) -> None:
        found = {entry.path for entry in await self._fs.ls(self._root)}
        wrong = self._outcomes.wrong
        wrong += [f"{path} is lost" for path in self._content.keys() - found - self._unknown]
        wrong += [f"{path} came back" for path in found - self._content.keys() - self._unknown]
        for path in sorted(found & self._content.keys() - self._unknown):
            await self._compare(path, await self._fs.cat_file(path))

    # ---- operations

    async def _create_small(self) -> None:
        await self._create(SMALL_BYTES)

    async def _create_large(self) -> None:
        await self._create(self._random.randrange(LARGE_BYTES // 2, LARGE_BYTES))

    async def _create(self, size: int) -> None:
        path, content = self._new_path(), self._random.randbytes(size)
        self._content[path] = content
        await self._timed(
            f"create {path}", self._fs.pipe_file(path, content, overwrite=False), path
        )

    async def _append(self) -> None:
        path = self._some_path()
        if path is None:
            return await self._create_small()
        line = self._random.randbytes(LINE_BYTES)
        self._content[path] += line

        async def append() -> None:
            async with await self._fs.append(path) as writer:
                await writer.write(line)

        await self._timed(f"append {path}", append(), path)
        return None

    async def _rename(self) -> None:
        path = self._some_path()
        if path is None:
            return await self._create_small()
        target = self._new_path()
        self._content[target] = self._content.pop(path)
        await self._timed(f"rename {path}", self._fs.rename(path, target), path, target)
        return None

    async def _delete(self) -> None:
        path = self._some_path()
        if path is None:
            return
        del self._content[path]
        await self._timed(f"delete {path}", self._fs.rm(path), path)

    async def _read(self) -> None:
        path = self._some_path()
        if path is None:
            return
        content = await self._timed(f"read {path}", self._fs.cat_file(path))
        if content is not None:
            await self._compare(path, content)

    async def _list(self) -> None:
        await self._timed(f"list {self._root}", self._fs.ls(self._root))

    # ---- bookkeeping

    def _new_path(self) -> str:
        self._next += 1
        return f"{self._root}/{self._next}"

    def _some_path(self) -> str | None:
        known = [path for path in list(self._content)[-50:] if path not in self._unknown]
        return self._random.choice(known) if known else None

    async def _compare(self, path: str, content: bytes) -> None:
        wanted = self._content[path]
        if content != wanted:
            self._outcomes.wrong.append(
                f"{path} has {len(content)} bytes that are not the {len(wanted)} written"
            )

    async def _timed(self, what: str, work: Awaitable[T], *changed: str) -> T | None:
        outcomes = self._outcomes
        began_s = time.monotonic()
        try:
            answer = await work
        except PydfsError as error:
            self._unknown.update(changed)
            outcomes.failures.append(f"{what}: {type(error).__name__}: {error.message}")
            return None
        finally:
            ended_s = time.monotonic()
            if ended_s - began_s > outcomes.worst_s:
                outcomes.worst_s, outcomes.worst_of = ended_s - began_s, what
        outcomes.ended.append(ended_s)
        outcomes.done += 1
        return answer

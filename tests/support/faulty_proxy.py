"""A TCP proxy between real processes that delays, drops, cuts and corrupts what passes, seeded.

It runs in a thread with an event loop of its own. What TLS and TCP promise holds on both sides of
it, so each fault is what a bad network or a bad middlebox does: bytes that come late, bytes that
never come while the connection stays open, connections that are reset, bytes that were changed.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

HOST = "127.0.0.1"
PIECE_BYTES = 16 * 1024
START_SECONDS_MAX = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances for each piece of up to `PIECE_BYTES` that passes in one direction."""

    delay: float = 0.0
    delay_ms: int = 100
    drop: float = 0.0
    """Nothing passes on this connection any more, in this direction, and it stays open."""
    cut: float = 0.0
    corrupt: float = 0.0
    """One byte is changed."""


NO_FAULTS = Faults()


class _Link:
    """One address behind the proxy."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults = NO_FAULTS
        self.healed = asyncio.Event()
        self.healed.set()
        self.refuses = False
        self.writers: set[asyncio.StreamWriter] = set()


class FaultyProxy:
    """A context manager; `to` gives the address to use in place of a target.

    Args of the constructor:
        seed: of all that is left to chance.
    """

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        """What was done to whom: "delay", "drop", "cut", "corrupt", and "connection"."""
        self._random = random.Random(seed)
        self._links: dict[str, _Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="faulty proxy")
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def to(self, target: str) -> str:
        """An address of the proxy behind which is *target*, "host:port"."""
        return self._do(self._listen(target))

    def misbehave(self, faults: Faults, *addresses: str) -> None:
        """Do *faults* to what passes by these addresses of the proxy; none given: by all."""
        for address in addresses or list(self._links):
            self._links[address].faults = faults

    def block(self, address: str) -> None:
        """Let nothing pass by *address*, as a cable that is pulled: nobody is told."""
        self._do(self._set(address, blocked=True))

    def refuse(self, address: str) -> None:
        """Reset all connections of *address*, and new ones at once: nothing is held back."""
        self._links[address].refuses = True
        self.cut(address)

    def heal(self, address: str) -> None:
        """Let pass again, with what was held back."""
        self._links[address].refuses = False
        self._do(self._set(address, blocked=False))

    def cut(self, address: str) -> None:
        """Reset all connections of *address*; new ones are taken."""
        self._do(self._cut(self._links[address]))

    # ---- in the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS_MAX)

    async def _listen(self, target: str) -> str:
        link = _Link(target)

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(link, reader, writer)

        server = await asyncio.start_server(accepted, HOST, 0)
        self._servers.append(server)
        address = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        self._links[address] = link
        return address

    async def _set(self, address: str, *, blocked: bool) -> None:
        link = self._links[address]
        if blocked:
            link.healed.clear()
        else:
            link.healed.set()

    async def _cut(self, link: _Link) -> None:
        for writer in list(link.writers):
            writer.transport.abort()

    async def _serve(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.counts["connection"] += 1
        host, _, port = link.target.rpartition(":")
        beyond: asyncio.StreamWriter | None = None
        link.writers.add(writer)
        try:
            await link.healed.wait()
            if link.refuses:
                return
            answers, beyond = await asyncio.open_connection(host, int(port))
            link.writers.add(beyond)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(link, reader, beyond))
                both.create_task(self._pass_on(link, answers, writer))
        except (OSError, ExceptionGroup):
            pass  # one side is gone: so is the other, below
        finally:
            for each in (writer, beyond):
                if each is not None:
                    link.writers.discard(each)
                    each.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        dropping = False
        while piece := await reader.read(PIECE_BYTES):
            await link.healed.wait()
            faults, chance = link.faults, self._random
            if chance.random() < faults.delay:
                self.counts["delay"] += 1
                await asyncio.sleep(chance.random() * faults.delay_ms / 1000)
            if chance.random() < faults.cut:
                self.counts["cut"] += 1
                raise ConnectionResetError
            if dropping or chance.random() < faults.drop:
                self.counts["drop"] += not dropping
                dropping = True
                continue
            if chance.random() < faults.corrupt:
                self.counts["corrupt"] += 1
                changed = bytearray(piece)
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
                piece = bytes(changed)
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError  # nobody here half-closes: the end of one way is the end

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        # asyncio.streams reports connections whose task was cancelled: let them end themselves.
        for link in self._links.values():
            link.healed.set()
            await self._cut(link)
        await asyncio.gather(*self._tasks, return_exceptions=True)

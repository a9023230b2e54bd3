"""Carries out what the leading master orders: deletions and copies, bounded, fenced by epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from pydfsnode import limits
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import InvariantViolation, PydfsError, StaleChunkVersion, StaleEpoch
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.chunkserver.replicate import replicate
from pydfsnode.roles.chunkserver.sealing import Sealing
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore

DELETERS = 2
QUEUE_MAX = 4 * limits.COMMANDS_PER_HEARTBEAT_MAX
"""Commands of a kind that wait; more are refused, and the master orders them again."""

Kind = Literal["delete", "replicate"]
_log = get_logger("chunkserver.commands")


class Command(NamedTuple):
    """An order of the leader of *epoch*; length and all behind it are for copies."""

    kind: Kind
    epoch: int
    chunk_id: int
    version: int
    length: int = 0
    crc32c: int = 0
    sources: tuple[Replica, ...] = ()
    seal: int = 0
    """A `SealChoice`."""
    capability: bytes = b""
    """For reading the chunk from its sources."""


class Done(NamedTuple):
    """What became of a command."""

    kind: Kind
    chunk_id: int
    ok: bool
    reason: str


class CommandRunner:
    """Queues and workers; `run` is a task of the node."""

    def __init__(
        self,
        store: ChunkStore,
        epoch: EpochFile,
        connect: Connect,
        on_done: Callable[[Done], None],
        sealing: Sealing | None = None,
    ) -> None:
        """
        Args:
            on_done: is told what became of each command.
            sealing: whether copies are sealed at rest; None: they are not.
        """
        self._sealing = sealing
        self._store = store
        self._epoch = epoch
        self._connect = connect
        self._on_done = on_done
        self._queues: dict[Kind, asyncio.Queue[Command]] = {
            "delete": asyncio.Queue(QUEUE_MAX),
            "replicate": asyncio.Queue(QUEUE_MAX),
        }
        self._known: set[tuple[Kind, int, int]] = set()
        self._deleting: dict[int, int] = {}
        self._settled = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Commands that wait or run."""
        return len(self._known)

    def submit(self, command: Command) -> None:
        """Take an order; one that waits or runs already is not taken twice."""
        key = (command.kind, command.chunk_id, command.version)
        if key in self._known:
            return
        try:
            self._queues[command.kind].put_nowait(command)
        except asyncio.QueueFull:
            self._end(command, False, f"{QUEUE_MAX} commands wait here already", "refused")
        else:
            self._known.add(key)

    async def run(self) -> None:
        """Work until cancelled; a broken promise of the disk ends it (INV-STOP)."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(DELETERS):
                workers.create_task(self._work("delete"))
            for _ in range(limits.COPIES_PER_CHUNKSERVER_MAX):
                workers.create_task(self._work("replicate"))

    async def settle(self) -> None:
        """Wait until no deletion that an older epoch ordered is under way: what they removed is
        then in the next report, which is what makes a new leader trust it."""
        while any(epoch < self._epoch.highest for epoch in self._deleting.values()):
            self._settled.clear()
            await self._settled.wait()

    async def _work(self, kind: Kind) -> None:
        queue = self._queues[kind]
        while True:
            command = await queue.get()
            try:
                # Just before: a new leader may have been elected while it waited (INV-FENCE).
                self._epoch.check(command.epoch)
                await (self._delete(command) if kind == "delete" else self._replicate(command))
            except InvariantViolation:
                raise
            except StaleEpoch as error:
                self._end(command, False, str(error), "refused")
            except PydfsError as error:
                self._end(command, False, str(error), "failed")
            else:
                self._end(command, True, "", "ok")

    async def _delete(self, command: Command) -> None:
        held = self._store.index.get(command.chunk_id)
        if held is not None and held.version != command.version:
            raise StaleChunkVersion(
                f"chunk {command.chunk_id}: version {held.version} is here, the order is for "
                f"version {command.version}"
            )
        self._deleting[command.chunk_id] = command.epoch
        try:
            await self._store.delete(command.chunk_id, command.version)
        finally:
            del self._deleting[command.chunk_id]
            self._settled.set()

    async def _replicate(self, command: Command) -> None:
        wanted = ChunkLocation(
            command.chunk_id, command.version, 0, command.length, command.crc32c, command.sources,
            capability=command.capability,
        )  # fmt: skip
        sealing = self._sealing
        form = (False, False)
        if sealing is not None:
            form = await sealing.form(command.chunk_id, command.seal)
        await replicate(self._store, wanted, self._connect, *form)

    def _end(self, command: Command, ok: bool, reason: str, result: str) -> None:
        self._known.discard((command.kind, command.chunk_id, command.version))
        metrics().counter("chunk_commands_total", command.kind, result).inc()
        if not ok:
            _log.warning(
                "a command was not carried out",
                command=command.kind,
                chunk_id=command.chunk_id,
                version=command.version,
                reason=reason,
            )
        self._on_done(Done(command.kind, command.chunk_id, ok, reason))

"""Copies and deletions on command: verified, bounded, fenced by epoch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import DurabilityFailure
from pydfsnode.limits import MIB
from pydfsnode.roles.chunkserver.commands import QUEUE_MAX, Command, CommandRunner, Done
from tests.support.chunkservers import EPOCH, ChunkCluster, chunk_cluster

CONTENT = (bytes(range(251)) * (3 * MIB // 251))[: 2 * MIB + 77]
CRC = crc32c(CONTENT)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path) as running:
        for name in ("c1", "c2"):
            await running[name].store.create(7, 1).finish([CONTENT], CRC)
        yield running


@pytest.fixture
async def done() -> list[Done]:
    return []


@pytest.fixture
async def runner(cluster: ChunkCluster, done: list[Done]) -> AsyncIterator[CommandRunner]:
    server = cluster["c3"]
    server.epoch.advance(EPOCH)
    runner = CommandRunner(server.store, server.epoch, server.connect, done.append)
    task = asyncio.ensure_future(runner.run())
    yield runner
    task.cancel()
    await asyncio.wait([task])


def _copy(cluster: ChunkCluster, *sources: str, **changed: Any) -> Command:
    servers = tuple(cluster[name].replica for name in sources)
    return Command("replicate", EPOCH, 7, 1, len(CONTENT), CRC, servers)._replace(**changed)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_copy_is_pulled_verified_and_reported(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done]
) -> None:
    runner.submit(_copy(cluster, "c1", "c2"))
    await _until(lambda: done)
    assert done == [Done("replicate", 7, True, "")]
    store = cluster["c3"].store
    found = b"".join([bytes(p.data) async for p in store.read(7, 1, 0, len(CONTENT))])
    assert found == CONTENT
    assert runner.waiting == 0


async def test_a_copy_goes_on_from_another_source_when_one_is_corrupt(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done]
) -> None:
    cluster["c1"].flip(7, MIB + 3)
    runner.submit(_copy(cluster, "c1", "c2"))
    await _until(lambda: done)
    assert done[0].ok
    assert cluster["c3"].store.find(7, 1).length == len(CONTENT)


@pytest.mark.parametrize(
    ("sources", "changed"),
    [
        ((), {}),
        (("c3",), {}),
        (("c1",), {"version": 2}),
        (("c1",), {"length": len(CONTENT) + 1}),
        (("c1",), {"crc32c": CRC ^ 1}),
        (("c1",), {"epoch": EPOCH - 1}),
    ],
)
async def test_a_copy_that_cannot_be_made_whole_leaves_nothing(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done], sources: tuple[str, ...],
    changed: dict[str, Any],
) -> None:  # fmt: skip
    runner.submit(_copy(cluster, *sources, **changed))
    await _until(lambda: done)
    assert not done[0].ok
    assert done[0].reason
    store = cluster["c3"].store
    assert store.index.get(7) is None
    assert store.growing() == 0
    assert list((cluster["c3"].directory / "tmp").iterdir()) == []


async def test_a_copy_of_what_is_here_is_done_already(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done]
) -> None:
    for _ in range(2):
        runner.submit(_copy(cluster, "c1"))
        await _until(lambda: done)
        assert done.pop().ok
    assert cluster["c1"].service.reads.count == 0


async def test_a_corrupt_replica_is_made_again(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done]
) -> None:
    store = cluster["c3"].store
    await store.create(7, 1).finish([CONTENT], CRC)
    store.index.mark_corrupt(store.find(7, 1))
    runner.submit(_copy(cluster, "c1"))
    await _until(lambda: done)
    assert done[0].ok
    assert store.index.corrupt() == []


class _Blocked:
    """Holds every call of a store's method until let go."""

    def __init__(self, work: Callable[..., Awaitable[Any]]) -> None:
        self._work = work
        self.calls = 0
        self.go = asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        self.calls += 1
        await self.go.wait()
        return await self._work(*args)


async def test_commands_wait_in_bounded_queues_and_are_not_taken_twice(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydfsnode.roles.chunkserver import commands

    blocked = _Blocked(commands.replicate)
    monkeypatch.setattr(commands, "replicate", blocked)
    for chunk_id in range(100, 100 + limits.COPIES_PER_CHUNKSERVER_MAX):
        runner.submit(_copy(cluster, "c1", chunk_id=chunk_id))
    await _until(lambda: blocked.calls == limits.COPIES_PER_CHUNKSERVER_MAX)
    for _ in range(2):
        for chunk_id in range(1000, 1000 + QUEUE_MAX):
            runner.submit(_copy(cluster, "c1", chunk_id=chunk_id))
    assert done == []
    runner.submit(_copy(cluster, "c1", chunk_id=1))
    assert [(d.chunk_id, d.ok) for d in done] == [(1, False)]
    assert blocked.calls == limits.COPIES_PER_CHUNKSERVER_MAX
    runner.submit(Command("delete", EPOCH, 7, 1))
    await _until(lambda: len(done) == 2)
    assert done[1] == Done("delete", 7, True, "")


async def test_a_new_epoch_settles_only_when_old_deletions_have_ended(
    cluster: ChunkCluster, runner: CommandRunner, done: list[Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cluster["c3"]
    await server.store.create(7, 1).finish([CONTENT], CRC)
    blocked = _Blocked(server.store.delete)
    monkeypatch.setattr(server.store, "delete", blocked)
    runner.submit(Command("delete", EPOCH, 7, 1))
    await _until(lambda: blocked.calls)
    await runner.settle()
    server.epoch.advance(EPOCH + 1)
    settling = asyncio.ensure_future(runner.settle())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not settling.done()
    blocked.go.set()
    await settling
    assert server.store.index.get(7) is None


async def test_a_broken_disk_ends_the_runner(cluster: ChunkCluster) -> None:
    server = cluster["c3"]

    async def failing(chunk_id: int, version: int) -> None:
        raise DurabilityFailure("the disk is broken")

    server.store.delete = failing  # type: ignore[method-assign]
    runner = CommandRunner(server.store, server.epoch, server.connect, lambda _: None)
    runner.submit(Command("delete", EPOCH, 7, 1))
    with pytest.raises(BaseExceptionGroup) as ended:
        await runner.run()
    assert isinstance(ended.value.exceptions[0], DurabilityFailure)

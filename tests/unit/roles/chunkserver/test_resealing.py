"""Sealed chunks are written anew after a rotation, and what is left is never hidden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pydfsnode.roles.chunkserver.resealing import Resealer
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_store import ChunkStore

KEYS = {1: b"1" * 32, 2: b"2" * 32, 3: b"3" * 32}


class World:
    """A store and its resealer; pauses cost nothing."""

    def __init__(self, store: ChunkStore, keys: ChunkKeys) -> None:
        self.store = store
        self.keys = keys
        self.resealer = Resealer(store, keys, self._pause)
        self.pauses: list[float] = []

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def know(self, *epochs: int) -> None:
        self.keys.learn({epoch: KEYS[epoch] for epoch in epochs})

    async def write(self, chunk_id: int, length: int = 1000, *, sealed: bool = True) -> None:
        chunk = self.store.create(chunk_id, 1, is_sealed=sealed)
        await chunk.finish([bytes(length)], None)
        del chunk
        await self.nothing_is_written()

    async def nothing_is_written(self) -> None:
        """A thread of the store may hold on to what it has just finished."""
        while self.keys.seals_with_older(self.keys.epoch + 1):
            await asyncio.sleep(0)

    async def epochs(self) -> dict[int, int | None]:
        held = self.store.index.listing()[1]
        return {each.chunk_id: await self.store.seal_epoch(each) for each in held}

    async def content(self, chunk_id: int) -> bytes:
        held = self.store.index.get(chunk_id)
        assert held is not None
        return b"".join([p.data async for p in self.store.read(chunk_id, 1, 0, held.length)])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    keys = ChunkKeys()
    disk = ChunkDisk(tmp_path)
    store = await ChunkStore.open_disks([disk], keys=keys, pack_bytes_max=2000)
    world = World(store, keys)
    world.know(1)
    yield world
    await store.close()


async def test_all_sealed_chunks_get_the_new_key_and_plain_ones_stay(world: World) -> None:
    await world.write(1)
    await world.write(2, 300_000)
    await world.write(3, 300_000, sealed=False)
    world.know(1, 2)
    assert await world.resealer.step()
    assert await world.epochs() == {1: 2, 2: 2, 3: None}
    assert await world.content(2) == bytes(300_000)
    assert world.resealer.state == (2, 0, 2, 2)
    world.know(2)
    assert [await world.content(chunk_id) for chunk_id in (1, 3)] == [bytes(1000), bytes(300_000)]


async def test_while_a_chunk_is_written_with_the_old_key_that_is_needed(world: World) -> None:
    chunk = world.store.create(1, 1, is_sealed=True)
    world.know(1, 2)
    assert not await world.resealer.step()
    assert world.resealer.state.verified_epoch == 0
    await chunk.finish([b"x" * 5000], None)
    del chunk
    await world.nothing_is_written()
    assert await world.resealer.step()
    assert await world.epochs() == {1: 2}


async def test_a_chunk_whose_key_is_still_to_come_is_needed_and_not_called_corrupt(
    world: World,
) -> None:
    world.know(1, 2)
    await world.write(1)
    world.know(1, 3)  # of another cluster's state, say
    assert not await world.resealer.step()
    assert world.store.index.corrupt() == []
    world.know(1, 2, 3)
    assert await world.resealer.step()
    assert await world.epochs() == {1: 3}


async def test_a_chunk_whose_key_was_destroyed_is_corrupt(world: World) -> None:
    await world.write(1)
    await world.write(2, sealed=False)
    world.know(2)  # its server was away when all others were sealed anew
    assert await world.resealer.step()
    assert world.store.index.corrupt() == [1]


async def test_it_goes_slower_while_others_read(world: World) -> None:
    for chunk_id in (1, 2):
        await world.write(chunk_id, 1_000_000)
    world.know(1, 2)
    world.resealer._foreground_seen = world.store.foreground_bytes
    assert await world.resealer.step()
    quiet = sum(world.pauses)
    await world.nothing_is_written()
    world.pauses.clear()
    await world.content(1)
    world.know(1, 2, 3)
    assert await world.resealer.step()
    assert sum(world.pauses) > 2 * quiet


async def test_without_a_rotation_nothing_is_walked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.write(1)
    monkeypatch.setattr(world.store, "seal_epoch", None)
    assert await world.resealer.step()
    assert world.resealer.state.verified_epoch == 1

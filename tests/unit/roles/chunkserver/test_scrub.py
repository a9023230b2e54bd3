"""The scrubber reads everything once a period, finds damage, and goes on where it stopped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.roles.chunkserver.scrub import Scrubber
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.scrub_pace import DAY_MS

PERIOD_MS = 14 * DAY_MS


class Scrubbed:
    """A store, its scrubber, and a clock that moves while the scrubber pauses."""

    def __init__(self, store: ChunkStore, directory: Path) -> None:
        self.store = store
        self.directory = directory
        self.clock = ManualClock()
        self.verified: list[int] = []
        self.stop_after = 0
        inner = store.verify

        async def verify(held: Replica) -> AsyncIterator[int]:
            if self.stop_after and len(self.verified) >= self.stop_after:
                raise RuntimeError("the process ends here")
            self.verified.append(held.chunk_id)
            async for size in inner(held):
                yield size

        store.verify = verify  # type: ignore[method-assign]

    def scrubber(self) -> Scrubber:
        return Scrubber(self.store, self.directory, 14, self.clock, self._pause)

    async def _pause(self, seconds: float) -> None:
        self.clock.advance(max(1, int(seconds * 1000)))

    async def write(self, *chunk_ids: int, length: int = 1000) -> None:
        for chunk_id in chunk_ids:
            await self.store.create(chunk_id, 1).finish([bytes(length)], None)

    def damage(self, chunk_id: int, position: int) -> None:
        name = f"{chunk_id:016x}.1"
        path = self.directory / "chunks" / f"{chunk_id % 256:02x}" / name
        content = bytearray(path.read_bytes())
        content[position] ^= 1
        path.write_bytes(content)


@pytest.fixture
async def scrubbed(tmp_path: Path) -> AsyncIterator[Scrubbed]:
    store = await ChunkStore.open(tmp_path, 0)
    yield Scrubbed(store, tmp_path)
    await store.close()


async def test_everything_is_verified_once_a_round_and_in_time(scrubbed: Scrubbed) -> None:
    await scrubbed.write(*range(1, 40), length=3 * BLOCK_BYTES)
    scrubber = scrubbed.scrubber()
    began_ms = scrubbed.clock.wall_ms()
    await scrubber.run_round()
    assert scrubbed.verified == list(range(1, 40))
    assert PERIOD_MS // 2 < scrubbed.clock.wall_ms() - began_ms < PERIOD_MS
    assert (scrubber.progress.rounds, scrubber.progress.corrupt_found) == (1, 0)


async def test_damage_in_any_block_is_found_and_told(scrubbed: Scrubbed) -> None:
    await scrubbed.write(1, 2, 3, length=2 * MIB + 5)
    scrubbed.damage(2, 2 * MIB + 1)
    scrubbed.damage(3, 17)
    scrubber = scrubbed.scrubber()
    await scrubber.run_round()
    assert scrubbed.store.index.corrupt() == [2, 3]
    assert scrubber.progress.corrupt_found == 2
    scrubbed.verified.clear()
    await scrubber.run_round()
    assert scrubbed.verified == [1]


async def test_a_restart_goes_on_where_it_stopped(scrubbed: Scrubbed) -> None:
    await scrubbed.write(*range(1, 21))
    scrubbed.stop_after = 8
    with pytest.raises(RuntimeError):
        await scrubbed.scrubber().run()
    before = list(scrubbed.verified)
    scrubbed.stop_after = 20
    again = scrubbed.scrubber()
    with pytest.raises(RuntimeError):
        await again.run()  # in the next round
    assert before == list(range(1, 9))
    assert scrubbed.verified[:20] == list(range(1, 21))
    assert again.progress.rounds == 1


async def test_what_is_deleted_meanwhile_is_passed_over(scrubbed: Scrubbed) -> None:
    await scrubbed.write(1, 2, 3)
    scrubber = scrubbed.scrubber()
    inner = scrubbed.store.verify

    async def verify(held: Replica) -> AsyncIterator[int]:
        await scrubbed.store.delete(2, 1)
        async for size in inner(held):
            yield size

    scrubbed.store.verify = verify  # type: ignore[method-assign]
    await scrubber.run_round()
    assert scrubbed.verified == [1, 3]
    assert scrubber.progress.corrupt_found == 0


async def test_an_empty_store_costs_a_pause(scrubbed: Scrubbed) -> None:
    began_ms = scrubbed.clock.wall_ms()
    scrubber = scrubbed.scrubber()
    await scrubber.run_round()
    assert scrubbed.clock.wall_ms() - began_ms >= 60_000
    assert scrubber.progress.rounds == 0


async def test_a_sealed_chunk_without_its_key_is_not_called_corrupt_and_others_are_verified(
    tmp_path: Path,
) -> None:
    keys = ChunkKeys()
    keys.learn({1: b"k" * 32})
    first = await ChunkStore.open_disks([ChunkDisk(tmp_path)], keys=keys)
    await first.create(1, 1, is_sealed=True).finish([bytes(1000)], None)
    await first.create(2, 1).finish([bytes(1000)], None)
    await first.close()
    late = ChunkKeys()
    store = await ChunkStore.open_disks([ChunkDisk(tmp_path)], keys=late)
    scrubbed = Scrubbed(store, tmp_path)
    scrubber = scrubbed.scrubber()
    await scrubber.run_round()
    assert scrubbed.verified == [1, 1, 2]
    assert not store.index.corrupt()
    late.learn({1: b"k" * 32})
    await scrubber.run_round()
    assert scrubbed.verified == [1, 1, 2, 1, 2]
    assert scrubber.progress.corrupt_found == 0
    await store.close()

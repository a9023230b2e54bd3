"""The chunk store as the event loop sees it: threads, cancellation, kept chunks, failures."""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import (
    ConfigError,
    CorruptionError,
    DurabilityFailure,
    InvalidArgument,
    ReplicaNotFound,
    StaleChunkVersion,
    Unavailable,
)
from pydfsnode.limits import BLOCK_BYTES, MIB, PACKET_BYTES
from pydfsnode.storage import chunk_store
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.disk_threads import THREADS_PER_DISK
from tests.support.memory_directory import memory_directory

CONTENT = (bytes(range(251)) * (3 * MIB // 251))[: 2 * MIB + 77]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ChunkStore]:
    opened = await ChunkStore.open(tmp_path, 0)
    yield opened
    await opened.close()


def _tmp_files(path: Path) -> list[str]:
    return [entry.name for entry in (path / "tmp").iterdir()]


async def _no_tmp_files(path: Path) -> None:
    async with asyncio.timeout(20):
        while _tmp_files(path):
            await asyncio.sleep(0.002)


async def test_packets_end_at_multiples_of_their_size_and_carry_their_checksum(
    store: ChunkStore,
) -> None:
    await store.create(7, 1).finish([CONTENT], None)
    packets = [packet async for packet in store.read(7, 1, 5, len(CONTENT) - 5)]
    assert [packet.offset for packet in packets] == [5, PACKET_BYTES, 2 * PACKET_BYTES]
    assert b"".join(packet.data for packet in packets) == CONTENT[5:]
    assert [packet.crc32c for packet in packets] == [crc32c(packet.data) for packet in packets]


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, len(CONTENT) + 1), (len(CONTENT), 1)])
async def test_a_range_outside_the_chunk_is_refused(
    store: ChunkStore, offset: int, length: int
) -> None:
    await store.create(7, 1).finish([CONTENT], None)
    with pytest.raises(InvalidArgument, match="not inside"):
        await anext(store.read(7, 1, offset, length))


async def test_no_byte_of_a_bad_block_leaves_and_the_replica_is_marked(
    store: ChunkStore, tmp_path: Path
) -> None:
    await store.create(7, 1).finish([CONTENT], None)
    file = tmp_path / "chunks" / "07" / "0000000000000007.1"
    damaged = bytearray(file.read_bytes())
    damaged[PACKET_BYTES + BLOCK_BYTES] ^= 128
    file.write_bytes(damaged)
    packets = store.read(7, 1, 0, len(CONTENT))
    assert (await anext(packets)).data == CONTENT[:PACKET_BYTES]
    with pytest.raises(CorruptionError):
        await anext(packets)
    assert store.index.corrupt() == [7]
    with pytest.raises(CorruptionError):
        await anext(store.read(7, 1, 0, 1))


async def test_a_read_that_is_left_closes_its_file(store: ChunkStore) -> None:
    await store.create(7, 1).finish([CONTENT], None)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        packets = store.read(7, 1, 0, len(CONTENT))
        await anext(packets)
        await packets.aclose()  # type: ignore[attr-defined]
    await store.run(lambda: None)
    async with asyncio.timeout(20):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.002)


async def test_a_read_goes_on_while_its_chunk_is_deleted(store: ChunkStore) -> None:
    await store.create(7, 1).finish([CONTENT], None)
    packets = store.read(7, 1, 0, len(CONTENT))
    found = bytes((await anext(packets)).data)
    await store.delete(7, 1)
    found += b"".join([bytes(packet.data) async for packet in packets])
    assert found == CONTENT
    with pytest.raises(ReplicaNotFound):
        await anext(store.read(7, 1, 0, 1))


async def test_a_cancelled_finish_goes_on_and_is_seen(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(fd: int) -> None:
        syncing.set()
        go.wait(20)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    chunk = store.create(7, 1)
    finishing = asyncio.ensure_future(chunk.finish([CONTENT], None))
    await asyncio.to_thread(syncing.wait, 20)
    finishing.cancel()
    await asyncio.wait([finishing])
    chunk.keep(0)
    sealing = asyncio.ensure_future(store.seal(7, 1, 2, 100))
    go.set()
    assert await sealing == crc32c(CONTENT[:100])
    assert store.find(7, 2).length == 100
    store.sweep(10**9)
    assert store.find(7, 2).length == 100


async def test_work_that_waits_for_a_thread_is_done_though_its_caller_was_cancelled(
    store: ChunkStore,
) -> None:
    go = threading.Event()
    busy = [asyncio.ensure_future(store.run(go.wait, 20)) for _ in range(THREADS_PER_DISK)]
    done = threading.Event()
    waiting = asyncio.ensure_future(store.run(done.set))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not done.is_set()
    go.set()
    assert await asyncio.to_thread(done.wait, 20)
    await asyncio.wait(busy)


async def test_listeners_hear_of_changes_in_the_loop(store: ChunkStore) -> None:
    heard: list[str] = []
    changed = asyncio.Event()

    def listener() -> None:
        heard.append(threading.current_thread().name)
        changed.set()

    store.on_change(listener)
    await store.create(7, 1).finish([CONTENT], None)
    await changed.wait()
    assert set(heard) == {threading.current_thread().name}


async def test_a_kept_chunk_promises_no_room_and_too_many_are_not_kept(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_store, "BROKEN_CHUNKS_MAX", 2)
    free = store.free_bytes()
    for chunk_id in (1, 2, 3):
        chunk = store.create(chunk_id, 1)
        await chunk.append([b"some"])
        assert store.free_bytes() < free - 60 * MIB
        chunk.keep(0)
        assert store.free_bytes() > free - 60 * MIB
    async with asyncio.timeout(20):
        while store.growing() > 2:
            await asyncio.sleep(0.002)
    with pytest.raises(ReplicaNotFound):
        await store.seal(1, 1, 2, 4)
    assert await store.seal(3, 1, 2, 4) == crc32c(b"some")


async def test_a_stream_without_a_byte_leaves_nothing_to_keep(
    store: ChunkStore, tmp_path: Path
) -> None:
    store.create(7, 1).keep(0)
    async with asyncio.timeout(20):
        while store.growing():
            await asyncio.sleep(0.002)
    with pytest.raises(InvalidArgument, match="at least one byte"):
        await store.create(7, 1).finish([], None)
    await store.create(7, 1).finish([b"now it works"], None)


async def test_a_newer_version_revokes_the_stream_of_the_older(
    store: ChunkStore, tmp_path: Path
) -> None:
    older = store.create(7, 1)
    await older.append([b"old"])
    newer = store.create(7, 2)
    assert older.revoked.is_set()
    with pytest.raises(StaleChunkVersion):
        await older.append([b"more"])
    older.keep(0)
    await newer.finish([b"new"], None)
    assert store.find(7, 2).length == 3
    await _no_tmp_files(tmp_path)


async def test_a_failure_of_the_disk_is_told_even_if_nobody_waits(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    chunk = store.create(7, 1)
    await chunk.append([CONTENT])
    finishing = asyncio.ensure_future(chunk.finish([], None))
    await asyncio.sleep(0)
    finishing.cancel()
    assert isinstance(await store.failed, DurabilityFailure)
    for attempt in (store.seal(7, 1, 2, 1), store.delete(7, 1)):
        with pytest.raises(DurabilityFailure):
            await attempt


async def test_a_closed_store_is_unavailable_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = await ChunkStore.open(tmp_path, 0)
    await store.create(7, 1).append([b"some"])
    assert len(_tmp_files(tmp_path)) == 1
    await store.close()
    await store.close()
    assert _tmp_files(tmp_path) == []
    with pytest.raises(Unavailable):
        store.create(8, 1)


async def test_a_directory_that_cannot_be_used_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "chunks").write_text("a file where a directory should be")
    with pytest.raises(ConfigError, match="chunks"):
        await ChunkStore.open(tmp_path, 0)


async def test_small_chunks_finished_together_share_syncs_and_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = await ChunkStore.open_disks([ChunkDisk(tmp_path)], pack_bytes_max=MIB)
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    chunks = [packing.create(chunk_id, 1) for chunk_id in range(1, 65)]
    for chunk in chunks:
        await chunk.append([CONTENT[: chunk.chunk_id]])
    sums = await asyncio.gather(*(chunk.finish([b"end"], None) for chunk in chunks))
    assert sums == [crc32c(CONTENT[: chunk.chunk_id] + b"end") for chunk in chunks]
    assert len(syncs) <= 4
    for chunk in chunks:
        length = chunk.chunk_id + 3
        (packet,) = [one async for one in packing.read(chunk.chunk_id, 1, 0, length)]
        assert packet.data == CONTENT[: chunk.chunk_id] + b"end"
    assert packing.growing() == 0
    assert packing.foreground_bytes > 0
    await packing.close()


async def test_a_cancelled_finish_of_a_small_chunk_goes_on(tmp_path: Path) -> None:
    packing = await ChunkStore.open_disks([ChunkDisk(tmp_path)], pack_bytes_max=MIB)
    chunk = packing.create(7, 1)
    finishing = asyncio.ensure_future(chunk.finish([b"content"], None))
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.wait([finishing])
    chunk.keep(0)
    assert await packing.seal(7, 1, 2, 4) == crc32c(b"cont")
    assert packing.find(7, 2).length == 4
    await packing.close()


async def test_a_kept_small_chunk_is_sealed_and_a_failure_is_told_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = await ChunkStore.open_disks([ChunkDisk(tmp_path)], pack_bytes_max=MIB)
    kept = packing.create(1, 1)
    await kept.append([b"0123456789"])
    kept.keep(0)
    assert await packing.seal(1, 1, 2, 5) == crc32c(b"01234")

    def failing(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    chunks = [packing.create(chunk_id, 1) for chunk_id in (2, 3, 4)]
    found = await asyncio.gather(
        *(chunk.finish([b"content"], None) for chunk in chunks), return_exceptions=True
    )
    assert {type(error) for error in found} == {DurabilityFailure}
    assert isinstance(await packing.failed, DurabilityFailure)
    await packing.close()


async def test_one_of_two_disks_fails_and_the_signals_say_so(tmp_path: Path) -> None:
    disks = [ChunkDisk(tmp_path / name, number=number) for number, name in enumerate("ab")]
    both = await ChunkStore.open_disks(disks, pack_bytes_max=MIB)
    for chunk_id in range(20):
        await both.create(chunk_id, 1).finish([b"content"], None)
    assert both.signals().failed_disks == 0
    shutil.rmtree(tmp_path / "a")
    await both.check_disks()
    assert both.signals().failed_disks == 1
    assert [disk.directory.name for disk in both.disks.failed] == ["a"]
    assert not both.failed.done()
    assert 0 < len(both.index) < 20
    both.lose_disk(tmp_path / "a", "again")
    for chunk_id in range(20, 30):
        await both.create(chunk_id, 1).finish([b"content"], None)
    await both.close()

"""Chunks that need the key of their file too: written, read, moved, and never without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, FileKeyMissing, KeyUnavailable
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.chunk_store import ChunkStore
from tests.support.packed_chunks import chunk_content, read_chunk

EPOCHS = {1: bytes(range(32)), 2: bytes(range(32, 64))}
FILE_KEY, OTHER = b"f" * 32, b"o" * 32
PACK_MAX = 256 * 1024
LENGTHS = [1, BLOCK_BYTES + 1, MIB + 5]


def keys_of(file_keys: Mapping[int, bytes], *epochs: int) -> ChunkKeys:
    """Those of *epochs*, mostly of the first, and those of files by chunk."""
    made = ChunkKeys()
    made.learn({epoch: EPOCHS[epoch] for epoch in epochs or (1,)})
    made.files.put(file_keys)
    return made


def opened(directory: Path, keys: ChunkKeys, pack: int = PACK_MAX) -> ChunkReplicas:
    held = ChunkReplicas([ChunkDisk(directory)], lambda: None, pack_bytes_max=pack, keys=keys)
    held.open()
    return held


def write(held: ChunkReplicas, chunk_id: int, content: bytes, *, keyed: bool = True) -> None:
    writer = held.create(chunk_id, 1, len(content), True, keyed)
    held.append(writer, [content])
    assert held.finish(writer) == crc32c(content)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("pack", [0, PACK_MAX])
def test_it_is_read_with_its_key_after_a_restart_and_not_without(
    tmp_path: Path, length: int, pack: int
) -> None:
    content = chunk_content(length)
    held = opened(tmp_path, keys_of({7: FILE_KEY}), pack)
    write(held, 7, content)
    write(held, 8, content, keyed=False)
    assert read_chunk(held, 7) == content
    held.close()
    for key, error in ((None, FileKeyMissing), (OTHER, CorruptionError)):
        again = opened(tmp_path, keys_of({} if key is None else {7: key}), pack)
        with pytest.raises(error):
            read_chunk(again, 7)
        assert read_chunk(again, 8) == content
        again.close()
    again = opened(tmp_path, keys_of({7: FILE_KEY}), pack)
    assert read_chunk(again, 7) == content


def test_a_missing_key_is_no_damage_and_nothing_is_begun_without_it(tmp_path: Path) -> None:
    held = opened(tmp_path, keys_of({7: FILE_KEY}))
    write(held, 7, b"abc")
    held.close()
    again = opened(tmp_path, keys_of({}))
    for work in (
        lambda: again.reader(again.find(7, 1)),
        lambda: again.seal(7, 1, 2, 2),
        lambda: again.reseal(7, 1),
        lambda: again.create(9, 1, 5, True, True),
    ):
        with pytest.raises(FileKeyMissing) as refused:
            work()
        assert refused.value.fields["chunk_id"] in (7, 9)
    assert not again.index.is_corrupt(7)
    assert (again.find(7, 1).length, len(again.growing)) == (3, 0)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("pack", [0, PACK_MAX])
def test_it_stays_keyed_when_it_is_cut_or_sealed_anew(tmp_path: Path, pack: int) -> None:
    held = opened(tmp_path, keys_of({7: FILE_KEY}), pack)
    write(held, 7, b"abcdef")
    held.seal(7, 1, 2, 3)
    held.close()
    later = opened(tmp_path, keys_of({7: FILE_KEY}, 1, 2), pack)
    assert read_chunk(later, 7, 2) == b"abc"
    later.reseal(7, 2)
    assert later.seal_epoch(later.find(7, 2)) == 2
    later.close()
    without = opened(tmp_path, keys_of({}, 1, 2), pack)
    with pytest.raises(FileKeyMissing):
        read_chunk(without, 7, 2)
    last = opened(tmp_path, keys_of({7: FILE_KEY}, 2), pack)
    assert read_chunk(last, 7, 2) == b"abc"


def test_compaction_needs_the_keys_and_keeps_what_has_none_here(tmp_path: Path) -> None:
    file_keys = {chunk_id: bytes([chunk_id]) * 32 for chunk_id in range(1, 9)}
    held = opened(tmp_path, keys_of(file_keys))
    for chunk_id in file_keys:
        write(held, chunk_id, chunk_content(50_000 + chunk_id))
    held.close()
    keys = keys_of({})
    again = opened(tmp_path, keys, PACK_MAX)
    for chunk_id in range(1, 7):
        again.delete(chunk_id, 1)
    (compaction,) = again.compactions()
    with pytest.raises(FileKeyMissing):
        compaction.step()
    keys.files.put(file_keys)
    while compaction.step():
        pass
    assert {n: read_chunk(again, n) == chunk_content(50_000 + n) for n in (7, 8)} == {
        7: True, 8: True,
    }  # fmt: skip
    again.close()
    without = opened(tmp_path, keys_of({}))
    with pytest.raises(FileKeyMissing):
        read_chunk(without, 7)


async def test_the_store_asks_the_masters_and_goes_on(tmp_path: Path) -> None:
    content = chunk_content(MIB + 70_000)
    held = opened(tmp_path, keys_of({7: FILE_KEY, 8: OTHER}))
    write(held, 7, content)
    write(held, 8, b"abc")
    write(held, 9, b"plain", keyed=False)
    held.close()
    keys, asked = keys_of({}), []

    async def fetch(chunk_ids: list[int]) -> Mapping[int, bytes]:
        asked.append(chunk_ids)
        return {7: FILE_KEY, 8: OTHER}

    store = await ChunkStore.open_disks([ChunkDisk(tmp_path)], pack_bytes_max=PACK_MAX, keys=keys)
    try:
        with pytest.raises(KeyUnavailable, match="no master can be asked"):
            await anext(store.read(7, 1, 0, 10))
        keys.files.bind(fetch)
        found = [bytes(packet.data) async for packet in store.read(7, 1, 0, len(content))]
        assert b"".join(found) == content
        assert [size async for size in store.verify(store.find(8, 1))] == [3]
        assert asked == [[7, 8, 9]]
        keys.files.drop(8)
        await store.seal(8, 1, 2, 2)
        assert len(asked) == 2
        await store.delete(7, 1)
        assert keys.files.get(7) is None
    finally:
        await store.close()

"""Chunks sealed at rest: what is on the disk, what is refused, what needs no key."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, KeyUnavailable
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import sealed_chunk
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.chunk_store import ChunkStore
from tests.support.packed_chunks import chunk_content, read_chunk

KEY = bytes(range(32))
PACK_MAX = 256 * 1024
LARGE = 2 * MIB + 3 * BLOCK_BYTES + 777
"""Beyond what is packed, beyond a unit, and with a short last block."""


def keys_of(*keys: bytes) -> ChunkKeys:
    """Epochs 1, 2, ...; salts count, so that a run is as the one before."""
    counter = itertools.count(1)
    made = ChunkKeys(lambda: next(counter).to_bytes(16, "little"))
    made.learn(dict(enumerate(keys, 1)))
    return made


def opened(directory: Path, keys: ChunkKeys, pack: int = PACK_MAX) -> ChunkReplicas:
    """What a process that begins with *keys* finds."""
    held = ChunkReplicas([ChunkDisk(directory)], lambda: None, pack_bytes_max=pack, keys=keys)
    held.open()
    return held


def write(
    held: ChunkReplicas, chunk_id: int, content: bytes, step: int = 70_001, sealed: bool = True
) -> None:
    """A finished chunk, written in pieces of *step* bytes."""
    writer = held.create(chunk_id, 1, len(content), sealed)
    for start in range(0, len(content), step):
        held.append(writer, [content[start : start + step]])
    assert held.finish(writer) == crc32c(content)


def stored(directory: Path) -> dict[Path, bytes]:
    """Every file of the disk."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def the_file(directory: Path) -> Path:
    """The one chunk file."""
    (path,) = (directory / "chunks").glob("*/*")
    return path


@pytest.mark.parametrize("length", [1, BLOCK_BYTES, BLOCK_BYTES + 1, MIB, LARGE])
@pytest.mark.parametrize("pack", [0, PACK_MAX])
@pytest.mark.parametrize("step", [1 << 20, 70_001])
def test_what_is_written_sealed_is_read_after_a_restart_and_nothing_of_it_is_on_the_disk(
    tmp_path: Path, length: int, pack: int, step: int
) -> None:
    content = bytes(n % 251 for n in range(997)) * (length // 997 + 1)
    content = content[:length]
    held = opened(tmp_path, keys_of(KEY), pack)
    write(held, 7, content, step)
    assert read_chunk(held, 7) == content
    held.close()
    for path, found in stored(tmp_path).items():
        assert length < 16 or content[:16] not in found, path
        assert crc32c(content).to_bytes(4, "little") not in found, path
    again = opened(tmp_path, keys_of(KEY), pack)
    assert read_chunk(again, 7) == content


def test_a_range_is_read_without_its_neighbours(tmp_path: Path) -> None:
    content = chunk_content(LARGE)
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, content)
    replica = held.find(7, 1)
    with held.reader(replica) as reader:
        for offset, size in ((0, 1), (65_535, 2), (LARGE - 1, 1), (300_000, 400_000)):
            for past_cache in (False, True):
                found = held.read(reader, replica, offset, size, past_cache=past_cache)
                assert found == content[offset : offset + size]


@pytest.mark.parametrize(
    "position", [0, BLOCK_BYTES, LARGE - 1, LARGE, LARGE + 40, LARGE + 900, -60, -1]
)
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, position: int) -> None:
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, chunk_content(LARGE))
    path = the_file(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptionError):
        read_chunk(held, 7)
    assert held.index.is_corrupt(7)


def test_blocks_that_change_places_are_found(tmp_path: Path) -> None:
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, bytes(LARGE))  # the same plain bytes in each block
    path = the_file(tmp_path)
    found = bytearray(path.read_bytes())
    first, second = found[:BLOCK_BYTES], found[BLOCK_BYTES : 2 * BLOCK_BYTES]
    assert first != second
    found[: 2 * BLOCK_BYTES] = second + first
    path.write_bytes(found)
    with pytest.raises(CorruptionError, match="block 0"):
        read_chunk(held, 7)


def test_blocks_and_seals_of_another_chunk_and_of_another_version_are_found(tmp_path: Path) -> None:
    for name, ids in (("a", (7, 0x107)), ("b", (7, 7))):
        held = opened(tmp_path / name, keys_of(KEY))
        write(held, ids[0], chunk_content(LARGE))
        path = the_file(tmp_path / name)
        other = path.with_name(path.name.replace(f"{7:016x}.1", f"{ids[1]:016x}.2"))
        path.rename(other)
        again = opened(tmp_path / name, keys_of(KEY))
        with pytest.raises(CorruptionError, match="its footer names"):
            read_chunk(again, ids[1], version=2)


def test_a_file_that_is_cut_is_listed_as_corrupt_or_refused(tmp_path: Path) -> None:
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, chunk_content(LARGE))
    path = the_file(tmp_path)
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - BLOCK_BYTES, LARGE, 10):
        path.write_bytes(whole[:size])
        again = opened(tmp_path, keys_of(KEY))
        with pytest.raises(CorruptionError):
            read_chunk(again, 7)


def test_equal_chunks_and_equal_blocks_look_different(tmp_path: Path) -> None:
    held = opened(tmp_path, keys_of(KEY), pack=0)
    write(held, 1, bytes(3 * BLOCK_BYTES))
    write(held, 2, bytes(3 * BLOCK_BYTES))
    blocks = [
        content[start : start + BLOCK_BYTES]
        for path, content in stored(tmp_path / "chunks").items()
        for start in range(0, 3 * BLOCK_BYTES, BLOCK_BYTES)
    ]
    assert len(set(blocks)) == len(blocks) == 6


@pytest.mark.parametrize("length", [1000, LARGE])
def test_without_its_key_a_chunk_is_listed_and_neither_read_nor_called_corrupt(
    tmp_path: Path, length: int
) -> None:
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, chunk_content(length))
    held.close()
    for keys, told in ((ChunkKeys(), "here are: none"), (keys_of(bytes(32)), "another key")):
        again = opened(tmp_path, keys)
        assert again.index.get(7) == (7, 1, length)
        with pytest.raises(KeyUnavailable, match=told) as refused:
            read_chunk(again, 7)
        assert refused.value.fields["epoch"] == 1
        with pytest.raises(KeyUnavailable):
            again.seal(7, 1, 2, length - 1)
        with pytest.raises(KeyUnavailable):
            again.reseal(7, 1)
        assert not again.index.corrupt()
        assert not list((tmp_path / "tmp").iterdir())
        again.close()
    assert read_chunk(opened(tmp_path, keys_of(KEY)), 7) == chunk_content(length)


def test_a_chunk_to_be_sealed_is_refused_as_long_as_there_is_no_key(tmp_path: Path) -> None:
    held = opened(tmp_path, ChunkKeys())
    with pytest.raises(KeyUnavailable):
        held.create(7, 1, 1000, True)
    assert len(held.growing) == 0
    write(held, 7, b"plain", sealed=False)
    assert read_chunk(held, 7) == b"plain"


@pytest.mark.parametrize("pack", [0, PACK_MAX])
@pytest.mark.parametrize("cut", [1, 100, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 5])
def test_a_growing_chunk_is_cut_and_goes_on(tmp_path: Path, pack: int, cut: int) -> None:
    content = chunk_content(3 * BLOCK_BYTES + 500)
    held = opened(tmp_path, keys_of(KEY), pack)
    writer = held.create(7, 1, len(content), True)
    held.append(writer, [content])
    assert writer.read(cut - 1, 10) == content[cut - 1 : cut + 9]
    assert held.seal(7, 1, 2, cut) == crc32c(content[:cut])
    assert read_chunk(held, 7, version=2) == content[:cut]
    assert read_chunk(opened(tmp_path, keys_of(KEY), pack), 7, version=2) == content[:cut]


@pytest.mark.parametrize("cut", [10, BLOCK_BYTES - 1, BLOCK_BYTES, MIB, MIB + 70_000])
def test_what_is_written_behind_a_cut_is_sealed_with_numbers_that_were_not_used(
    tmp_path: Path, cut: int
) -> None:
    content = chunk_content(MIB + 2 * BLOCK_BYTES)
    held = opened(tmp_path, keys_of(KEY), pack=0)
    writer = held.create(7, 1, 3 * MIB, True)
    held.append(writer, [content])
    writer.truncate(cut)
    held.append(writer, [content])
    expected = content[:cut] + content
    assert held.finish(writer) == crc32c(expected)
    assert read_chunk(held, 7) == expected
    found = the_file(tmp_path).read_bytes()
    first = len(expected) + 28
    blocks = -(-len(expected) // BLOCK_BYTES)
    numbers = [found[first + 20 * n : first + 20 * n + 4] for n in range(blocks)]
    assert len(set(numbers)) == blocks
    used = len(content) // BLOCK_BYTES  # blocks that were sealed before the cut
    for block, number in enumerate(numbers):
        is_kept = block < cut // BLOCK_BYTES
        assert (int.from_bytes(number, "little") <= used) == is_kept


@pytest.mark.parametrize("length", [1000, LARGE])
@pytest.mark.parametrize("was_sealed", [False, True])
def test_a_chunk_is_sealed_anew_with_the_newest_key(
    tmp_path: Path, length: int, was_sealed: bool
) -> None:
    content = chunk_content(length)
    first = opened(tmp_path, keys_of(KEY))
    write(first, 7, content, sealed=was_sealed)
    first.close()
    two = keys_of(KEY, bytes(32))
    held = opened(tmp_path, two)
    assert held.reseal(7, 1) == crc32c(content)
    assert read_chunk(held, 7) == content
    held.close()
    only_new = ChunkKeys()
    only_new.learn({2: bytes(32)})
    assert read_chunk(opened(tmp_path, only_new), 7) == content
    assert len(stored(tmp_path / "chunks")) == (length > PACK_MAX)


def test_a_chunk_is_unsealed_where_its_directory_wants_that(tmp_path: Path) -> None:
    content = chunk_content(LARGE)
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, content)
    held.reseal(7, 1, is_sealed=False)
    assert read_chunk(opened(tmp_path, ChunkKeys()), 7) == content


def test_plain_and_sealed_chunks_lie_in_one_segment(tmp_path: Path) -> None:
    held = opened(tmp_path, keys_of(KEY))
    for chunk_id in range(1, 9):
        write(held, chunk_id, chunk_content(5000, chunk_id), sealed=chunk_id % 2 == 0)
    held.close()
    again = opened(tmp_path, keys_of(KEY))
    for chunk_id in range(1, 9):
        assert read_chunk(again, chunk_id) == chunk_content(5000, chunk_id)


def test_a_crash_between_the_new_copy_and_the_old_one_keeps_the_sealed_one(tmp_path: Path) -> None:
    content = chunk_content(LARGE)
    held = opened(tmp_path, keys_of(KEY))
    write(held, 7, content, sealed=False)
    plain = the_file(tmp_path)
    kept = plain.read_bytes()
    held.reseal(7, 1)
    assert not plain.exists()
    plain.write_bytes(kept)
    again = opened(tmp_path, keys_of(KEY))
    assert read_chunk(again, 7) == content
    assert the_file(tmp_path).name.endswith(".sealed")


def test_sizes_of_sealed_files_give_the_length_and_others_none() -> None:
    for length in (1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 64 * MIB):
        size = length + sealed_chunk.tail_bytes(length)
        assert sealed_chunk.data_bytes(size) == length
    for size in (0, 71 + 48, BLOCK_BYTES + sealed_chunk.tail_bytes(BLOCK_BYTES) + 24):
        assert sealed_chunk.data_bytes(size) is None


def test_compaction_moves_sealed_chunks_with_the_newest_key_and_waits_for_a_missing_one(
    tmp_path: Path,
) -> None:
    held = opened(tmp_path, keys_of(KEY))
    for chunk_id in range(8):
        write(held, chunk_id, chunk_content(5000, chunk_id + 1))
    for chunk_id in range(6):
        held.delete(chunk_id, 1)
    held.close()
    blind = opened(tmp_path, ChunkKeys())
    with pytest.raises(KeyUnavailable):
        blind.compactions()[0].step()
    assert not blind.index.corrupt()
    blind.close()
    again = opened(tmp_path, keys_of(KEY, bytes(32)))
    (compaction,) = again.compactions()
    write(again, 100, b"opens a segment", sealed=False)
    while compaction.step():
        pass
    again.close()
    only_new = ChunkKeys()
    only_new.learn({2: bytes(32)})
    last = opened(tmp_path, only_new)
    for chunk_id in (6, 7):
        assert read_chunk(last, chunk_id) == chunk_content(5000, chunk_id + 1)


async def test_a_store_seals_a_chunk_anew_while_it_is_read(tmp_path: Path) -> None:
    content = chunk_content(LARGE)
    store = await ChunkStore.open_disks([ChunkDisk(tmp_path)], keys=keys_of(KEY))
    assert await store.create(7, 1, LARGE).finish([content], None) == crc32c(content)
    reading = store.read(7, 1, 0, LARGE)
    found = bytes((await anext(reading)).data)
    await store.reseal(7, 1)
    assert the_file(tmp_path).name.endswith(".sealed")
    async for packet in reading:
        found += packet.data
    assert found == content
    async for packet in store.read(7, 1, MIB, MIB):
        assert packet.data == content[MIB : 2 * MIB]
        assert packet.crc32c == crc32c(packet.data)
    await store.close()

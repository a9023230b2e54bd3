"""Chunk files under arbitrary cuts, ranges, seals and damage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError
from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_index import ChunkIndex, Replica
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from tests.support.memory_directory import memory_directory

LENGTHS = st.one_of(
    st.integers(1, 200),
    st.integers(0, 4).flatmap(lambda n: st.integers(-2, 2).map(lambda d: n * BLOCK_BYTES + d)),
    st.integers(1, 300_000),
).filter(lambda length: length > 0)


def _content(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


@contextmanager
def _disk() -> Iterator[ChunkReplicas]:
    with memory_directory() as directory:
        disk = ChunkReplicas([ChunkDisk(directory)], lambda: None)
        (directory / "tmp").mkdir()
        (directory / "chunks" / "07").mkdir(parents=True)
        yield disk


def _write(disk: ChunkReplicas, content: bytes, cuts: list[int]) -> None:
    writer = disk.create(7, 1, len(content))
    edges = sorted({0, len(content), *(cut % len(content) for cut in cuts)})
    for start, end in pairwise(edges):
        writer.append([content[start:end]])
    disk.finish(writer, crc32c(content))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.lists(st.integers(0, 10**9), max_size=6), st.data())
def test_any_cuts_and_any_range_give_the_same_bytes(
    length: int, cuts: list[int], data: st.DataObject
) -> None:
    content = _content(length)
    with _disk() as disk:
        _write(disk, content, cuts)
        start = data.draw(st.integers(0, length - 1))
        size = data.draw(st.integers(1, length - start))
        with disk.reader(disk.find(7, 1)) as reader:
            assert reader.read(start, size) == content[start : start + size]
            assert reader.tail.crc32c == crc32c(content)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.booleans(), st.data())
def test_a_seal_at_any_length_is_a_whole_chunk_of_those_bytes(
    length: int, finished: bool, data: st.DataObject
) -> None:
    content = _content(length)
    kept = data.draw(st.integers(1, length))
    with _disk() as disk:
        writer = disk.create(7, 1, length)
        writer.append([content])
        if finished:
            disk.finish(writer)
        assert disk.seal(7, 1, 2, kept) == crc32c(content[:kept])
        with disk.reader(disk.find(7, 2)) as reader:
            assert reader.read(0, kept) == content[:kept]


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.integers(0, 10**9), st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_good(length: int, where: int, bit: int) -> None:
    content = _content(length)
    with _disk() as disk:
        _write(disk, content, [])
        path = disk.disks.all[0].directory / "chunks" / "07" / "0000000000000007.1"
        damaged = bytearray(path.read_bytes())
        damaged[where % len(damaged)] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            with disk.reader(disk.find(7, 1)) as reader:
                reader.read(0, length)
        except CorruptionError:
            return
        raise AssertionError(f"byte {where % len(damaged)} was damaged and nobody saw it")


@settings(max_examples=12, deadline=None)
@given(LENGTHS, st.integers(0, 10**9))
def test_a_cut_file_is_never_read_as_good(length: int, where: int) -> None:
    with _disk() as disk:
        _write(disk, _content(length), [])
        path = disk.disks.all[0].directory / "chunks" / "07" / "0000000000000007.1"
        os.truncate(path, where % path.stat().st_size)
        again = ChunkReplicas(disk.disks.all, lambda: None)
        again.open()
        try:
            with again.reader(again.find(7, 1)) as reader:
                reader.read(0, again.find(7, 1).length)
        except CorruptionError:
            return
        raise AssertionError("a cut file was read")


@given(st.integers(1, 2**26))
def test_a_length_survives_being_a_file_size(length: int) -> None:
    assert chunk_format.data_bytes(length + chunk_format.tail_bytes(length)) == length


CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "poll"]), st.integers(0, 5), st.integers(1, 3)),
    max_size=60,
)


@given(CHANGES, st.integers(1, 4))
def test_following_the_changes_of_an_index_gives_the_index(
    changes: list[tuple[str, int, int]], batch: int
) -> None:
    index = ChunkIndex(lambda: None)
    copy: dict[int, Replica] = {}
    cursor = index.cursor

    def poll() -> None:
        nonlocal cursor
        found = index.changes(cursor, batch)
        assert found is not None
        cursor = found.cursor
        copy.update({replica.chunk_id: replica for replica in found.added})
        for chunk_id in found.removed:
            copy.pop(chunk_id, None)

    for kind, chunk_id, version in changes:
        held = index.get(chunk_id)
        if kind == "put":
            index.put(Replica(chunk_id, version, 10))
        elif kind == "poll":
            poll()
        elif held is not None:
            index.remove(held)
    while cursor < index.cursor:
        poll()
    assert copy == {replica.chunk_id: replica for replica in index.listing()[1]}
    assert index.used_bytes == len(copy) * (10 + chunk_format.tail_bytes(10))

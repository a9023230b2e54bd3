"""Compaction of segments: room comes back, nothing is lost and nothing wakes up, in any crash."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.segment_format import Record
from tests.support.memory_directory import memory_directory
from tests.support.packed_chunks import (
    PACK_MAX,
    chunk_content,
    crashed_copy,
    open_replicas,
    read_chunk,
    segment_files,
    write_chunk,
    write_chunks,
)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
def held(tmp_path: Path) -> ChunkReplicas:
    return open_replicas(tmp_path)


def _compact(held: ChunkReplicas) -> None:
    (compaction,) = held.compactions()
    while compaction.step():
        pass


def test_compaction_frees_what_is_dead_and_loses_nothing(tmp_path: Path) -> None:
    held = open_replicas(tmp_path / "d", segment_bytes=4 * BLOCK_BYTES)
    segments = held.disks.all[0].segments
    write_chunks(held, 40, BLOCK_BYTES)
    for chunk_id in range(40):
        if chunk_id % 4:
            held.delete(chunk_id, 1)
    dead = segments.dead_bytes
    _compact(held)
    assert segments.dead_bytes < dead / 4
    assert sum(path.stat().st_size for path in segment_files(tmp_path / "d")) < 20 * BLOCK_BYTES
    for found in (held, crashed_copy(tmp_path / "d", tmp_path / "after")):
        left = {replica.chunk_id for replica in found.index.listing()[1]}
        assert left == set(range(0, 40, 4))
        assert all(read_chunk(found, n) == chunk_content(BLOCK_BYTES, n) for n in left)


def test_compaction_merges_small_segments_and_keeps_tombstones_that_count(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    held = open_replicas(directory, 2 * PACK_MAX)
    write_chunk(held, 1, chunk_content(PACK_MAX))
    write_chunk(held, 2, b"dead soon")
    for chunk_id in (11, 12):  # each start closes a segment
        held.close()
        held = open_replicas(directory, 2 * PACK_MAX)
        if chunk_id == 12:  # told in the segment that is compacted last
            held.delete(2, 1)
        write_chunk(held, chunk_id, chunk_content(1000))
    held.close()
    held = open_replicas(directory, 2 * PACK_MAX)
    assert len(segment_files(directory)) == 3
    _compact(held)
    assert len(segment_files(directory)) == 2  # the first one is not worth it
    again = crashed_copy(directory, tmp_path / "after")
    assert {replica.chunk_id for replica in again.index.listing()[1]} == {1, 11, 12}


def test_a_crash_at_every_write_of_a_compaction_loses_and_wakes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "d"
    held = open_replicas(directory, segment_bytes=2 * BLOCK_BYTES)
    write_chunks(held, 8, BLOCK_BYTES // 2)
    for chunk_id in (1, 2, 5, 6):
        held.delete(chunk_id, 1)
    for disk in held.disks.live:
        held.check(disk)
    shots: list[Path] = []

    def snapshot() -> None:
        shots.append(tmp_path / f"shot{len(shots)}")
        shutil.copytree(directory, shots[-1])

    for name in ("fdatasync", "fsync", "pwrite", "unlink"):
        original = getattr(os, name)

        def watched(*args: object, original: object = original, **more: object) -> object:
            snapshot()
            return original(*args, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, name, watched)
    _compact(held)
    monkeypatch.undo()
    snapshot()
    assert len(shots) > 8
    for shot in shots:
        again = open_replicas(shot)
        assert {replica.chunk_id for replica in again.index.listing()[1]} == {0, 3, 4, 7}, shot
        assert all(read_chunk(again, n) == chunk_content(BLOCK_BYTES // 2, n) for n in (0, 3, 4, 7))
        _compact(again)
        assert all(read_chunk(again, n) == chunk_content(BLOCK_BYTES // 2, n) for n in (0, 3, 4, 7))


def test_a_chunk_deleted_while_it_moves_stays_deleted(
    held: ChunkReplicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = held.disks.all[0].segments
    segments.segment_bytes = BLOCK_BYTES
    write_chunks(held, 4, BLOCK_BYTES // 4)
    held.delete(0, 1)
    held.delete(1, 1)
    append = segments.append

    def late(records: list[Record]) -> object:
        found = append(records)
        held.delete(2, 1)
        return found

    monkeypatch.setattr(segments, "append", late)
    _compact(held)
    monkeypatch.undo()
    held.close()
    again = open_replicas(held.disks.all[0].directory)
    assert [replica.chunk_id for replica in again.index.listing()[1]] == [3]


def test_a_damaged_chunk_keeps_its_segment_until_it_is_deleted(held: ChunkReplicas) -> None:
    segments = held.disks.all[0].segments
    segments.segment_bytes = BLOCK_BYTES
    for chunk_id in range(4):
        write_chunk(held, chunk_id, chunk_content(BLOCK_BYTES // 4, chunk_id + 1))
    (path,) = segment_files(held.disks.all[0].directory)
    content = bytearray(path.read_bytes())
    content[3 * (BLOCK_BYTES // 4 + 60) + 100] ^= 1  # in the last of them
    path.write_bytes(content)
    held.delete(0, 1)
    held.delete(1, 1)
    _compact(held)
    assert held.index.corrupt() == [3]
    assert path.exists()
    held.delete(3, 1)
    _compact(held)
    assert not path.exists()
    assert read_chunk(held, 2) == chunk_content(BLOCK_BYTES // 4, 3)

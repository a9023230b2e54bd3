"""Chunks on a disk: names, versions, sealing, room, damage, restarts. Blocking, no event loop."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import (
    AlreadyExists,
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    InvalidArgument,
    ReplicaNotFound,
    StaleChunkVersion,
)
from pydfsnode.limits import BLOCK_BYTES, MIB, PACKET_BYTES
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from tests.support.memory_directory import memory_directory

SIZES = [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, PACKET_BYTES, 2 * PACKET_BYTES + 3]


def _content(length: int, seed: int = 1) -> bytes:
    return (bytes((n * seed * 31 + n // 256) % 256 for n in range(4096)) * (length // 4096 + 1))[
        :length
    ]


def _opened(directory: Path) -> ChunkReplicas:
    disk = ChunkReplicas([ChunkDisk(directory)], lambda: None)
    disk.open()
    return disk


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
def disk(tmp_path: Path) -> ChunkReplicas:
    return _opened(tmp_path)


def _directory(disk: ChunkReplicas) -> Path:
    return disk.disks.all[0].directory


def _store(
    disk: ChunkReplicas, chunk_id: int, content: bytes, version: int = 1, cut: int = 0
) -> None:
    """Write in pieces of *cut* bytes (0: one)."""
    writer = disk.create(chunk_id, version, len(content))
    step = cut or len(content)
    for start in range(0, len(content), step):
        writer.append([content[start : start + step]])
    assert disk.finish(writer, crc32c(content)) == crc32c(content)


def _read(disk: ChunkReplicas, chunk_id: int, version: int = 1) -> bytes:
    held = disk.find(chunk_id, version)
    with disk.reader(held) as reader:
        assert reader.tail.crc32c == crc32c(reader.read(0, held.length))
        return bytes(reader.read(0, held.length))


def _file(disk: ChunkReplicas, chunk_id: int, version: int = 1) -> Path:
    return _directory(disk) / "chunks" / f"{chunk_id % 256:02x}" / f"{chunk_id:016x}.{version}"


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("length", SIZES)
@pytest.mark.parametrize("cut", [0, 1000 * 7, BLOCK_BYTES, PACKET_BYTES])
def test_what_was_written_is_read_whatever_the_cuts(
    disk: ChunkReplicas, length: int, cut: int
) -> None:
    content = _content(length)
    _store(disk, 5, content, cut=cut)
    assert _read(disk, 5) == content
    assert list((_directory(disk) / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (BLOCK_BYTES - 1, 2), (BLOCK_BYTES, 1), (7, 3 * BLOCK_BYTES), (3 * BLOCK_BYTES, 17)],
)
def test_any_range_is_read(disk: ChunkReplicas, offset: int, length: int) -> None:
    content = _content(3 * BLOCK_BYTES + 17)
    _store(disk, 5, content)
    with disk.reader(disk.find(5, 1)) as reader:
        assert bytes(reader.read(offset, length)) == content[offset : offset + length]


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_a_flipped_bit_stops_reads_of_its_block_and_only_those(
    disk: ChunkReplicas, block: int
) -> None:
    content = _content(3 * BLOCK_BYTES + 17)
    _store(disk, 5, content)
    _flip(_file(disk, 5), block * BLOCK_BYTES + 3)
    with disk.reader(disk.find(5, 1)) as reader:
        for other in range(4):
            start = other * BLOCK_BYTES
            if other == block:
                with pytest.raises(CorruptionError, match=f"block {block} "):
                    reader.read(start + 5, 1)
            else:
                assert bytes(reader.read(start, 9)) == content[start : start + 9]


@pytest.mark.parametrize("from_end", [1, 4, 48, 49, 52])
def test_a_damaged_tail_marks_the_replica_corrupt(disk: ChunkReplicas, from_end: int) -> None:
    _store(disk, 5, _content(100))
    path = _file(disk, 5)
    _flip(path, path.stat().st_size - from_end)
    with pytest.raises(CorruptionError):
        disk.reader(disk.find(5, 1))
    assert disk.index.corrupt() == [5]
    with pytest.raises(CorruptionError, match="another replica"):
        disk.find(5, 1)


@pytest.mark.parametrize("keep", [0, 10, 99, 100, 120, 151])
def test_a_torn_file_is_listed_as_corrupt_or_refused_never_read(tmp_path: Path, keep: int) -> None:
    first = _opened(tmp_path)
    _store(first, 5, _content(100))
    os.truncate(_file(first, 5), keep)
    again = _opened(tmp_path)
    with pytest.raises(CorruptionError):
        again.reader(again.find(5, 1))
    assert again.index.corrupt() == [5]


def test_a_restart_lists_what_was_finished_and_sweeps_the_rest(tmp_path: Path) -> None:
    first = _opened(tmp_path)
    for chunk_id, length in ((1, 1), (256, BLOCK_BYTES), (257, 70_000)):
        _store(first, chunk_id, _content(length))
    first.create(9, 1, 100).append([b"never finished"])
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    again = _opened(tmp_path)
    assert sorted(again.index.listing()[1]) == [
        Replica(1, 1, 1), Replica(256, 1, BLOCK_BYTES), Replica(257, 1, 70_000),
    ]  # fmt: skip
    assert again.index.used_bytes == first.index.used_bytes
    assert list((tmp_path / "tmp").iterdir()) == []
    assert _read(again, 257) == _content(70_000)


def test_a_restart_keeps_the_newer_of_two_versions(tmp_path: Path) -> None:
    first = _opened(tmp_path)
    _store(first, 5, b"old")
    old = _file(first, 5).read_bytes()
    _store(first, 5, b"newer", version=2)
    _file(first, 5, 1).write_bytes(old)
    again = _opened(tmp_path)
    assert _read(again, 5, 2) == b"newer"
    assert not _file(first, 5, 1).exists()
    assert len(again.index) == 1


def test_a_strange_file_is_left_alone(tmp_path: Path) -> None:
    _opened(tmp_path)
    strange = tmp_path / "chunks" / "05" / "notes.txt"
    strange.write_text("mine")
    assert len(_opened(tmp_path).index) == 0
    assert strange.read_text() == "mine"


def test_older_and_equal_versions_are_refused_newer_ones_replace(disk: ChunkReplicas) -> None:
    _store(disk, 5, b"second", version=2)
    with pytest.raises(StaleChunkVersion):
        disk.create(5, 1, 10)
    with pytest.raises(AlreadyExists):
        disk.create(5, 2, 10)
    _store(disk, 5, b"third", version=3)
    assert _read(disk, 5, 3) == b"third"
    assert not _file(disk, 5, 2).exists()
    with pytest.raises(StaleChunkVersion):
        disk.find(5, 2)
    with pytest.raises(ReplicaNotFound):
        disk.find(5, 4)


def test_a_corrupt_replica_can_be_written_again(disk: ChunkReplicas) -> None:
    _store(disk, 5, b"content")
    disk.index.mark_corrupt(disk.find(5, 1))
    _store(disk, 5, b"content")
    assert _read(disk, 5) == b"content"
    assert disk.index.corrupt() == []


CUTS = [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 9]


@pytest.mark.parametrize("length", CUTS)
@pytest.mark.parametrize("finished", [False, True])
def test_a_seal_keeps_the_first_bytes_under_the_new_version(
    disk: ChunkReplicas, length: int, finished: bool
) -> None:
    content = _content(2 * BLOCK_BYTES + 9)
    writer = disk.create(5, 1, len(content))
    writer.append([content[:70_000], content[70_000:]])
    if finished:
        disk.finish(writer)
    assert disk.seal(5, 1, 2, length) == crc32c(content[:length])
    assert _read(disk, 5, 2) == content[:length]
    assert not _file(disk, 5, 1).exists()
    assert len(disk.growing) == 0
    assert list((_directory(disk) / "tmp").iterdir()) == []


def test_a_second_seal_changes_nothing_and_another_length_is_refused(disk: ChunkReplicas) -> None:
    disk.create(5, 1, 10).append([b"0123456789"])
    first = disk.seal(5, 1, 2, 4)
    assert disk.seal(5, 1, 2, 4) == first == crc32c(b"0123")
    with pytest.raises(StaleChunkVersion):
        disk.seal(5, 1, 2, 3)
    assert _read(disk, 5, 2) == b"0123"


def test_a_sealed_writer_can_do_nothing_more(disk: ChunkReplicas) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([b"0123456789"])
    disk.seal(5, 1, 2, 10)
    with pytest.raises(StaleChunkVersion, match="sealed"):
        writer.append([b"late"])
    with pytest.raises(StaleChunkVersion):
        disk.finish(writer)
    with pytest.raises(StaleChunkVersion):
        disk.create(5, 1, 10)
    writer.discard("its stream ended")
    assert _read(disk, 5, 2) == b"0123456789"


@pytest.mark.parametrize("finished", [False, True])
def test_a_seal_beyond_what_is_here_is_refused_and_harms_nothing(
    disk: ChunkReplicas, finished: bool
) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([b"0123"])
    if finished:
        disk.finish(writer)
    with pytest.raises(ReplicaNotFound, match="4 bytes are here, 5 "):
        disk.seal(5, 1, 2, 5)
    if not finished:
        disk.finish(writer)
    assert _read(disk, 5) == b"0123"


def test_a_seal_of_nothing_here_of_a_bad_version_and_of_no_bytes(disk: ChunkReplicas) -> None:
    with pytest.raises(ReplicaNotFound):
        disk.seal(5, 1, 2, 1)
    with pytest.raises(InvalidArgument):
        disk.seal(5, 2, 2, 1)
    disk.create(5, 1, 10).append([b"0123"])
    assert disk.seal(5, 1, 2, 0) == 0
    assert disk.index.get(5) is None
    assert list((_directory(disk) / "tmp").iterdir()) == []


@pytest.mark.parametrize("block", [0, 1])
def test_a_seal_never_sums_damaged_bytes_anew(disk: ChunkReplicas, block: int) -> None:
    content = _content(2 * BLOCK_BYTES)
    _store(disk, 5, content)
    _flip(_file(disk, 5), block * BLOCK_BYTES)
    with pytest.raises(CorruptionError):
        disk.seal(5, 1, 2, BLOCK_BYTES + 9)
    assert disk.index.corrupt() == [5]


def test_a_seal_of_a_growing_chunk_verifies_the_block_it_cuts(disk: ChunkReplicas) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([_content(BLOCK_BYTES)])
    _flip(next((_directory(disk) / "tmp").iterdir()), 3)
    with pytest.raises(CorruptionError):
        disk.seal(5, 1, 2, 100)


def test_deleting_respects_the_version(disk: ChunkReplicas) -> None:
    _store(disk, 5, b"second", version=2)
    with pytest.raises(StaleChunkVersion):
        disk.delete(5, 1)
    assert _read(disk, 5, 2) == b"second"
    disk.delete(5, 2)
    disk.delete(5, 2)
    assert disk.index.get(5) is None
    assert disk.index.used_bytes == 0
    assert not _file(disk, 5, 2).exists()


def test_a_file_removed_behind_our_back_is_forgotten(disk: ChunkReplicas) -> None:
    _store(disk, 5, b"content")
    _file(disk, 5).unlink()
    with pytest.raises(ReplicaNotFound):
        disk.reader(disk.find(5, 1))
    assert disk.index.get(5) is None


def _statvfs(free_bytes: int) -> Callable[[Path], SimpleNamespace]:
    return lambda path: SimpleNamespace(f_bavail=free_bytes, f_frsize=1)


def test_a_write_without_room_is_refused_before_it_begins(tmp_path: Path) -> None:
    disk = ChunkReplicas([ChunkDisk(tmp_path, MIB, _statvfs(3 * MIB))], lambda: None)
    disk.open()
    assert disk.free_bytes() == 2 * MIB
    writer = disk.create(1, 1, MIB)
    assert disk.free_bytes() == MIB - chunk_format.tail_bytes(MIB)
    with pytest.raises(DiskFull, match="free some"):
        disk.create(2, 1, MIB)
    assert list((tmp_path / "tmp").iterdir()) == []
    disk.growing.release_room(writer)
    disk.create(2, 1, MIB)


def test_a_disk_that_fills_up_in_the_middle_loses_only_that_chunk(
    disk: ChunkReplicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([b"0123"])
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", _raise(errno.ENOSPC))
        with pytest.raises(DiskFull):
            writer.append([b"4567"])
    assert list((_directory(disk) / "tmp").iterdir()) == []
    disk.drop(writer, "its stream failed")
    _store(disk, 5, b"again")
    assert _read(disk, 5) == b"again"


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_is_fatal_and_the_chunk_is_not_listed(
    disk: ChunkReplicas, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([b"0123"])
    monkeypatch.setattr(os, call, _raise(errno.EIO))
    with pytest.raises(DurabilityFailure, match="check the disk"):
        disk.finish(writer)
    assert disk.index.get(5) is None


def test_bytes_that_changed_in_memory_are_not_made_durable(disk: ChunkReplicas) -> None:
    writer = disk.create(5, 1, 10)
    writer.append([b"0123"])
    with pytest.raises(CorruptionError, match="memory"):
        disk.finish(writer, crc32c(b"0124"))
    assert disk.index.get(5) is None
    assert list((_directory(disk) / "tmp").iterdir()) == []


def _raise(number: int) -> Callable[..., int]:
    def failing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return failing

"""Several disks: where new chunks go, and how one that fails is survived."""

import contextlib
import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.errors import (
    ConfigError,
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    ReplicaNotFound,
    StaleChunkVersion,
    StorageError,
)
from pydfsnode.limits import MIB
from pydfsnode.storage import chunk_disk, chunk_format
from pydfsnode.storage.chunk_disk import ChunkDisk, StatVfs
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_index import Replica
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from tests.support.memory_directory import memory_directory


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


def _free(**free_bytes: int) -> StatVfs:
    """Free bytes by the directory's name."""
    return lambda path: SimpleNamespace(f_bavail=free_bytes[path.name], f_frsize=1)


def _opened(tmp_path: Path, *names: str, statvfs: StatVfs = os.statvfs) -> ChunkReplicas:
    disks = [
        ChunkDisk(tmp_path / name, 0, statvfs, number) for number, name in enumerate(names or "ab")
    ]
    found = ChunkReplicas(disks, lambda: None)
    found.open()
    for number, disk in enumerate(disks):
        disk.device = number  # the test's directories are all on one disk
    return found


def _write(held: ChunkReplicas, chunk_id: int, content: bytes, version: int = 1) -> None:
    _fill(held, held.create(chunk_id, version, len(content)), content)


def _fill(held: ChunkReplicas, writer: ChunkFileWriter, content: bytes) -> None:
    held.append(writer, [content])
    held.finish(writer, crc32c(content))


def _read(held: ChunkReplicas, chunk_id: int, version: int = 1) -> bytes:
    replica = held.find(chunk_id, version)
    with held.reader(replica) as reader:
        return bytes(held.read(reader, replica, 0, replica.length))


def _where(held: ChunkReplicas, chunk_id: int, version: int = 1) -> list[str]:
    return [
        disk.directory.name
        for disk in held.disks.all
        if disk.layout.path(chunk_id, version).exists()
    ]


def _on_both(held: ChunkReplicas) -> tuple[int, int]:
    """A chunk on `a` and one on `b`."""
    found: dict[str, int] = {}
    for chunk_id in range(1, 200):
        if len(found) == 2:
            break
        _write(held, chunk_id, b"content %d" % chunk_id)
        found.setdefault(_where(held, chunk_id)[0], chunk_id)
    return found["a"], found["b"]


def _write_until_refused(held: ChunkReplicas) -> int:
    """The chunk that was."""
    for chunk_id in range(1000, 1100):
        if held.disks.failed:
            break
        with contextlib.suppress(StorageError):
            _write(held, chunk_id, b"new")
    return chunk_id - 1


def _failing_below(
    directory: Path, call: Callable[..., object], number: int
) -> Callable[..., object]:
    """*call*, refused for files below *directory*."""

    def failing(fd: int, *more: object) -> object:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{directory}/"):
            raise OSError(number, os.strerror(number))
        return call(fd, *more)

    return failing


def test_free_space_decides_where_new_chunks_go(tmp_path: Path) -> None:
    held = _opened(tmp_path, "a", "b", "c", statvfs=_free(a=1000 * MIB, b=3000 * MIB, c=MIB // 2))
    for chunk_id in range(400):
        writer = held.create(chunk_id, 1, MIB)
        held.append(writer, [b"x"])
        held.finish(writer)
    placed = Counter(_where(held, chunk_id)[0] for chunk_id in range(400))
    assert placed["c"] == 0  # no room there
    assert 40 < placed["a"] < 180 < placed["b"]
    assert held.free_bytes() == 4000 * MIB + MIB // 2
    held.create(400, 1, 2000 * MIB)  # only b has the room
    assert [held.disks.room(disk) // MIB for disk in held.disks.all] == [1000, 999, 0]


def test_directories_on_one_disk_count_its_room_once(tmp_path: Path) -> None:
    held = _opened(tmp_path, "a", "b", statvfs=_free(a=10 * MIB, b=10 * MIB))
    for disk in held.disks.all:
        disk.device = 7
    assert held.free_bytes() == 10 * MIB
    for chunk_id in range(9):
        held.create(chunk_id, 1, MIB)
    left = 10 * MIB - 9 * (MIB + chunk_format.tail_bytes(MIB))
    assert held.free_bytes() == left
    with pytest.raises(DiskFull):
        held.create(9, 1, MIB)
    for growing in held.growing.all():
        held.drop(growing.writer, "not wanted")
    assert held.free_bytes() == 10 * MIB


def test_streams_at_once_are_spread(tmp_path: Path) -> None:
    held = _opened(tmp_path, "a", "b", statvfs=_free(a=1000 * MIB, b=1000 * MIB))
    for chunk_id in range(40):
        held.create(chunk_id, 1, MIB)
    by_disk = Counter(growing.disk.directory.name for growing in held.growing.all())
    assert abs(by_disk["a"] - by_disk["b"]) <= 8


@pytest.mark.parametrize("call", ["fdatasync", "pwrite", "fsync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_a_write_is_taken_out_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    held = _opened(tmp_path)
    on_a, on_b = _on_both(held)
    cursor = held.index.cursor
    (broken,) = [disk for disk in held.disks.all if disk.directory.name == "a"]
    with monkeypatch.context() as patched:
        patched.setattr(os, call, _failing_below(broken.directory, getattr(os, call), number))
        chunk_id = _write_until_refused(held)
        assert held.disks.failed == [broken]
        assert held.index.get(chunk_id) is None
        _write(held, 2000, b"goes on")
    assert _read(held, 2000) == b"goes on"
    assert len(held.growing) == 0
    with pytest.raises(ReplicaNotFound):
        held.find(on_a, 1)
    assert _read(held, on_b) == b"content %d" % on_b
    changes = held.index.changes(cursor, 10_000)
    assert changes is not None
    assert on_a in changes.removed
    assert on_b not in changes.removed


def test_a_failed_sync_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = _opened(tmp_path)
    synced: list[str] = []

    def failing(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(StorageError, match="this disk failed"):
        _write(held, 1, b"content")
    with pytest.raises(DurabilityFailure, match="no disk is left"):
        _write(held, 1, b"content")
    assert len(synced) == len(set(synced)) == 2
    assert held.index.get(1) is None
    assert held.free_bytes() == 0


def test_what_is_being_written_on_a_lost_disk_can_only_be_given_up(tmp_path: Path) -> None:
    held = _opened(tmp_path)
    writers = [held.create(chunk_id, 1, 100) for chunk_id in range(40)]
    for writer in writers:
        held.append(writer, [b"begun"])
    lost = held.disks.all[0]
    on_lost = [growing.writer for growing in held.growing.all() if growing.disk is lost]
    held.disks.take_out(lost, "a test wants it")
    held.disks.take_out(lost, "twice")
    for writer in writers:
        if writer in on_lost:
            with pytest.raises(StaleChunkVersion, match="its disk failed"):
                held.finish(writer)
        else:
            held.finish(writer)
    assert len(held.index) == len(writers) - len(on_lost)


def test_a_directory_that_vanished_is_noticed_by_a_read_a_write_and_when_idle(
    tmp_path: Path,
) -> None:
    for find_out in ("read", "write", "idle"):
        held = _opened(tmp_path / find_out)
        on_a, _ = _on_both(held)
        shutil.rmtree(tmp_path / find_out / "a")
        if find_out == "read":
            with pytest.raises(StorageError):
                _read(held, on_a)
        elif find_out == "idle":
            held.disks.check(held.disks.all[0])
        else:
            _write_until_refused(held)
        assert [disk.directory.name for disk in held.disks.failed] == ["a"]
        assert held.index.get(on_a) is None


def test_another_directory_in_its_place_is_not_used(tmp_path: Path) -> None:
    held = _opened(tmp_path)
    (tmp_path / "a").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "a")
    held.disks.check(held.disks.all[0])
    assert "another directory" in held.disks.failed[0].failure


def test_a_sector_that_cannot_be_read_costs_a_replica_many_cost_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _opened(tmp_path)
    for chunk_id in range(100):
        _write(held, chunk_id, b"content")
    bad = tmp_path / "a" / "chunks"
    monkeypatch.setattr(os, "pread", _failing_below(bad, os.pread, errno.EIO))
    on_a = [chunk_id for chunk_id in range(100) if _where(held, chunk_id) == ["a"]]
    for number, chunk_id in enumerate(on_a[: chunk_disk.READ_ERRORS_MAX], 1):
        with pytest.raises(CorruptionError):
            _read(held, chunk_id)
        assert bool(held.disks.failed) == (number == chunk_disk.READ_ERRORS_MAX)
        if not held.disks.failed:
            assert len(held.index.corrupt()) == number
    assert held.index.corrupt() == []
    assert len(held.index) == 100 - len(on_a)


def test_a_disk_that_fails_its_probe_after_a_bad_read_is_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _opened(tmp_path)
    on_a, _ = _on_both(held)
    monkeypatch.setattr(os, "pread", _failing_below(tmp_path / "a", os.pread, errno.EIO))
    with pytest.raises(CorruptionError):
        _read(held, on_a)
    assert [disk.directory.name for disk in held.disks.failed] == ["a"]


def test_no_descriptors_left_is_neither_damage_nor_a_broken_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _opened(tmp_path)
    on_a, _ = _on_both(held)

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(StorageError, match="cannot be opened now"):
            _read(held, on_a)
    assert held.index.corrupt() == []
    assert _read(held, on_a)


def test_a_newer_version_on_another_disk_replaces_the_older(tmp_path: Path) -> None:
    held = _opened(tmp_path)
    for version in range(1, 12):
        _write(held, 5, b"version %d" % version, version)
        assert _read(held, 5, version) == b"version %d" % version
        files = [p for p in tmp_path.glob("*/chunks/05/*") if p.is_file()]
        assert [p.name for p in files] == [f"{5:016x}.{version}"]


def test_a_restart_finds_all_disks_and_keeps_the_newer_version(tmp_path: Path) -> None:
    held = _opened(tmp_path)
    for chunk_id in range(20):
        _write(held, chunk_id, b"old")
    _write(held, 5, b"newer", 2)
    name = _where(held, 5, 2)[0]
    (other,) = {"a", "b"} - {name}
    stale = tmp_path / other / "chunks" / "05" / f"{5:016x}.1"
    shutil.copy(tmp_path / _where(held, 6)[0] / "chunks" / "06" / f"{6:016x}.1", stale)
    again = _opened(tmp_path)
    assert again.index.get(5) == Replica(5, 2, 5)
    assert not stale.exists()
    assert sorted(again.index.listing()[1]) == sorted(held.index.listing()[1])


def test_a_disk_that_cannot_be_opened_is_left_out_the_last_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "chunks").write_text("no directory")
    held = _opened(tmp_path)
    assert [disk.directory.name for disk in held.disks.failed] == ["a"]
    _write(held, 1, b"content")
    with pytest.raises(ConfigError):
        _opened(tmp_path, "a")


@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
def test_a_disk_that_fills_up_loses_one_chunk_and_its_room_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    held = _opened(tmp_path, "a", statvfs=_free(a=10 * MIB))
    free = held.free_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = held.create(1, 1, MIB)
    with monkeypatch.context() as patched:
        if moment == "rename":
            patched.setattr(Path, "rename", full)
        else:
            patched.setattr(os, {"write": "pwrite", "sync": "fdatasync"}[moment], full)
        with pytest.raises(DiskFull):
            _fill(held, writer, b"content")
    held.drop(writer, "its stream ended")
    assert held.free_bytes() == free
    assert held.disks.failed == []
    assert [path for path in tmp_path.rglob("*.*") if path.is_file()] == []
    _write(held, 1, b"again")
    assert _read(held, 1) == b"again"

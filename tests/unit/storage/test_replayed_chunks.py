"""Older copies of chunks put back on a stopped chunkserver's disk: never taken for newer ones.

A copy's version and length are its own, whatever its file is called, and the masters are told
them: another one than theirs does not count (`tests/unit/fleet/test_replicas.py`), and what they
know to be deleted is deleted again (`tests/unit/fleet/test_repair.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode.errors import CorruptionError, ReplicaNotFound
from pydfsnode.limits import MIB
from pydfsnode.storage.chunk_index import Replica
from tests.support.memory_directory import memory_directory
from tests.support.packed_chunks import PACK_MAX, chunk_content, read_chunk
from tests.unit.storage.test_sealed_chunks import keys_of, opened

KEY = bytes(range(32))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


def write(
    directory: Path, sealed: bool, chunk_id: int, content: bytes, version: int = 1
) -> list[Replica]:
    """One life of the disk, in which a chunk is written."""
    held = opened(directory, keys_of(KEY), PACK_MAX)
    writer = held.create(chunk_id, version, len(content), sealed)
    held.append(writer, [content])
    held.finish(writer)
    return list_of(directory)


def list_of(directory: Path) -> list[Replica]:
    """What the masters are told after a start."""
    return opened(directory, keys_of(KEY), PACK_MAX).index.listing()[1]


def put_back(directory: Path, older: Path) -> None:
    shutil.rmtree(directory)
    shutil.copytree(older, directory)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("length", [1000, MIB])
def test_an_older_copy_has_its_older_version(tmp_path: Path, sealed: bool, length: int) -> None:
    """Packed in a segment, and in a file of its own."""
    disk, older = tmp_path / "disk", tmp_path / "older"
    disk.mkdir()
    write(disk, sealed, 7, chunk_content(length))
    shutil.copytree(disk, older)
    now = write(disk, sealed, 7, chunk_content(length, seed=2), version=2)
    assert now == [Replica(7, 2, length)]
    put_back(disk, older)
    assert list_of(disk) == [Replica(7, 1, length)]
    held = opened(disk, keys_of(KEY), PACK_MAX)
    with pytest.raises(ReplicaNotFound):
        held.find(7, 2)


@pytest.mark.parametrize("sealed", [False, True])
def test_an_older_copy_under_the_newer_ones_name_is_no_copy(tmp_path: Path, sealed: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    write(disk, sealed, 7, chunk_content(MIB))
    (path,) = (disk / "chunks").glob("*/*")
    older = path.read_bytes()
    write(disk, sealed, 7, chunk_content(MIB, seed=2), version=2)
    (path,) = (disk / "chunks").glob("*/*")
    path.write_bytes(older)
    held = opened(disk, keys_of(KEY), PACK_MAX)
    with pytest.raises((CorruptionError, ReplicaNotFound)):
        read_chunk(held, 7, 2)


@pytest.mark.parametrize("length", [1000, MIB])
def test_a_deleted_copy_that_comes_back_is_told_to_the_masters(tmp_path: Path, length: int) -> None:
    disk, older = tmp_path / "disk", tmp_path / "older"
    disk.mkdir()
    write(disk, True, 7, chunk_content(length))
    shutil.copytree(disk, older)
    opened(disk, keys_of(KEY), PACK_MAX).delete(7, 1)
    put_back(disk, older)
    assert list_of(disk) == [Replica(7, 1, length)]

"""delete: never more than was asked for."""

from __future__ import annotations

from pydfsnode.errors import (
    DirectoryNotEmpty,
    InvalidArgument,
    LeaseExpired,
    NotADirectory,
    NotFound,
)
from pydfsnode.meta import ops, queries

from .harness import Harness


def test_a_file_goes_with_its_chunks() -> None:
    harness = Harness()
    harness.write("/f", 10, 20)
    assert harness.delete("/f").inodes == 1
    assert sorted(harness.namespace.drain_freed()) == [1, 2]
    assert (harness.namespace.file_count, harness.namespace.chunk_count) == (0, 0)


def test_an_empty_directory_goes_a_full_one_only_recursively() -> None:
    harness = Harness()
    harness.mkdirs("/d/e")
    harness.write("/d/e/f", 5)
    harness.write("/d/g", 5)
    error = harness.refusal(ops.Delete, "/d", False)
    assert isinstance(error, DirectoryNotEmpty)
    assert "recursively" in error.message
    assert harness.delete("/d", recursive=True).inodes == 4
    assert queries.list_directory(harness.namespace, "/").entries == []
    assert harness.namespace.directory_count == 1
    harness.mkdirs("/d")
    assert harness.delete("/d").inodes == 1


def test_the_root_stays() -> None:
    harness = Harness()
    for recursive in (False, True):
        assert isinstance(harness.refusal(ops.Delete, "/", recursive), InvalidArgument)


def test_what_is_not_there_is_not_deleted() -> None:
    harness = Harness()
    harness.write("/f")
    assert isinstance(harness.refusal(ops.Delete, "/x", False), NotFound)
    assert isinstance(harness.refusal(ops.Delete, "/f/x", False), NotADirectory)


def test_the_writer_of_a_deleted_file_finds_its_lease_gone() -> None:
    harness = Harness()
    inode_id = harness.create("/d/f", create_parents=True).inode_id
    harness.delete("/d", recursive=True)
    assert isinstance(harness.refusal(ops.Complete, inode_id, None, 0), LeaseExpired)


def test_the_parents_time_moves() -> None:
    harness = Harness()
    harness.write("/d/f", create_parents=True)
    harness.now_ms = 7777
    harness.delete("/d/f")
    assert queries.stat(harness.namespace, "/d").mtime_ms == 7777

"""delete: never more than was asked for."""

from __future__ import annotations

from pydfsnode.errors import (
    AccessDenied,
    DirectoryNotEmpty,
    InvalidArgument,
    LeaseExpired,
    NotADirectory,
    NotFound,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX

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
    assert queries.list_directory(harness.namespace, "/", NOBODY_ASKS).entries == []
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
    assert queries.stat(harness.namespace, "/d", NOBODY_ASKS).mtime_ms == 7777


def test_only_who_may_write_the_directory_deletes_what_is_in_it() -> None:
    harness = Harness()
    harness.mkdirs("/tmp", 0o1777)
    harness.write("/tmp/f", user="alice")
    assert isinstance(harness.refusal(ops.Delete, "/tmp/f", False, user="bob"), AccessDenied)
    harness.run(ops.SetMode, "/tmp", 0o777)
    assert harness.delete("/tmp/f", user="bob").inodes == 1


def test_a_tree_is_deleted_only_when_all_of_it_may_be_seen_and_emptied() -> None:
    harness = Harness()
    harness.mkdirs("/home", 0o777)
    harness.mkdirs("/home/bob/of_alice/full", 0o777)
    harness.run(ops.SetOwner, "/home/bob", "bob", "")
    harness.run(ops.SetMode, "/home/bob/of_alice", 0o755)
    error = harness.refusal(ops.Delete, "/home/bob", True, user="bob")
    assert isinstance(error, AccessDenied)
    assert error.fields["path"] == "/home/bob/of_alice"
    harness.delete("/home/bob/of_alice/full")
    assert harness.delete("/home/bob", recursive=True, user="bob").inodes == 2, "empty ones may"


def test_a_large_tree_leaves_at_once_and_is_dropped_bit_by_bit() -> None:
    harness = Harness()
    for number in range(RECLAIMED_AT_ONCE_MAX):
        harness.mkdirs(f"/d/{number}")
    open_id = harness.create("/d/f").inode_id
    chunk_id = harness.allocate(open_id).chunk_id
    count = RECLAIMED_AT_ONCE_MAX + 2
    assert harness.delete("/d", recursive=True).inodes == count
    assert harness.names("/") == []
    assert isinstance(harness.refusal(ops.Complete, open_id, None, chunk_id), LeaseExpired)
    assert harness.namespace.drain_freed() == []
    harness.mkdirs("/d")
    left = count
    while left:
        harness.restart()
        dropped = harness.run(ops.Reclaim, 100).inodes
        assert dropped == min(left, 100)
        left -= dropped
    assert harness.namespace.drain_freed() == [chunk_id]
    assert (harness.namespace.file_count, harness.namespace.directory_count) == (0, 2)
    assert harness.run(ops.Reclaim, 100).inodes == 0

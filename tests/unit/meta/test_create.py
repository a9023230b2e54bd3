"""create: one writer, no surprise overwrites."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    IsADirectory,
    LeaseExpired,
    NotADirectory,
    NotFound,
    QuotaExceeded,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import MIB, Harness


def test_a_new_file_is_empty_and_under_construction() -> None:
    view = Harness().create("/f", replication=2)
    assert (view.type, view.size, view.replication, view.chunk_bytes) == ("file", 0, 2, MIB)
    assert view.under_construction
    assert view.checksum == ""
    assert view.mode == 0o644


def test_the_parent_must_exist_unless_asked_for() -> None:
    harness = Harness()
    error = harness.refusal(ops.Create, "/a/b/f", 3, MIB, 0, False, False)
    assert isinstance(error, NotFound)
    assert error.fields["path"] == "/a"
    harness.create("/a/b/f", create_parents=True)
    assert queries.stat(harness.namespace, "/a/b", NOBODY_ASKS).mode == 0o755


def test_an_existing_file_is_refused_open_or_closed() -> None:
    harness = Harness()
    harness.create("/open")
    harness.write("/closed", 10)
    for path in ("/open", "/closed"):
        for client in (1, 2):
            error = harness.refusal(
                ops.Create, path, 3, MIB, 0, False, False, client=client
            )  # fmt: skip
            assert isinstance(error, AlreadyExists)


def test_overwrite_frees_the_old_files_chunks() -> None:
    harness = Harness()
    old = harness.write("/f", 10, 20)
    chunks = [c.chunk_id for c in queries.locate(harness.namespace, "/f", NOBODY_ASKS)[1]]
    harness.namespace.drain_freed()
    new = harness.create("/f", overwrite=True)
    assert new.inode_id != old.inode_id
    assert new.size == 0
    assert sorted(harness.namespace.drain_freed()) == chunks
    assert harness.namespace.file_count == 1


def test_overwriting_a_half_written_file_ends_its_writers_lease() -> None:
    harness = Harness()
    old = harness.create("/f")
    harness.create("/f", overwrite=True)
    error = harness.refusal(ops.Complete, old.inode_id, None, 0)
    assert isinstance(error, LeaseExpired)


def test_what_another_client_writes_may_be_overwritten_as_in_hdfs() -> None:
    harness = Harness()
    old = harness.create("/f")
    harness.create("/f", overwrite=True, client=2)
    error = harness.refusal(ops.Complete, old.inode_id, None, 0)
    assert isinstance(error, LeaseExpired)


def test_a_directory_is_never_overwritten() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    for path in ("/d", "/"):
        error = harness.refusal(ops.Create, path, 3, MIB, 0, True, True)
        assert isinstance(error, IsADirectory)


def test_a_file_as_parent_is_refused() -> None:
    harness = Harness()
    harness.write("/f")
    for create_parents in (False, True):
        error = harness.refusal(ops.Create, "/f/x/y", 3, MIB, 0, False, create_parents)
        assert isinstance(error, NotADirectory)
        assert error.fields["path"] == "/f"


@pytest.mark.parametrize(
    ("replication", "chunk_bytes"),
    [(0, MIB), (17, MIB), (3, limits.CHUNK_BYTES_MIN - 1), (3, limits.CHUNK_BYTES_MAX + 1)],
)
def test_a_layout_out_of_bounds_is_refused(replication: int, chunk_bytes: int) -> None:
    error = Harness().refusal(ops.Create, "/f", replication, chunk_bytes, 0, False, False)
    assert isinstance(error, InvalidArgument)


def test_a_file_is_made_only_by_who_may_write_in_its_directory() -> None:
    harness = Harness()
    harness.mkdirs("/open", 0o777)
    view = harness.create("/open/f", user="bob:eng")
    assert (view.owner, view.group) == ("bob", "supergroup")
    error = harness.refusal(ops.Create, "/f", 3, MIB, 0, False, True, user="bob:eng")
    assert isinstance(error, AccessDenied)
    assert "user=bob, access=WRITE" in error.message


def test_who_overwrites_must_be_able_to_write_the_file_and_to_remove_it() -> None:
    harness = Harness()
    harness.mkdirs("/tmp", 0o777)
    fields = ("/tmp/f", 3, MIB, 0, True, False)
    harness.write("/tmp/f", 5, user="alice")
    assert isinstance(harness.refusal(ops.Create, *fields, user="bob"), AccessDenied)
    harness.run(ops.SetMode, "/tmp/f", 0o666)
    harness.run(ops.SetMode, "/tmp", 0o1777)
    assert isinstance(harness.refusal(ops.Create, *fields, user="bob"), AccessDenied), "sticky"
    harness.run(ops.SetMode, "/tmp", 0o777)
    assert harness.create("/tmp/f", overwrite=True, user="bob").owner == "bob"


def test_a_name_and_the_missing_parents_count_against_the_quota() -> None:
    harness = Harness()
    harness.mkdirs("/q")
    harness.run(ops.SetQuota, "/q", 3, -1)
    error = harness.refusal(ops.Create, "/q/a/b/f", 3, MIB, 0, False, True)
    assert isinstance(error, QuotaExceeded)
    assert error.fields["path"] == "/q"
    harness.write("/q/a/f", create_parents=True)
    harness.create("/q/a/f", overwrite=True)


def test_a_file_is_created_with_its_first_chunk() -> None:
    harness = Harness()
    fields = (3, MIB, 0, False, True, ("c1", "c2"))
    made = harness.run(ops.CreateChunked, "/a/f", *fields)
    opened = harness.namespace.tree.open_files.get(made.inode_id)
    assert opened is not None
    assert (opened.holder, opened.version, opened.targets) == (1, 1, ("c1", "c2"))
    assert harness.namespace.tree.open_chunks == {opened.chunk_id: made.inode_id}
    done = ops.ChunkDone(opened.chunk_id, 1, 7, 5)
    assert harness.complete(made.inode_id, done).size == 7
    assert isinstance(harness.refusal(ops.CreateChunked, "/a/f", *fields), AlreadyExists)


@pytest.mark.parametrize("targets", [(), ("c1", "c1")])
def test_without_a_pipeline_no_file_is_created(targets: tuple[str, ...]) -> None:
    harness = Harness()
    error = harness.refusal(ops.CreateChunked, "/f", 3, MIB, 0, False, False, targets)
    assert isinstance(error, InvalidArgument)
    assert harness.names("/") == []


def test_without_room_for_its_first_chunk_no_file_is_created() -> None:
    harness = Harness()
    harness.mkdirs("/q")
    harness.run(ops.SetQuota, "/q", -1, 3 * MIB - 1)
    fields = ("/q/f", 3, MIB, 0, False, False, ("c1",))
    assert isinstance(harness.refusal(ops.CreateChunked, *fields), QuotaExceeded)
    assert harness.names("/q") == []
    harness.run(ops.SetQuota, "/q", -1, 3 * MIB)
    harness.run(ops.CreateChunked, *fields)

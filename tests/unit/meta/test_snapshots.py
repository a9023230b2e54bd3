"""Snapshots of directories: what each goes on to show."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    NotFound,
)
from pydfsnode.meta import attributes, ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import MIB, Harness
from .snapshot_asking import chunk_ids, create, delete, lengths, past_rows, prepared


@pytest.fixture
def harness() -> Harness:
    return prepared()


def test_it_is_made_without_a_copy_and_shows_the_directory(harness: Harness) -> None:
    view = create(harness, "/d", "s")
    assert (view.path, view.type, view.child_count) == ("/d/.snapshot/s", "directory", 2)
    assert past_rows(harness) == (0, 0)
    assert harness.names("/d/.snapshot/s") == ["g", "sub"]
    assert harness.stat("/d/.snapshot/s/sub/f").size == 30
    assert view == harness.stat("/d/.snapshot/s")


def test_what_is_made_later_is_not_in_it(harness: Harness) -> None:
    create(harness, "/d", "s")
    harness.write("/d/new", 1)
    harness.mkdirs("/d/sub/more")
    assert harness.names("/d/.snapshot/s") == ["g", "sub"]
    assert harness.names("/d/.snapshot/s/sub") == ["f"]
    assert harness.stat("/d/.snapshot/s").child_count == 2
    with pytest.raises(NotFound):
        harness.stat("/d/.snapshot/s/new")


def test_what_is_deleted_later_stays_in_it(harness: Harness) -> None:
    create(harness, "/d", "s")
    kept = chunk_ids(harness, "/d/sub/f")
    harness.delete("/d/sub", recursive=True)
    assert harness.names("/d") == ["g"]
    assert harness.names("/d/.snapshot/s/sub") == ["f"]
    assert chunk_ids(harness, "/d/.snapshot/s/sub/f") == kept
    assert harness.namespace.drain_freed() == []


def test_a_file_made_again_is_another(harness: Harness) -> None:
    create(harness, "/d", "s1")
    harness.write("/d/g", 7, overwrite=True)
    create(harness, "/d", "s2")
    harness.delete("/d/g")
    create(harness, "/d", "s3")
    harness.write("/d/g", 9)
    assert [lengths(harness, f"/d/.snapshot/{name}/g") for name in ("s1", "s2")] == [[5], [7]]
    assert lengths(harness, "/d/g") == [9]
    with pytest.raises(NotFound):
        harness.stat("/d/.snapshot/s3/g")


def test_attributes_stay_as_they_were(harness: Harness) -> None:
    create(harness, "/d", "s")
    before = harness.stat("/d/.snapshot/s/g")
    harness.now_ms = 9_000
    harness.run(ops.SetMode, "/d/g", 0o600)
    harness.run(ops.SetOwner, "/d/g", "carol", "staff")
    harness.run(ops.SetReplication, "/d/g", 1)
    harness.run(ops.SetTimes, "/d/g", 1, 2)
    harness.run(ops.SetXattr, "/d/g", "user.a", b"1")
    assert harness.stat("/d/.snapshot/s/g") == before
    assert attributes.get_xattrs(harness.namespace, "/d/.snapshot/s/g", NOBODY_ASKS) == {}
    assert past_rows(harness) == (0, 1), "one old state, whatever changed after it"


def test_a_rename_within_shows_at_the_old_place(harness: Harness) -> None:
    create(harness, "/d", "s")
    harness.rename("/d/sub/f", "/d/h")
    harness.rename("/d/sub", "/d/bus")
    assert harness.names("/d/.snapshot/s") == ["g", "sub"]
    assert lengths(harness, "/d/.snapshot/s/sub/f") == [10, 20]
    with pytest.raises(NotFound):
        harness.stat("/d/.snapshot/s/h")


def test_what_moves_in_is_not_in_it_and_may_go_again(harness: Harness) -> None:
    harness.mkdirs("/o/p")
    harness.write("/o/p/q", 3)
    create(harness, "/d", "s")
    harness.rename("/o/p", "/d/p")
    assert harness.names("/d/.snapshot/s") == ["g", "sub"]
    freed = chunk_ids(harness, "/d/p/q")
    harness.delete("/d/p", recursive=True)
    assert harness.namespace.drain_freed() == freed


def test_a_directory_that_moves_out_is_followed(harness: Harness) -> None:
    create(harness, "/d", "s")
    kept = chunk_ids(harness, "/d/sub/f")
    harness.rename("/d/sub", "/away")
    harness.run(ops.SetMode, "/away/f", 0o600)
    harness.write("/away/new", 1)
    harness.delete("/away/f")
    harness.delete("/away", recursive=True)
    assert harness.names("/d/.snapshot/s/sub") == ["f"]
    view = harness.stat("/d/.snapshot/s/sub/f")
    assert (view.mode, view.size) == (0o644, 30)
    assert chunk_ids(harness, "/d/.snapshot/s/sub/f") == kept


def test_a_file_that_is_cut_or_replaced_keeps_its_chunks(harness: Harness) -> None:
    create(harness, "/d", "s")
    kept = chunk_ids(harness, "/d/sub/f")
    harness.run(ops.Truncate, "/d/sub/f", 10)
    assert lengths(harness, "/d/sub/f") == [10]
    assert chunk_ids(harness, "/d/.snapshot/s/sub/f") == kept
    assert harness.namespace.drain_freed() == []
    delete(harness, "/d", "s")
    assert harness.namespace.drain_freed() == kept[1:]


def test_joined_files_show_apart(harness: Harness) -> None:
    harness.write("/d/h", 6)
    create(harness, "/d", "s")
    harness.run(ops.Concat, "/d/g", ("/d/h",))
    assert lengths(harness, "/d/g") == [5, 6]
    assert lengths(harness, "/d/.snapshot/s/g") == [5]
    assert lengths(harness, "/d/.snapshot/s/h") == [6]
    delete(harness, "/d", "s")
    assert harness.namespace.drain_freed() == []
    assert past_rows(harness) == (0, 0)


def test_of_a_file_being_written_it_has_the_finished_chunks(harness: Harness) -> None:
    inode_id = harness.create("/d/open").inode_id
    first = harness.allocate(inode_id)
    done = ops.ChunkDone(first.chunk_id, 1, 8, 1)
    second = harness.allocate(inode_id, done)
    create(harness, "/d", "s")
    harness.complete(inode_id, ops.ChunkDone(second.chunk_id, 1, 9, 2))
    assert lengths(harness, "/d/open") == [8, 9]
    view, located = queries.locate(harness.namespace, "/d/.snapshot/s/open", NOBODY_ASKS)
    assert [c.chunk_id for c in located] == [first.chunk_id]
    assert (view.size, view.under_construction, view.checksum) == (8, False, "crc32c:00000001")
    harness.delete("/d/open")
    assert harness.namespace.drain_freed() == [second.chunk_id]


def test_small_files_keep_their_content(harness: Harness) -> None:
    harness.run(ops.CreateInline, "/d/i", 1, MIB, 0, False, False, b"old")
    content_id = chunk_ids(harness, "/d/i")[0]
    create(harness, "/d", "s")
    harness.run(ops.CreateInline, "/d/i", 1, MIB, 0, True, False, b"newer")
    harness.restart()
    assert chunk_ids(harness, "/d/.snapshot/s/i") == [content_id]
    assert harness.stat("/d/.snapshot/s/i").inline
    assert harness.read_inline(content_id) == b"old"
    assert harness.namespace.tree.inline.total_bytes == 8
    delete(harness, "/d", "s")
    harness.drain()
    assert harness.read_inline(content_id) is None
    assert harness.namespace.tree.inline.total_bytes == 5


def test_directories_may_have_snapshots_within_one_another(harness: Harness) -> None:
    create(harness, "/d/sub", "inner")
    create(harness, "/", "all")
    create(harness, "/d", "outer")
    kept = chunk_ids(harness, "/d/sub/f")
    harness.delete("/d/sub/f")
    below = ("/.snapshot/all/d/sub/f", "/d/.snapshot/outer/sub/f", "/d/sub/.snapshot/inner/f")
    for path in below:
        assert chunk_ids(harness, path) == kept
    delete(harness, "/d", "outer")
    delete(harness, "/d/sub", "inner")
    assert harness.namespace.drain_freed() == []
    assert chunk_ids(harness, below[0]) == kept
    delete(harness, "/", "all")
    assert harness.namespace.drain_freed() == kept


def test_a_directory_takes_its_snapshots_along(harness: Harness) -> None:
    create(harness, "/d", "s")
    harness.rename("/d", "/e")
    assert harness.names("/e/.snapshot/s") == ["g", "sub"]
    with pytest.raises(NotFound):
        harness.stat("/d/.snapshot/s")


def test_it_survives_a_restart(harness: Harness) -> None:
    create(harness, "/d", "s")
    harness.rename("/d/sub/f", "/f")
    harness.delete("/d/g")
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before
    assert lengths(harness, "/d/.snapshot/s/sub/f") == [10, 20]
    create(harness, "/d", "t")
    assert harness.names("/d/.snapshot/t") == ["sub"]

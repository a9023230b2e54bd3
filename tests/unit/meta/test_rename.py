"""rename: atomic, to a free path, never into itself."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidPath,
    InvalidRename,
    NotADirectory,
    NotFound,
    QuotaExceeded,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import Harness


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.mkdirs("/a/b")
    harness.mkdirs("/z")
    harness.write("/a/f", 10)
    return harness


def test_a_file_moves_with_its_content(harness: Harness) -> None:
    before = queries.stat(harness.namespace, "/a/f", NOBODY_ASKS)
    harness.now_ms = 8000
    view = harness.rename("/a/f", "/z/g")
    assert (view.path, view.inode_id, view.size) == ("/z/g", before.inode_id, 10)
    assert (view.mtime_ms, view.ctime_ms) == (before.mtime_ms, 8000)
    assert queries.stat(harness.namespace, "/z", NOBODY_ASKS).mtime_ms == 8000
    assert queries.stat(harness.namespace, "/a", NOBODY_ASKS).mtime_ms == 8000
    with pytest.raises(NotFound):
        queries.stat(harness.namespace, "/a/f", NOBODY_ASKS)


def test_a_directory_moves_with_all_below_it(harness: Harness) -> None:
    harness.rename("/a", "/z/y")
    assert queries.stat(harness.namespace, "/z/y/f", NOBODY_ASKS).path == "/z/y/f"
    assert queries.stat(harness.namespace, "/z/y/b", NOBODY_ASKS).type == "directory"


def test_an_open_file_moves_and_closes_under_its_new_path(harness: Harness) -> None:
    inode_id = harness.create("/a/open").inode_id
    harness.rename("/a", "/q")
    assert harness.complete(inode_id).path == "/q/open"


def test_a_path_to_itself_changes_nothing(harness: Harness) -> None:
    before = harness.tree_hash()
    assert harness.rename("/a", "/a").path == "/a"
    assert harness.tree_hash() == before


@pytest.mark.parametrize(
    ("source", "destination", "error"),
    [
        ("/", "/x", InvalidRename),
        ("/", "/", InvalidRename),
        ("/a", "/a/x", InvalidRename),
        ("/a", "/a/b/x/y", InvalidRename),
        ("/x", "/y", NotFound),
        ("/x", "/x", NotFound),
        ("/a/f", "/x/y", NotFound),
        ("/z", "/a/f/x", NotADirectory),
        ("/a/f", "/z", AlreadyExists),
        ("/z", "/a/f", AlreadyExists),
        ("/a/b", "/a", AlreadyExists),
        ("/a/b", "/", AlreadyExists),
    ],
)
def test_it_is_refused(
    harness: Harness, source: str, destination: str, error: type[Exception]
) -> None:
    assert type(harness.refusal(ops.Rename, source, destination)) is error


def test_a_name_that_only_begins_alike_is_another_directory(harness: Harness) -> None:
    harness.mkdirs("/ab")
    assert harness.rename("/a", "/ab/a").path == "/ab/a"


def test_a_directory_takes_the_place_of_an_empty_one(harness: Harness) -> None:
    moved = harness.rename("/a", "/z")
    assert (moved.path, moved.child_count) == ("/z", 2)
    assert harness.names("/") == ["z"]
    assert harness.namespace.directory_count == 3
    harness.mkdirs("/a")
    assert isinstance(harness.refusal(ops.Rename, "/a", "/z", True), AlreadyExists), "it is full"


def test_a_file_takes_the_place_of_a_file_when_asked_to(harness: Harness) -> None:
    moved = harness.write("/g", 20, 30)
    assert isinstance(harness.refusal(ops.Rename, "/g", "/a/f", False), AlreadyExists)
    harness.namespace.drain_freed()
    assert harness.rename("/g", "/a/f", overwrite=True).inode_id == moved.inode_id
    assert harness.namespace.drain_freed() == [1]
    assert harness.namespace.file_count == 1
    for source, destination in (("/a/f", "/a/b"), ("/z", "/a/f")):
        error = harness.refusal(ops.Rename, source, destination, True)
        assert isinstance(error, AlreadyExists), "a file and a directory never replace each other"


def test_both_directories_must_let_the_caller_write(harness: Harness) -> None:
    harness.mkdirs("/free", 0o777)
    harness.write("/free/f", user="bob")
    for source, destination in (("/a/f", "/free/x"), ("/free/f", "/a/x")):
        error = harness.refusal(ops.Rename, source, destination, user="bob")
        assert isinstance(error, AccessDenied)
    assert harness.rename("/free/f", "/free/x", user="bob").path == "/free/x"
    harness.run(ops.SetMode, "/free", 0o1777)
    error = harness.refusal(ops.Rename, "/free/x", "/free/y", user="carol")
    assert isinstance(error, AccessDenied), "sticky"


def test_only_what_lies_above_the_new_place_alone_must_have_room(harness: Harness) -> None:
    harness.run(ops.SetQuota, "/a", 3, 30)
    harness.run(ops.SetQuota, "/z", 2, 29)
    assert harness.rename("/a/f", "/a/b/f").path == "/a/b/f", "within /a nothing is added"
    assert isinstance(harness.refusal(ops.Rename, "/a/b/f", "/z/f"), QuotaExceeded), "of bytes"
    assert isinstance(harness.refusal(ops.Rename, "/a/b", "/z/b"), QuotaExceeded), "of names"
    harness.run(ops.SetQuota, "/z", 3, 30)
    assert harness.rename("/a/b", "/z/b").path == "/z/b"


@pytest.mark.parametrize(("source", "destination"), [("/.snapshot", "/x"), ("/a", "/z/.snapshot")])
def test_the_name_of_snapshots_is_reserved(harness: Harness, source: str, destination: str) -> None:
    assert isinstance(harness.refusal(ops.Rename, source, destination), InvalidPath)

"""rename: atomic, to a free path, never into itself."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AlreadyExists, InvalidRename, NotADirectory, NotFound
from pydfsnode.meta import ops, queries

from .harness import Harness


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.mkdirs("/a/b")
    harness.mkdirs("/z")
    harness.write("/a/f", 10)
    return harness


def test_a_file_moves_with_its_content(harness: Harness) -> None:
    before = queries.stat(harness.namespace, "/a/f")
    harness.now_ms = 8000
    view = harness.rename("/a/f", "/z/g")
    assert (view.path, view.inode_id, view.size) == ("/z/g", before.inode_id, 10)
    assert (view.mtime_ms, view.ctime_ms) == (before.mtime_ms, 8000)
    assert queries.stat(harness.namespace, "/z").mtime_ms == 8000
    assert queries.stat(harness.namespace, "/a").mtime_ms == 8000
    with pytest.raises(NotFound):
        queries.stat(harness.namespace, "/a/f")


def test_a_directory_moves_with_all_below_it(harness: Harness) -> None:
    harness.rename("/a", "/z/y")
    assert queries.stat(harness.namespace, "/z/y/f").path == "/z/y/f"
    assert queries.stat(harness.namespace, "/z/y/b").type == "directory"


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

"""Snapshots by name: how they are listed, renamed and refused."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AlreadyExists,
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from pydfsnode.meta import ops, queries, snapshot_queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import Done

from .harness import Harness
from .snapshot_asking import create, delete, prepared


@pytest.fixture
def harness() -> Harness:
    return prepared()


def test_snapshots_are_listed(harness: Harness) -> None:
    assert harness.names("/d/.snapshot") == []
    for number, name in enumerate("cab"):
        harness.now_ms = 2_000 + number
        create(harness, "/d", name)
    found = snapshot_queries.snapshots(harness.namespace, "/d", NOBODY_ASKS)
    assert [(info.name, info.created_ms) for info in found] == [
        ("c", 2000),
        ("a", 2001),
        ("b", 2002),
    ]
    assert harness.names("/d/.snapshot") == ["a", "b", "c"]
    page = queries.list_directory(harness.namespace, "/d/.snapshot", NOBODY_ASKS, "a", 1)
    assert ([view.path for view in page.entries], page.more) == (["/d/.snapshot/b"], True)
    view = harness.stat("/d/.snapshot")
    assert (view.type, view.child_count, view.owner) == ("directory", 3, "alice")
    assert harness.names("/d") == ["g", "sub"]


def test_a_snapshot_is_renamed(harness: Harness) -> None:
    create(harness, "/d", "s")
    create(harness, "/d", "t")
    harness.delete("/d/g")
    assert harness.run(ops.RenameSnapshot, "/d", "s", "new") == Done()
    assert harness.run(ops.RenameSnapshot, "/d", "t", "t") == Done()
    assert harness.names("/d/.snapshot/new") == ["g", "sub"]
    with pytest.raises(NotFound):
        harness.stat("/d/.snapshot/s")
    assert type(harness.refusal(ops.RenameSnapshot, "/d", "new", "t")) is AlreadyExists
    assert type(harness.refusal(ops.RenameSnapshot, "/d", "x", "y")) is NotFound
    assert type(harness.refusal(ops.RenameSnapshot, "/d", "new", "a/b")) is InvalidPath


@pytest.mark.parametrize(
    ("path", "name", "error"),
    [
        ("/d", "s", AlreadyExists),
        ("/d", "", InvalidPath),
        ("/d", "a/b", InvalidPath),
        ("/d", "..", InvalidPath),
        ("/d", ".snapshot", InvalidPath),
        ("/d", "n" * 256, InvalidPath),
        ("/d/g", "x", NotADirectory),
        ("/x", "x", NotFound),
    ],
)
def test_a_snapshot_is_refused(
    harness: Harness, path: str, name: str, error: type[Exception]
) -> None:
    create(harness, "/d", "s")
    assert type(harness.refusal(ops.CreateSnapshot, path, name)) is error


def test_there_is_a_limit(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydfsnode.limits.SNAPSHOTS_MAX", 1)
    create(harness, "/d", "s")
    assert type(harness.refusal(ops.CreateSnapshot, "/d", "t")) is InvalidArgument
    create(harness, "/d/sub", "t")


def test_what_has_snapshots_cannot_be_deleted(harness: Harness) -> None:
    harness.mkdirs("/d/sub/deep")
    harness.mkdirs("/e")
    create(harness, "/d/sub/deep", "s")
    for path in ("/d/sub/deep", "/d/sub", "/d"):
        assert type(harness.refusal(ops.Delete, path, True)) is InvalidArgument
        assert type(harness.refusal(ops.MoveToTrash, path)) is InvalidArgument
    harness.rename("/d/sub/deep", "/deep")
    assert type(harness.refusal(ops.Rename, "/e", "/deep")) is InvalidArgument
    harness.delete("/d", recursive=True)
    delete(harness, "/deep", "s")
    harness.rename("/e", "/deep")


@pytest.mark.parametrize(
    "kind", [ops.Delete, ops.Mkdirs, ops.Append, ops.MoveToTrash], ids=lambda kind: kind.__name__
)
def test_nothing_changes_in_a_snapshot(harness: Harness, kind: type[ops.Op]) -> None:
    create(harness, "/d", "s")
    error = harness.refusal(kind, "/d/.snapshot/s/g")
    assert type(error) in (InvalidPath, NotFound)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/d/.snapshot/x", NotFound),
        ("/d/.snapshot/x/g", NotFound),
        ("/d/.snapshot/s/x", NotFound),
        ("/d/.snapshot/s/g/x", NotADirectory),
        ("/d/.snapshot/s/.snapshot", NotFound),
        ("/d/g/.snapshot", NotADirectory),
        ("/d/g/.snapshot/s", NotADirectory),
        ("/x/.snapshot/s", NotFound),
    ],
)
def test_what_is_not_there(harness: Harness, path: str, error: type[Exception]) -> None:
    create(harness, "/d", "s")
    with pytest.raises(error):
        harness.stat(path)


def test_a_directory_in_it_has_no_chunks(harness: Harness) -> None:
    create(harness, "/d", "s")
    for path in ("/d/.snapshot", "/d/.snapshot/s", "/d/.snapshot/s/sub"):
        with pytest.raises(IsADirectory):
            queries.locate(harness.namespace, path, NOBODY_ASKS)


def test_summaries(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    create(harness, "/d", "s")
    harness.delete("/d/sub", recursive=True)
    whole = queries.summary(harness.namespace, "/d/.snapshot/s", NOBODY_ASKS)
    assert (whole.directories, whole.files, whole.bytes, whole.bytes_replicated) == (2, 2, 35, 105)
    part = queries.summary(harness.namespace, "/d/.snapshot/s/sub", NOBODY_ASKS)
    assert (part.directories, part.files, part.bytes, part.bytes_replicated) == (1, 1, 30, 90)
    monkeypatch.setattr(snapshot_queries, "SUMMARY_INODES_MAX", 1)
    with pytest.raises(InvalidArgument):
        queries.summary(harness.namespace, "/d/.snapshot/s/sub", NOBODY_ASKS)

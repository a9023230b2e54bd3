"""mkdirs: parents too, and again without harm."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    InvalidPath,
    NotADirectory,
    QuotaExceeded,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import Harness


def test_missing_parents_are_made() -> None:
    harness = Harness()
    view = harness.mkdirs("/a/b/c", 0o700)
    assert (view.path, view.type, view.mode, view.owner) == ("/a/b/c", "directory", 0o700, "alice")
    assert view.group == "supergroup"
    assert queries.stat(harness.namespace, "/a", NOBODY_ASKS).mode == 0o700
    assert harness.namespace.directory_count == 4


def test_parents_stay_usable_by_their_owner_whatever_the_mode() -> None:
    harness = Harness()
    harness.mkdirs("/a/b", 0o055)
    assert queries.stat(harness.namespace, "/a", NOBODY_ASKS).mode == 0o355
    assert queries.stat(harness.namespace, "/a/b", NOBODY_ASKS).mode == 0o055


def test_an_existing_directory_is_success_and_stays_as_it_is() -> None:
    harness = Harness()
    first = harness.mkdirs("/a", 0o700)
    harness.now_ms += 1000
    assert harness.mkdirs("/a", 0o777, user="bob") == first
    assert harness.mkdirs("/").path == "/"


def test_a_file_in_the_way_is_refused_by_its_path() -> None:
    harness = Harness()
    harness.write("/f")
    error = harness.refusal(ops.Mkdirs, "/f/a/b", 0)
    assert isinstance(error, NotADirectory)
    assert error.fields["path"] == "/f"
    assert isinstance(harness.refusal(ops.Mkdirs, "/f", 0), AlreadyExists)


@pytest.mark.parametrize("mode", [-1, 0o10000])
def test_a_mode_that_is_none_is_refused(mode: int) -> None:
    assert isinstance(Harness().refusal(ops.Mkdirs, "/a", mode), InvalidArgument)


def test_a_bad_path_is_refused() -> None:
    assert isinstance(Harness().refusal(ops.Mkdirs, "/a/../b", 0), InvalidPath)


def test_times_are_the_logs_and_never_go_back() -> None:
    harness = Harness()
    harness.now_ms = 5000
    assert harness.mkdirs("/a").mtime_ms == 5000
    harness.now_ms = 3000  # a new leader with a slow clock
    assert harness.mkdirs("/a/b").mtime_ms == 5000
    assert queries.stat(harness.namespace, "/a", NOBODY_ASKS).mtime_ms == 5000
    harness.now_ms = 6000
    harness.mkdirs("/a/c")
    assert queries.stat(harness.namespace, "/a", NOBODY_ASKS).mtime_ms == 6000


def test_a_directory_is_made_only_by_who_may_write_above_it() -> None:
    harness = Harness()
    harness.mkdirs("/home", 0o777)
    harness.mkdirs("/home/alice/private", 0o700, user="alice")
    view = harness.mkdirs("/home/bob", user="bob:eng")
    assert (view.owner, view.group) == ("bob", "supergroup"), "the group is that of the parent"
    for path in ("/x", "/home/alice/x", "/home/alice/private/x/y"):
        assert isinstance(harness.refusal(ops.Mkdirs, path, 0, user="bob:eng"), AccessDenied)
    assert harness.mkdirs("/home/alice", user="bob:eng").path == "/home/alice", "it is there"


def test_a_directory_that_may_not_be_passed_hides_what_is_below() -> None:
    harness = Harness()
    harness.mkdirs("/closed/open", 0o777)
    harness.run(ops.SetMode, "/closed", 0o766)
    for path in ("/closed/open", "/closed/nothing/x"):
        assert isinstance(harness.refusal(ops.Mkdirs, path, 0, user="bob"), AccessDenied)


@pytest.mark.parametrize("path", ["/.snapshot", "/a/.snapshot/b", "/.snapshot/b/c"])
def test_the_name_of_snapshots_is_reserved(path: str) -> None:
    assert isinstance(Harness().refusal(ops.Mkdirs, path, 0), InvalidPath)


def test_every_missing_name_counts_against_the_quota() -> None:
    harness = Harness()
    harness.mkdirs("/q")
    harness.run(ops.SetQuota, "/q", 3, -1)
    assert isinstance(harness.refusal(ops.Mkdirs, "/q/a/b/c", 0), QuotaExceeded)
    harness.mkdirs("/q/a/b")
    assert isinstance(harness.refusal(ops.Mkdirs, "/q/c", 0), QuotaExceeded)

"""Quotas of names and bytes: set, inherited by what lies below, kept by every way to add."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.errors import (
    AccessDenied,
    InvalidArgument,
    NotADirectory,
    NotFound,
    PydfsError,
    QuotaExceeded,
)
from pydfsnode.meta import ops
from pydfsnode.meta.attributes import QuotaView, quota_of

from .attribute_steps import a_tree, reload
from .harness import MIB, Harness


def quota(harness: Harness, path: str, user: str = "root") -> QuotaView:
    return quota_of(harness.namespace, path, harness.namespace.tree.caller(user))


def limited(path: str, names: int = -1, space: int = -1) -> Harness:
    harness = a_tree()
    harness.run(ops.SetQuota, path, names, space, user="root")
    return harness


def exceeded(harness: Harness, kind: Any, *fields: Any, user: str = "ann") -> QuotaExceeded:
    error = harness.refusal(kind, *fields, user=user)
    assert isinstance(error, QuotaExceeded)
    return error


# ---- setting


def test_each_quota_is_set_kept_and_cleared_by_itself() -> None:
    harness = limited("/ann", 7, 70)
    assert quota(harness, "/ann") == QuotaView(7, 3, 70, 0)
    harness.run(ops.SetQuota, "/ann", -1, 80, user="root")
    assert quota(harness, "/ann") == QuotaView(7, 3, 80, 0)
    reload(harness)
    assert quota(harness, "/ann") == QuotaView(7, 3, 80, 0)
    harness.run(ops.SetQuota, "/ann", 0, -1, user="root")
    assert quota(harness, "/ann") == QuotaView(0, 3, 80, 0)
    assert harness.namespace.tree.quota_count == 1
    harness.run(ops.SetQuota, "/ann", -1, 0, user="root")
    assert harness.namespace.tree.extras.rows == {}
    assert harness.namespace.tree.quota_count == 0


def test_setting_moves_ctime_and_keeping_both_changes_nothing() -> None:
    harness = a_tree()
    view = harness.run(ops.SetQuota, "/ann/d", 5, -1, user="root")
    assert view.ctime_ms == harness.now_ms > view.mtime_ms
    before = harness.tree_hash()
    harness.now_ms += 9
    assert harness.run(ops.SetQuota, "/ann/d", -1, -1, user="root") == view
    assert harness.tree_hash() == before


def test_only_superusers_set_quotas() -> None:
    error = a_tree().refusal(ops.SetQuota, "/ann", 5, 5, user="ann:staff")
    assert type(error) is AccessDenied
    assert "superuser" in str(error)
    assert quota(limited("/ann", 5), "/ann").names_max == 5


@pytest.mark.parametrize(
    ("path", "names", "space", "error"),
    [
        ("/ann/f", 5, 5, NotADirectory),
        ("/none", 5, 5, NotFound),
        ("/ann", -2, 0, InvalidArgument),
        ("/ann", 0, -2, InvalidArgument),
        ("/ann", 1 << 63, 0, InvalidArgument),
        ("/ann", 0, 1 << 63, InvalidArgument),
    ],
)
def test_what_cannot_be_a_quota_is_refused(
    path: str, names: int, space: int, error: type[PydfsError]
) -> None:
    assert type(a_tree().refusal(ops.SetQuota, path, names, space, user="root")) is error


def test_use_counts_itself_and_every_replica() -> None:
    harness = a_tree()
    harness.write("/ann/d/f", 10, 20, replication=2, user="ann")
    harness.write("/ann/d/g", 5, replication=3, user="ann")
    assert quota(harness, "/ann/d") == QuotaView(0, 3, 0, 75)
    assert quota(harness, "/ann") == QuotaView(0, 5, 0, 75)
    assert quota(harness, "/ann/d/f") == QuotaView(0, 1, 0, 60)
    assert quota(harness, "/") == QuotaView(0, 6, 0, 75)


def test_seeing_a_quota_needs_read_and_execute() -> None:
    harness = limited("/ann/d", 5)
    harness.run(ops.SetMode, "/ann/d", 0o754, user="ann")
    assert quota(harness, "/ann/d", "bob:staff").names_max == 5
    with pytest.raises(AccessDenied):
        quota(harness, "/ann/d", "bob")


# ---- names


def test_names_fill_up_and_become_free_again() -> None:
    harness = limited("/ann/d", 3)
    harness.mkdirs("/ann/d/a", user="ann")
    harness.write("/ann/d/f", user="ann")
    for kind, fields in ((ops.Mkdirs, ("/ann/d/b", 0)), (ops.Create, ("/ann/d/a/g", 1, MIB))):
        error = exceeded(harness, kind, *fields)
        assert error.fields == {"path": "/ann/d", "quota": 3, "used": 3}
        assert "NameSpace quota of '/ann/d'" in str(error)
    harness.delete("/ann/d/f", user="ann")
    harness.mkdirs("/ann/d/b", user="ann")


def test_all_missing_parents_must_fit() -> None:
    harness = limited("/ann/d", 3)
    exceeded(harness, ops.Mkdirs, "/ann/d/a/b/c", 0)
    exceeded(harness, ops.Create, "/ann/d/a/b/f", 1, MIB, 0, False, True)
    harness.mkdirs("/ann/d/a/b", user="ann")


def test_the_first_directory_above_without_room_is_named() -> None:
    harness = a_tree()
    harness.mkdirs("/ann/d/a", user="ann")
    harness.run(ops.SetQuota, "/ann", 4, -1, user="root")
    harness.run(ops.SetQuota, "/ann/d/a", 9, -1, user="root")
    assert exceeded(harness, ops.Mkdirs, "/ann/d/a/b", 0).fields["path"] == "/ann"
    harness.run(ops.SetQuota, "/ann/d/a", 1, -1, user="root")
    assert exceeded(harness, ops.Mkdirs, "/ann/d/a/b", 0).fields["path"] == "/ann/d/a"


def test_superusers_keep_quotas_too() -> None:
    harness = limited("/ann/d", 1)
    exceeded(harness, ops.Mkdirs, "/ann/d/a", 0, user="root")


def test_one_below_the_use_lets_nothing_more_in() -> None:
    harness = limited("/ann", 1, 1)
    assert quota(harness, "/ann").names_used == 3
    exceeded(harness, ops.Mkdirs, "/ann/d/a", 0)
    harness.delete("/ann/f", user="ann")
    exceeded(harness, ops.Mkdirs, "/ann/d/a", 0)
    harness.rename("/ann/d", "/ann/e", user="ann")


def test_the_root_can_have_a_quota() -> None:
    harness = limited("/", 5)
    harness.mkdirs("/a", user="root")
    assert exceeded(harness, ops.Mkdirs, "/b", 0, user="root").fields["path"] == "/"


def test_a_move_counts_where_it_goes_and_not_within() -> None:
    harness = limited("/ann/d", 2)
    harness.mkdirs("/ann/a/b", user="ann")
    exceeded(harness, ops.Rename, "/ann/a", "/ann/d/a")
    harness.rename("/ann/f", "/ann/d/f", user="ann")
    harness.rename("/ann/d/f", "/ann/d/g", user="ann")
    exceeded(harness, ops.Rename, "/ann/a/b", "/ann/d/b")
    assert quota(harness, "/ann/d").names_used == 2


# ---- bytes


def test_a_new_chunk_must_fit_whole_with_all_its_replicas() -> None:
    harness = limited("/ann/d", -1, 2 * MIB - 1)
    inode_id = harness.create("/ann/d/f", replication=2, user="ann").inode_id
    error = exceeded(harness, ops.AllocateChunk, inode_id, None, 0, ("c1",))
    assert error.fields == {"path": "/ann/d", "quota": 2 * MIB - 1, "used": 0}
    assert "DiskSpace quota of '/ann/d'" in str(error)
    harness.run(ops.SetQuota, "/ann/d", -1, 2 * MIB, user="root")
    harness.allocate(inode_id)


def test_a_file_with_its_bytes_counts_where_it_is_moved() -> None:
    harness = limited("/ann/d", -1, 30)
    harness.write("/ann/a", 10, replication=3, user="ann")
    harness.write("/ann/b", 1, replication=1, user="ann")
    harness.rename("/ann/a", "/ann/d/a", user="ann")
    exceeded(harness, ops.Rename, "/ann/b", "/ann/d/b")
    harness.rename("/ann/d/a", "/ann/a", user="ann")
    harness.rename("/ann/b", "/ann/d/b", user="ann")

"""Owner, group, mode, times and replication of files and directories."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pydfsnode._fast import Inode
from pydfsnode.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    PydfsError,
    QuotaExceeded,
)
from pydfsnode.meta import ops
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.ops.set_times import TIME_MS_MAX
from pydfsnode.meta.results import WantedChunk

from .attribute_steps import a_tree, reload
from .harness import MIB, Harness

CHANGES: dict[str, tuple[Any, ...]] = {
    "replication": (ops.SetReplication, 2),
    "owner": (ops.SetOwner, "bob", "eng"),
    "mode": (ops.SetMode, 0o600),
    "times": (ops.SetTimes, 5, 6),
    "set xattr": (ops.SetXattr, "user.a", b"1"),
    "remove xattr": (ops.RemoveXattr, "user.old"),
    "acl": (ops.SetAcl, ("user:bob:rwx",), "modify"),
    "quota": (ops.SetQuota, 7, 8),
}
EXPECTED: dict[str, dict[str, object]] = {
    "replication": {"replication": 2},
    "owner": {"owner": "bob", "group": "eng"},
    "mode": {"mode": 0o600},
    "times": {"mtime_ms": 5, "atime_ms": 6},
    "set xattr": {},
    "remove xattr": {},
    "quota": {},
    "acl": {"mode": 0o674, "has_acl": True},
}


def the_tree() -> Harness:
    """With an extended attribute to remove."""
    harness = a_tree()
    harness.run(ops.SetXattr, "/ann/f", "user.old", b"1", user="ann")
    harness.now_ms += 1000
    return harness


def target(what: str) -> str:
    """Quotas are for directories."""
    return "/ann/d" if what == "quota" else "/ann/f"


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_moves_ctime_and_itself_only_and_survives_a_restart(what: str) -> None:
    harness = the_tree()
    reload(harness)  # from now on only the rows of the change are written
    path = target(what)
    before = harness.stat(path)
    assert before.ctime_ms < harness.now_ms
    kind, *fields = CHANGES[what]
    view = harness.run(kind, path, *fields, user="root")
    expected = msgspec.structs.asdict(before) | {"ctime_ms": harness.now_ms} | EXPECTED[what]
    assert msgspec.structs.asdict(view) == expected
    assert harness.stat(path) == view
    reload(harness)
    assert harness.stat(path) == view


@pytest.mark.parametrize("what", CHANGES)
def test_snapshots_are_told_before_anything_changes(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = the_tree()
    tree = harness.namespace.tree
    seen: list[tuple[bytes, object]] = []

    def as_it_is(one: Inode) -> tuple[bytes, object]:
        return tree.table.encode(one.inode_id), tree.extras.get(one.inode_id)

    path = target(what)
    inode = tree.walk(path, NOBODY_ASKS)
    before = as_it_is(inode)
    monkeypatch.setattr(tree.history, "sequence", 1)
    monkeypatch.setattr(tree.history, "changing", lambda one: seen.append(as_it_is(one)))
    kind, *fields = CHANGES[what]
    harness.run(kind, path, *fields, user="root")
    assert seen[0] == before != as_it_is(inode)


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/ann/none", NotFound),
        ("/ann/f/below", NotADirectory),
        ("ann/f", InvalidPath),
        ("/ann/../f", InvalidPath),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(
    what: str, path: str, error: type[PydfsError]
) -> None:
    kind, *fields = CHANGES[what]
    refusal = the_tree().refusal(kind, path, *fields)
    assert type(refusal) is error
    assert path in str(refusal) or refusal.fields["path"] == "/ann/f"


@pytest.mark.parametrize("what", CHANGES)
def test_what_lies_behind_a_closed_directory_cannot_be_changed(what: str) -> None:
    harness = the_tree()
    harness.run(ops.SetMode, "/ann", 0o700)
    kind, *fields = CHANGES[what]
    assert type(harness.refusal(kind, target(what), *fields, user="eve:staff")) is AccessDenied


# ---- owner and group


def test_only_a_superuser_gives_a_file_away() -> None:
    harness = a_tree()
    error = harness.refusal(ops.SetOwner, "/ann/f", "bob", "", user="ann:staff")
    assert type(error) is AccessDenied
    assert "ann is not a superuser" in str(error)
    view = harness.run(ops.SetOwner, "/ann/f", "bob", "", user="root")
    assert (view.owner, view.group) == ("bob", "staff")
    # To whom it belongs already it can be given by that user, as in HDFS.
    assert harness.run(ops.SetOwner, "/ann/f", "bob", "", user="bob").owner == "bob"


def test_an_owner_changes_the_group_to_one_of_their_own() -> None:
    harness = a_tree()
    view = harness.run(ops.SetOwner, "/ann/f", "", "eng", user="ann:eng")
    assert (view.owner, view.group) == ("ann", "eng")
    error = harness.refusal(ops.SetOwner, "/ann/f", "", "ops", user="ann:eng")
    assert type(error) is AccessDenied
    assert "does not belong to the group ops" in str(error)
    assert harness.run(ops.SetOwner, "/ann/f", "", "ops", user="root").group == "ops"


def test_a_member_who_does_not_own_it_changes_no_group() -> None:
    error = a_tree().refusal(ops.SetOwner, "/ann/f", "", "eng", user="bob:eng,staff")
    assert type(error) is AccessDenied
    assert "ann" in str(error)


@pytest.mark.parametrize(
    ("owner", "group"),
    [("", ""), ("a:b", ""), ("a,b", ""), ("", "a/b"), ("a\0", ""), ("é" * 128, ""), ("", "\x1f")],
)
def test_names_that_nobody_can_have_are_refused(owner: str, group: str) -> None:
    assert type(a_tree().refusal(ops.SetOwner, "/ann/f", owner, group)) is InvalidArgument


def test_the_root_can_be_given_to_somebody() -> None:
    harness = a_tree()
    assert harness.run(ops.SetOwner, "/", "ann", "staff", user="root").owner == "ann"
    assert harness.mkdirs("/new", user="ann").group == "staff"


# ---- mode


def test_mode_belongs_to_the_owner() -> None:
    harness = a_tree()
    assert harness.run(ops.SetMode, "/ann/f", 0o640, user="ann").mode == 0o640
    assert type(harness.refusal(ops.SetMode, "/ann/f", 0o666, user="bob:staff")) is AccessDenied
    assert harness.run(ops.SetMode, "/ann/f", 0, user="root").mode == 0
    assert harness.run(ops.SetMode, "/ann", 0o1777, user="ann").mode == 0o1777


@pytest.mark.parametrize(
    ("user", "mode"),
    [("ann", 0o1755), ("ann:eng", 0o1755), ("ann:staff", 0o7755), ("root", 0o7755)],
)
def test_set_id_bits_are_for_members_of_the_group(user: str, mode: int) -> None:
    assert a_tree().run(ops.SetMode, "/ann/d", 0o7755, user=user).mode == mode


@pytest.mark.parametrize("mode", [-1, 0o10000])
def test_a_mode_that_is_none_is_refused(mode: int) -> None:
    assert type(a_tree().refusal(ops.SetMode, "/ann/f", mode)) is InvalidArgument


# ---- times


def test_times_are_set_one_by_one() -> None:
    harness = a_tree()
    before = harness.stat("/ann/f")
    view = harness.run(ops.SetTimes, "/ann/f", -1, 77, user="ann")
    assert (view.mtime_ms, view.atime_ms) == (before.mtime_ms, 77)
    view = harness.run(ops.SetTimes, "/ann/f", 0, -1, user="ann")
    assert (view.mtime_ms, view.atime_ms) == (0, 77)
    assert harness.run(ops.SetTimes, "/ann/d", TIME_MS_MAX, 1, user="ann").mtime_ms == TIME_MS_MAX


def test_keeping_both_times_changes_nothing() -> None:
    harness = a_tree()
    before = harness.tree_hash()
    harness.run(ops.SetTimes, "/ann/f", -1, -1, user="ann")
    assert harness.tree_hash() == before


def test_whoever_may_write_sets_times() -> None:
    harness = a_tree()
    assert type(harness.refusal(ops.SetTimes, "/ann/f", 1, 1, user="bob:staff")) is AccessDenied
    harness.run(ops.SetMode, "/ann/f", 0o664, user="ann")
    assert harness.run(ops.SetTimes, "/ann/f", 1, 1, user="bob:staff").mtime_ms == 1


@pytest.mark.parametrize("time_ms", [-2, TIME_MS_MAX + 1, 1 << 63])
def test_times_that_cannot_be_are_refused(time_ms: int) -> None:
    harness = a_tree()
    for times in ((time_ms, -1), (-1, time_ms)):
        assert type(harness.refusal(ops.SetTimes, "/ann/f", *times)) is InvalidArgument


# ---- replication


def test_replication_is_wanted_of_every_chunk() -> None:
    harness = a_tree()
    harness.write("/ann/two", 10, 20, user="ann")
    harness.namespace.drain_changed_chunks()
    view = harness.run(ops.SetReplication, "/ann/two", 5, user="ann")
    assert (view.replication, view.size) == (5, 30)
    wanted = harness.namespace.drain_changed_chunks()
    assert [(type(chunk), chunk.length, chunk.replication) for chunk in wanted] == [
        (WantedChunk, 10, 5),
        (WantedChunk, 20, 5),
    ]


def test_replication_needs_write_and_a_file() -> None:
    harness = a_tree()
    assert type(harness.refusal(ops.SetReplication, "/ann/f", 2, user="bob")) is AccessDenied
    assert type(harness.refusal(ops.SetReplication, "/ann/d", 2, user="ann")) is IsADirectory


@pytest.mark.parametrize("replication", [0, -1, 17, 256])
def test_a_replication_out_of_range_is_refused(replication: int) -> None:
    harness = a_tree()
    assert type(harness.refusal(ops.SetReplication, "/ann/f", replication)) is InvalidArgument


def test_more_replicas_must_fit_the_quota_and_fewer_always_do() -> None:
    harness = a_tree()
    harness.write("/ann/d/f", 100, user="ann")
    harness.run(ops.SetQuota, "/ann", -1, 499, user="root")
    error = harness.refusal(ops.SetReplication, "/ann/d/f", 5, user="ann")
    assert type(error) is QuotaExceeded
    assert error.fields["path"] == "/ann"
    assert harness.run(ops.SetReplication, "/ann/d/f", 4, user="ann").replication == 4
    harness.run(ops.SetQuota, "/ann", -1, 1, user="root")
    assert harness.run(ops.SetReplication, "/ann/d/f", 1, user="ann").replication == 1


def test_a_chunk_that_is_being_written_counts_whole() -> None:
    harness = a_tree()
    inode_id = harness.create("/ann/d/f", replication=1, user="ann").inode_id
    harness.allocate(inode_id)
    harness.run(ops.SetQuota, "/ann", -1, 2 * MIB - 1, user="root")
    assert type(harness.refusal(ops.SetReplication, "/ann/d/f", 2, user="ann")) is QuotaExceeded
    harness.run(ops.SetQuota, "/ann", -1, 2 * MIB, user="root")
    assert harness.run(ops.SetReplication, "/ann/d/f", 2, user="ann").replication == 2
    harness.run(ops.SetQuota, "/ann", -1, 1, user="root")
    assert harness.run(ops.SetReplication, "/ann/d/f", 1, user="ann").replication == 1

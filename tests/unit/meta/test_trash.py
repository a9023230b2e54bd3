"""The trash: deleting so that it can be undone, and restoring."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    InvalidPath,
    InvalidRename,
    NotADirectory,
    NotFound,
    PydfsError,
    QuotaExceeded,
)
from pydfsnode.meta import ops, queries, trash
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.civil import stamp
from pydfsnode.meta.trash_place import ORIGIN

from .harness import ADMIN
from .trash_world import BOB, CURRENT, DAY_MS, restore, roll, throw, tree_of, world

# ---- moving there


def test_a_file_lies_in_its_users_trash_under_the_path_that_it_had() -> None:
    harness = world()
    before = harness.stat("/w/d/f")
    harness.now_ms += 5
    moved = harness.run(ops.MoveToTrash, "/w/d/f", user=BOB)
    assert moved.path == f"{CURRENT}/w/d/f"
    assert (moved.inode_id, moved.size, moved.mtime_ms) == (before.inode_id, 10, before.mtime_ms)
    assert harness.names("/w/d") == []
    assert harness.namespace.drain_freed() == []
    assert harness.namespace.tree.extras.rows == {}
    home, root_of_trash = harness.stat("/user/bob"), harness.stat("/user/bob/.Trash")
    assert (home.owner, home.mode) == ("bob", 0o755)
    assert (root_of_trash.owner, root_of_trash.mode) == ("bob", 0o700)
    assert harness.stat("/user").owner == "root"
    assert harness.stat(f"{CURRENT}/w/d", BOB).owner == "bob"
    before_restart = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before_restart


def test_a_tree_goes_as_a_whole() -> None:
    harness = world()
    assert throw(harness, "/w/d") == f"{CURRENT}/w/d"
    assert tree_of(harness, CURRENT) == [f"{CURRENT}/w", f"{CURRENT}/w/d", f"{CURRENT}/w/d/f"]
    assert throw(harness, "/w/g") == f"{CURRENT}/w/g"


def test_a_taken_name_gets_the_time_behind_it() -> None:
    harness = world()
    now_ms = harness.now_ms
    inode_ids = [harness.stat("/w/g").inode_id]
    moved = [throw(harness, "/w/g")]
    for _ in range(2):
        inode_ids.append(harness.write("/w/g", 5, user=BOB).inode_id)
        moved.append(throw(harness, "/w/g"))
    names = ["g", f"g {now_ms}", f"g {now_ms}-{inode_ids[2]}"]
    assert moved == [f"{CURRENT}/w/{name}" for name in names]
    # Each goes back to the one path that they all had.
    for path, inode_id in zip(moved, inode_ids, strict=True):
        assert restore(harness, path) == "/w/g"
        assert harness.stat("/w/g").inode_id == inode_id
        assert inode_id not in harness.namespace.tree.extras.rows
        harness.delete("/w/g")
    assert harness.namespace.tree.extras.rows == {}


def test_a_file_where_a_directory_is_needed_gives_way() -> None:
    harness = world()
    throw(harness, "/w/g")
    harness.mkdirs("/w/g/sub", user=BOB)
    harness.write("/w/g/sub/x", 1, user=BOB)
    harness.write("/w/g/y", 1, user=BOB)
    aside = f"{CURRENT}/w/g {harness.now_ms}"
    assert throw(harness, "/w/g/sub") == f"{aside}/sub"
    assert throw(harness, "/w/g/y") == f"{aside}/y"
    assert restore(harness, f"{aside}/sub/x") == "/w/g/sub/x"
    harness.run(ops.Rename, f"{aside}/y", f"{CURRENT}/y", user=BOB)
    assert restore(harness, f"{CURRENT}/y") == "/w/g/y"
    harness.delete("/w/g", recursive=True)
    assert restore(harness, aside) == "/w/g"  # what is left of it


def test_all_names_taken_is_refused() -> None:
    harness = world()
    throw(harness, "/w/g")
    inode_id = harness.write("/w/g", 1, user=BOB).inode_id
    for name in (f"g {harness.now_ms}", f"g {harness.now_ms}-{inode_id}"):
        harness.write(f"{CURRENT}/w/{name}", 1)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g", user=BOB), AlreadyExists)
    harness.delete("/w/g")
    harness.mkdirs("/w/g/sub", user=BOB)  # a file is where its directory would be, twice
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g/sub", user=BOB), AlreadyExists)


@pytest.mark.parametrize(
    ("path", "user", "error"),
    [
        ("/", ADMIN, InvalidArgument),
        ("/w/none", BOB, NotFound),
        ("/w/g/x", BOB, NotADirectory),
        ("/user", "root", InvalidArgument),
        ("/user/bob", BOB, InvalidArgument),
        ("/user/bob/.Trash", BOB, InvalidArgument),
        (CURRENT, BOB, InvalidArgument),
        (f"{CURRENT}/w/d", BOB, InvalidArgument),
        (f"{CURRENT}/w/d", ADMIN, InvalidArgument),  # another's trash is a trash too
        ("/w/g", "carol/x:supergroup", InvalidArgument),
        ("/w/g", "..:supergroup", InvalidPath),
    ],
)
def test_what_cannot_go_to_the_trash(path: str, user: str, error: type[PydfsError]) -> None:
    harness = world()
    throw(harness, "/w/d/f")
    assert type(harness.refusal(ops.MoveToTrash, path, user=user)) is error


def test_it_takes_the_right_to_remove_and_nothing_for_the_home() -> None:
    harness = world()
    harness.mkdirs("/private")
    harness.write("/private/f", 1)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/private/f", user=BOB), AccessDenied)
    harness.run(ops.SetMode, "/w", 0o1777)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g", user="carol"), AccessDenied)
    assert throw(harness, "/w/g") == f"{CURRENT}/w/g"


def test_a_home_of_somebody_else_is_not_written_into() -> None:
    harness = world()
    harness.mkdirs("/user/bob")  # alice made it
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g", user=BOB), AccessDenied)
    harness.delete("/user/bob")
    harness.write("/user/bob", 1)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g", user=BOB), NotADirectory)


@pytest.mark.parametrize("shut", ["/user/bob", "/user/bob/.Trash", CURRENT, f"{CURRENT}/w"])
def test_the_caller_must_be_let_through_the_trash(shut: str) -> None:
    harness = world()
    throw(harness, "/w/d/f")
    harness.run(ops.SetMode, "/user", 0o700)  # no matter: the masters made the home
    harness.run(ops.SetMode, shut, 0o600)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/d", user=BOB), AccessDenied)
    harness.run(ops.SetMode, shut, 0o700)
    harness.run(ops.SetMode, "/user", 0o755)
    harness.delete(f"{CURRENT}/w/d", recursive=True)
    assert throw(harness, "/w/d") == f"{CURRENT}/w/d"


def test_a_home_is_found_where_others_may_not_look() -> None:
    harness = world()
    throw(harness, "/w/d/f")
    harness.run(ops.SetMode, "/user", 0o700)
    assert throw(harness, "/w/g") == f"{CURRENT}/w/g"


def test_the_path_in_the_trash_has_the_bounds_of_any_path() -> None:
    harness = world()
    long = "/w/" + "n" * 255
    harness.write(long, 1, user=BOB)
    throw(harness, long)
    harness.write(long, 1, user=BOB)
    assert isinstance(harness.refusal(ops.MoveToTrash, long, user=BOB), InvalidPath)


def test_quotas_hold_for_the_home_and_not_for_what_is_above_both() -> None:
    harness = world()
    harness.mkdirs("/user/bob", user="root")
    harness.run(ops.SetOwner, "/user/bob", "bob", "")
    harness.run(ops.SetQuota, "/user/bob", 5, 0)  # itself, .Trash, Current, w: one is left
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/d", user=BOB), QuotaExceeded)
    throw(harness, "/w/g")
    harness.run(ops.SetQuota, "/user/bob", 0, 60)
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/d", user=BOB), QuotaExceeded)
    harness.run(ops.SetQuota, "/user/bob", 0, 90)
    total = queries.summary(harness.namespace, "/", NOBODY_ASKS)
    harness.run(ops.SetQuota, "/", total.directories + total.files, total.bytes_replicated)
    throw(harness, "/w/d")


def test_directories_made_on_the_way_count_in_every_quota() -> None:
    harness = world()
    total = queries.summary(harness.namespace, "/", NOBODY_ASKS)
    names = total.directories + total.files
    harness.run(ops.SetQuota, "/", names + 4, -1)  # user, bob, .Trash, Current, and w has no room
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/g", user=BOB), QuotaExceeded)
    harness.run(ops.SetQuota, "/", names + 5, -1)
    throw(harness, "/w/g")


def test_a_writer_goes_on_in_the_trash() -> None:
    harness = world()
    inode_id = harness.create("/w/open", user=BOB).inode_id
    throw(harness, "/w/open")
    assert harness.complete(inode_id).path == f"{CURRENT}/w/open"


def test_a_retried_operation_gets_the_first_answer() -> None:
    harness = world()
    op = ops.MoveToTrash(9, 1, 1, harness.now_ms, BOB, "/w/g")
    assert harness.apply(op) == harness.apply(op)
    op = ops.RestoreTrash(9, 2, 1, harness.now_ms, BOB, f"{CURRENT}/w/g")
    assert harness.apply(op) == harness.apply(op)
    assert harness.names("/w") == ["d", "g"]


def test_what_has_snapshots_stays_where_it_is() -> None:
    harness = world()
    harness.run(ops.CreateSnapshot, "/w/d", "s")
    assert isinstance(harness.refusal(ops.MoveToTrash, "/w/d", user=BOB), InvalidArgument)
    seen = harness.stat("/w/d/f")
    harness.now_ms += 5
    throw(harness, "/w/d/f")
    kept = harness.stat("/w/d/.snapshot/s/f")
    assert (kept.size, kept.ctime_ms) == (10, seen.ctime_ms)
    harness.mkdirs(f"{CURRENT}/w/e", user=BOB)
    harness.run(ops.CreateSnapshot, f"{CURRENT}/w/e", "s")
    assert isinstance(harness.refusal(ops.EmptyTrash, user=BOB), InvalidArgument)
    roll(harness, "bob", roll_ms=0)
    directory = trash.trash_of(harness.namespace.tree, "bob")
    assert directory is not None
    harness.now_ms += 2 * DAY_MS
    assert roll(harness, "bob") == 0
    assert not trash.is_due(harness.namespace.tree, directory, harness.now_ms, 0, DAY_MS)


# ---- and back


def test_restoring_makes_the_directories_that_are_gone() -> None:
    harness = world()
    moved = throw(harness, "/w/d/f")
    harness.delete("/w/d")
    view = harness.run(ops.RestoreTrash, moved, user=BOB)
    assert (view.path, view.size) == ("/w/d/f", 10)
    assert harness.stat("/w/d").owner == "bob"
    assert harness.stat("/w/d").mode == 0o755


def test_restoring_never_replaces_anything() -> None:
    harness = world()
    moved = throw(harness, "/w/d/f")
    harness.write("/w/d/f", 1, user=BOB)
    error = harness.refusal(ops.RestoreTrash, moved, user=BOB)
    assert isinstance(error, AlreadyExists)
    assert error.fields["path"] == "/w/d/f"
    harness.delete("/w/d", recursive=True)
    harness.write("/w/d", 1, user=BOB)
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), NotADirectory)


def test_restoring_from_a_checkpoint() -> None:
    harness = world()
    throw(harness, "/w/d")
    throw(harness, "/w/g")
    harness.write("/w/g", 1, user=BOB)
    aside = throw(harness, "/w/g")
    harness.run(ops.RollTrash, 0, DAY_MS, ("bob",), user="root")
    checkpoint = f"/user/bob/.Trash/{stamp(harness.now_ms)}"
    assert restore(harness, f"{checkpoint}/w/d/f") == "/w/d/f"
    assert restore(harness, aside.replace(CURRENT, checkpoint)) == "/w/g"


@pytest.mark.parametrize("path", ["/", "/w/g", "/user/bob/.Trash", CURRENT, f"{CURRENT}/none"])
def test_only_what_was_thrown_away_is_restored(path: str) -> None:
    harness = world()
    throw(harness, "/w/d")
    error = harness.refusal(ops.RestoreTrash, path, user=BOB)
    assert type(error) is (NotFound if path.endswith("none") else InvalidArgument)


def test_restoring_needs_the_rights_of_a_move() -> None:
    harness = world()
    moved = throw(harness, "/w/g")
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user="carol"), AccessDenied)
    harness.run(ops.SetMode, "/w", 0o755)
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), AccessDenied)
    harness.run(ops.SetMode, "/w", 0o777)
    harness.run(ops.SetMode, f"{CURRENT}/w", 0o555)
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), AccessDenied)
    assert restore(harness, moved, "root") == "/w/g"


def test_restoring_keeps_within_quotas() -> None:
    harness = world()
    moved = throw(harness, "/w/d/f")
    harness.delete("/w/d")
    harness.run(ops.SetQuota, "/w", 3, 0)  # itself and g: there is no room for d and f
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), QuotaExceeded)
    harness.run(ops.SetQuota, "/w", 4, 0)
    restore(harness, moved)


def test_a_thing_thrown_away_twice_forgets_its_first_path() -> None:
    harness = world()
    throw(harness, "/w/g")
    harness.write("/w/g", 5, user=BOB)
    aside = throw(harness, "/w/g")
    harness.run(ops.Rename, aside, "/w/other", False, user=BOB)
    assert restore(harness, throw(harness, "/w/other")) == "/w/other"


def test_nothing_moves_into_itself() -> None:
    harness = world()
    moved = throw(harness, "/w/d")
    harness.run(ops.SetXattr, moved, ORIGIN, f"{moved}/x/y".encode(), True, True)
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), InvalidRename)


@pytest.mark.parametrize("written", [b"\xff", b"no/path", b"/w/../x"])
def test_a_mark_that_is_no_path_is_refused(written: bytes) -> None:
    harness = world()
    moved = throw(harness, "/w/g")
    harness.run(ops.SetXattr, moved, ORIGIN, written, True, True)
    assert isinstance(harness.refusal(ops.RestoreTrash, moved, user=BOB), InvalidPath)

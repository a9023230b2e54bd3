"""The trash: growing old, and emptying."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
)
from pydfsnode.meta import ops, trash
from pydfsnode.meta.civil import stamp
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX

from .harness import MIB
from .trash_world import BOB, CURRENT, DAY_MS, restore, roll, throw, world

# ---- growing old


def test_current_becomes_a_checkpoint_and_goes_when_it_is_old() -> None:
    harness = world()
    throw(harness, "/w/d/f")
    born_ms = harness.now_ms
    assert roll(harness, "bob") == 0
    assert harness.names("/user/bob/.Trash") == ["Current"]
    harness.now_ms += 3_600_000
    throw(harness, "/w/g")
    assert roll(harness, "bob", "nobody") == 0
    checkpoint = stamp(born_ms + 3_600_000)
    assert harness.names("/user/bob/.Trash") == [checkpoint]
    assert harness.stat("/user/bob/.Trash/" + checkpoint).ctime_ms == harness.now_ms
    harness.now_ms += DAY_MS
    assert roll(harness, "bob") == 0
    harness.now_ms += 1000
    assert roll(harness, "bob") == 5  # the checkpoint, w, w/d, f and g
    assert harness.names("/user/bob/.Trash") == []
    assert sorted(harness.namespace.drain_freed()) == [1, 2]


def test_a_user_named_twice_is_rolled_once() -> None:
    harness = world()
    throw(harness, "/w/g")
    roll(harness, "bob", "bob", roll_ms=0)
    harness.now_ms += 2 * DAY_MS
    assert roll(harness, "bob", "bob") == 3


def test_checkpoints_of_one_second_have_names_of_their_own() -> None:
    harness = world()
    made = []
    for number in range(11):
        harness.write(f"/w/f{number}", 1, user=BOB)
        throw(harness, f"/w/f{number}")
        roll(harness, "bob", roll_ms=0)
        made = harness.names("/user/bob/.Trash")
    now = stamp(harness.now_ms)
    assert made == [now, *(f"{now}-{n}" for n in range(1, 9)), "Current"]
    harness.now_ms += 2 * DAY_MS
    assert roll(harness, "bob", roll_ms=DAY_MS * 9) == 27


def test_an_empty_current_and_other_things_stay() -> None:
    harness = world()
    moved = throw(harness, "/w/g")
    restore(harness, moved)
    harness.delete(f"{CURRENT}/w")
    harness.mkdirs("/user/bob/.Trash/mine", user=BOB)
    harness.write("/user/bob/.Trash/200101000000", 1, user=BOB)  # a file is no checkpoint
    assert roll(harness, "bob", roll_ms=0) == 0
    assert harness.names("/user/bob/.Trash") == ["200101000000", "Current", "mine"]


def test_only_the_masters_roll_the_trash() -> None:
    harness = world()
    throw(harness, "/w/g")
    error = harness.refusal(ops.RollTrash, 0, 0, ("bob",), user=BOB)
    assert isinstance(error, AccessDenied)


def test_is_due_says_when_rolling_would_do_something() -> None:
    harness = world()
    tree = harness.namespace.tree
    assert trash.trash_of(tree, "bob") is None
    throw(harness, "/w/g")
    directory = trash.trash_of(tree, "bob")
    assert directory is not None
    now_ms = harness.now_ms
    assert not trash.is_due(tree, directory, now_ms + 99, 100, DAY_MS)
    assert trash.is_due(tree, directory, now_ms + 100, 100, DAY_MS)
    harness.now_ms += 100
    roll(harness, "bob", roll_ms=100)
    assert not trash.is_due(tree, directory, now_ms + DAY_MS, 100, DAY_MS)
    assert trash.is_due(tree, directory, now_ms + DAY_MS + 1000, 100, DAY_MS)


# ---- emptying


def test_emptying_deletes_current_and_all_checkpoints_of_the_caller() -> None:
    harness = world()
    throw(harness, "/w/d")
    roll(harness, "bob", roll_ms=0)
    throw(harness, "/w/g")
    harness.write("/w/a", 1)
    throw(harness, "/w/a", "alice:supergroup")
    harness.mkdirs("/user/bob/.Trash/mine", user=BOB)
    assert harness.run(ops.EmptyTrash, user=BOB).inodes == 4 + 3
    assert harness.names("/user/bob/.Trash") == ["mine"]
    assert sorted(harness.namespace.drain_freed()) == [1, 2]
    assert harness.run(ops.EmptyTrash, user=BOB).inodes == 0
    assert harness.names("/user/alice/.Trash/Current/w") == ["a"]
    assert harness.run(ops.EmptyTrash, user="nobody").inodes == 0


def test_a_file_in_the_place_of_current_is_none_of_it() -> None:
    harness = world()
    harness.mkdirs("/user/bob/.Trash")
    harness.write(CURRENT, 1)
    assert harness.run(ops.EmptyTrash, user=BOB).inodes == 0
    assert roll(harness, "bob", roll_ms=0) == 0
    assert harness.names("/user/bob/.Trash") == ["Current"]


def test_what_the_caller_may_not_delete_waits_until_it_expires() -> None:
    harness = world()
    harness.run(ops.SetMode, "/w/d", 0o777)
    harness.mkdirs("/w/d/carols", 0o700, user="carol")
    harness.write("/w/d/carols/f", 1, user="carol")
    throw(harness, "/w/d")
    assert isinstance(harness.refusal(ops.EmptyTrash, user=BOB), AccessDenied)
    roll(harness, "bob", roll_ms=0)
    throw(harness, "/w/g")
    assert harness.run(ops.EmptyTrash, user=BOB).inodes == 3  # Current, w, g
    assert harness.names("/user/bob/.Trash") == [stamp(harness.now_ms)]
    harness.now_ms += 2 * DAY_MS
    assert roll(harness, "bob") == 6


@pytest.mark.parametrize("expires", [False, True])
def test_much_at_once_only_leaves_its_place_and_waits_to_be_reclaimed(expires: bool) -> None:
    harness = world()
    for number in range(3):
        for file in range(RECLAIMED_AT_ONCE_MAX // 2):
            harness.mkdirs(f"/w/t{number}/{file}", user=BOB)
        throw(harness, f"/w/t{number}")
        roll(harness, "bob", roll_ms=0)
    throw(harness, "/w/g")
    inodes = len(harness.namespace.tree.table)
    harness.now_ms += 2 * DAY_MS
    count = 3 * (RECLAIMED_AT_ONCE_MAX // 2 + 3) + 3  # t and its parts, w, the checkpoint; Current
    if expires:
        assert roll(harness, "bob", roll_ms=9 * DAY_MS) == count - 3
    else:
        assert harness.run(ops.EmptyTrash, user=BOB).inodes == count
        assert harness.names("/user/bob/.Trash") == []
    tree = harness.namespace.tree
    assert len(tree.table) > inodes - RECLAIMED_AT_ONCE_MAX
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before
    harness.run(ops.Reclaim, 4096, user="root")
    assert len(harness.namespace.tree.table) == inodes - count + 3 * expires


def test_a_small_files_content_goes_with_the_trash() -> None:
    harness = world()
    fields = ("/w/s", 3, MIB, 0, False, False, b"hello")
    harness.run(ops.CreateInline, *fields, user=BOB)
    throw(harness, "/w/s")
    assert harness.namespace.tree.inline.total_bytes == 5
    harness.run(ops.EmptyTrash, user=BOB)
    assert harness.namespace.tree.inline.total_bytes == 0

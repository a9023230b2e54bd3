"""Keys of files: who gets one, how long it lives, and when masters are told to forget it."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, CorruptionError, InvalidArgument, KeyNeeded, NotSupported
from pydfsnode.meta import ops, rows
from pydfsnode.meta.file_keys import SEAL_XATTR, TABLE_FILE_KEY, Forgetting
from pydfsnode.meta.sealing import (
    FILE,
    PLAIN,
    SEALED,
    chunk_seal_choice,
    key_of_chunk,
    seal_choice,
)
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import load_namespace
from tests.unit.meta.harness import Harness

KEY, OTHER = b"k" * 32, b"o" * 32
MIB = 1 << 20
LAYOUT = 3, MIB, 0, False, False


@pytest.fixture
def harness() -> Harness:
    made = Harness()
    made.run(ops.Mkdirs, "/f/d")
    made.run(ops.SetXattr, "/f", SEAL_XATTR, b"file")
    return made


def create(harness: Harness, path: str = "/f/a", key: bytes = KEY) -> int:
    """The id of the first chunk of a new closed file of one chunk."""
    view = harness.run(ops.CreateKeyed, path, *LAYOUT, key, ("c1",))
    chunk_id = harness.namespace.tree.open_files.rows[view.inode_id].chunk_id
    harness.run(ops.Complete, view.inode_id, ops.ChunkDone(chunk_id, 1, 5, 9), 0)
    return chunk_id


def keys(harness: Harness) -> list[bytes]:
    return [row.key for row in harness.namespace.tree.file_keys.keys.rows.values()]


def removed(harness: Harness) -> int:
    return harness.namespace.tree.file_keys.forgetting.removed


def test_a_file_gets_the_key_that_was_drawn_for_it(harness: Harness) -> None:
    tree = harness.namespace.tree
    chunk_id = create(harness)
    assert key_of_chunk(tree, chunk_id) == KEY
    assert chunk_seal_choice(tree, chunk_id) == FILE
    harness.run(ops.CreateKeyed, "/f/d/inline", *LAYOUT, OTHER, (), b"in")
    assert keys(harness) == [KEY, OTHER]
    view = harness.run(ops.CreateKeyed, "/f/open", *LAYOUT, b"p" * 32)
    assert view.under_construction
    allocated = harness.run(ops.AllocateChunk, view.inode_id, None, 0, ("c1",))
    assert key_of_chunk(tree, allocated.chunk_id) == b"p" * 32
    assert key_of_chunk(tree, 99) is None


def test_no_file_is_made_there_without_a_key_and_it_may_be_asked_again(harness: Harness) -> None:
    for kind, more in (
        (ops.Create, ()), (ops.CreateInline, (b"x",)), (ops.CreateChunked, (("c1",),)),
    ):  # fmt: skip
        assert isinstance(harness.refusal(kind, "/f/d/a", *LAYOUT, *more), KeyNeeded)
    namespace = harness.namespace
    late = ops.Create(77, 1, 1, 1, "root", "/f/a", *LAYOUT)
    namespace.apply(late, namespace.applied_index + 1)
    again = ops.CreateKeyed(77, 1, 1, 1, "root", "/f/a", *LAYOUT, KEY)
    namespace.apply(again, namespace.applied_index + 1)
    assert keys(harness) == [KEY]


def test_where_no_directory_wants_one_it_is_not_used(harness: Harness) -> None:
    tree = harness.namespace.tree
    harness.run(ops.CreateKeyed, "/plain", *LAYOUT, KEY)
    harness.run(ops.SetXattr, "/f/d", SEAL_XATTR, b"off")
    harness.run(ops.CreateKeyed, "/f/d/plain", *LAYOUT, KEY)
    assert keys(harness) == []
    assert seal_choice(tree, tree.walk("/f/d/plain", tree.caller("root"))) == PLAIN
    for key in (b"", KEY[:31]):
        refused = harness.refusal(ops.CreateKeyed, "/f/x", *LAYOUT, key)
        assert isinstance(refused, InvalidArgument)


def test_a_file_from_elsewhere_has_none_and_one_that_leaves_keeps_it(harness: Harness) -> None:
    tree = harness.namespace.tree
    harness.run(ops.Create, "/before", *LAYOUT)
    moved = harness.run(ops.Rename, "/before", "/f/before")
    assert seal_choice(tree, tree.table.get(moved.inode_id)) == SEALED
    chunk_id = create(harness)
    harness.run(ops.Rename, "/f/a", "/a")
    assert chunk_seal_choice(tree, chunk_id) == FILE
    harness.run(ops.Append, "/a")
    assert keys(harness) == [KEY]


def test_the_key_goes_with_the_last_name(harness: Harness) -> None:
    create(harness)
    harness.run(ops.Delete, "/f/a", False)
    assert (keys(harness), removed(harness)) == ([], 1)
    create(harness)
    harness.run(ops.CreateKeyed, "/f/a", 3, MIB, 0, True, False, OTHER)  # in its place
    assert (keys(harness), removed(harness)) == ([OTHER], 2)
    harness.run(ops.MoveToTrash, "/f/a")
    assert keys(harness) == [OTHER]
    harness.run(ops.EmptyTrash)
    assert (keys(harness), removed(harness)) == ([], 3)


def test_a_snapshot_keeps_it(harness: Harness) -> None:
    tree = harness.namespace.tree
    chunk_id = create(harness)
    harness.run(ops.CreateSnapshot, "/f", "s")
    harness.run(ops.CreateSnapshot, "/f", "t")
    harness.run(ops.Delete, "/f/a", False)
    harness.run(ops.DeleteSnapshot, "/f", "t")
    assert (keys(harness), key_of_chunk(tree, chunk_id)) == ([KEY], KEY)
    assert chunk_seal_choice(tree, chunk_id) == FILE
    harness.run(ops.DeleteSnapshot, "/f", "s")
    assert (keys(harness), removed(harness)) == ([], 1)


def test_what_only_a_snapshot_saw_of_a_file_that_is_there_takes_no_key_away(
    harness: Harness,
) -> None:
    create(harness)
    harness.run(ops.CreateSnapshot, "/f", "s")
    harness.run(ops.Truncate, "/f/a", 0)
    harness.run(ops.DeleteSnapshot, "/f", "s")
    assert keys(harness) == [KEY]


def test_chunks_of_such_files_are_not_joined(harness: Harness) -> None:
    create(harness)
    create(harness, "/f/b", OTHER)
    refused = harness.refusal(ops.Concat, "/f/a", ("/f/b",))
    assert isinstance(refused, NotSupported)
    assert "key of its own" in refused.message


def test_an_order_covers_what_was_removed_before_it(harness: Harness) -> None:
    found = harness.namespace.tree.file_keys
    create(harness)
    harness.run(ops.Delete, "/f/a", False)
    since_ms = found.forgetting.since_ms
    assert since_ms
    for order in (0, 2, -1):
        assert isinstance(harness.refusal(ops.ForgetKeys, order), InvalidArgument)
    assert isinstance(harness.refusal(ops.ForgetKeys, 1, user="eve"), AccessDenied)
    harness.run(ops.ForgetKeys, 1)
    ordered = found.forgetting
    assert ordered == Forgetting(1, 0, 1, 1, harness.namespace.tree.clock_ms)
    harness.run(ops.ForgetKeys, 1)  # told twice
    assert found.forgetting == ordered
    create(harness)
    harness.run(ops.Delete, "/f/a", False)
    assert (found.forgetting.removed, found.forgetting.covered) == (2, 1)
    assert found.forgetting.since_ms >= since_ms


def test_orders_are_given_in_safe_mode_too(harness: Harness) -> None:
    harness.run(ops.SetSafeMode, True)
    harness.run(ops.ForgetKeys, 1)
    assert harness.namespace.tree.file_keys.forgetting.orders == 1


def stored(namespace: Namespace) -> list[rows.Row]:
    return [row for row in namespace.drain_rows() if row[2] is not None]


def test_all_of_it_is_there_after_a_restart(harness: Harness) -> None:
    chunk_id = create(harness)
    create(harness, "/f/b", OTHER)
    harness.run(ops.Delete, "/f/b", False)
    again = load_namespace(stored(harness.namespace))
    assert again.tree.file_keys.forgetting == harness.namespace.tree.file_keys.forgetting
    assert again.tree.file_keys.keyed_directories == 1
    assert key_of_chunk(again.tree, chunk_id) == KEY
    assert again.state_hash() == harness.namespace.state_hash()


def test_a_key_of_no_file_is_damage(harness: Harness) -> None:
    create(harness)
    held = stored(harness.namespace)
    value = next(value for table, _, value in held if table == TABLE_FILE_KEY)
    with pytest.raises(CorruptionError, match="belongs to no file"):
        load_namespace([*held, (TABLE_FILE_KEY, rows.KEY.pack(99), value)])


def test_a_key_is_never_shown(harness: Harness) -> None:
    create(harness)
    op = ops.CreateKeyed(1, 1, 1, 1, "root", "/f/x", *LAYOUT, KEY)
    assert "kkk" not in repr(op) + repr(harness.namespace.tree.file_keys.keys.rows)

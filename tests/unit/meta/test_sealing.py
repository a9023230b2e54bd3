"""Which directory says whether the chunks of a file are sealed; the keys for it."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.sealing import BY_DEFAULT, PLAIN, SEAL_XATTR, SEALED, seal_choice
from tests.unit.meta.harness import Harness

KEY = b"k" * 32


@pytest.fixture
def harness() -> Harness:
    made = Harness()
    made.run(ops.Mkdirs, "/a/b/c", 0o755)
    return made


def choice(harness: Harness, path: str) -> int:
    """Of what lies at *path*."""
    tree = harness.namespace.tree
    return seal_choice(tree, tree.walk(path, tree.caller("root")))


def test_the_nearest_directory_decides(harness: Harness) -> None:
    assert choice(harness, "/a/b/c") == BY_DEFAULT
    harness.run(ops.SetXattr, "/", SEAL_XATTR, b"on")
    assert choice(harness, "/a/b/c") == SEALED
    harness.run(ops.SetXattr, "/a/b", SEAL_XATTR, b"off")
    assert [choice(harness, path) for path in ("/a", "/a/b", "/a/b/c")] == [SEALED, PLAIN, PLAIN]
    harness.run(ops.SetXattr, "/a/b", SEAL_XATTR, b"perhaps")
    assert choice(harness, "/a/b/c") == SEALED
    harness.run(ops.Rename, "/a/b", "/b")
    harness.run(ops.RemoveXattr, "/", SEAL_XATTR)
    assert choice(harness, "/b/c") == BY_DEFAULT


def test_a_file_has_no_choice_and_what_is_gone_has_none(harness: Harness) -> None:
    harness.run(ops.Create, "/a/f", 3, 1 << 20)
    harness.run(ops.SetXattr, "/a/f", SEAL_XATTR, b"off")
    assert choice(harness, "/a/f") == BY_DEFAULT
    assert seal_choice(harness.namespace.tree, None) == BY_DEFAULT


def test_only_superusers_choose(harness: Harness) -> None:
    harness.run(ops.SetMode, "/a", 0o777)
    refused = harness.refusal(ops.SetXattr, "/a", SEAL_XATTR, b"off", user="eve")
    assert isinstance(refused, AccessDenied)


def test_keys_are_added_one_after_the_other_and_never_replaced(harness: Harness) -> None:
    found = harness.namespace.tree.administration
    assert found.chunk_key_epoch == 0
    harness.run(ops.AddChunkKey, 1, KEY)
    harness.run(ops.AddChunkKey, 1, b"x" * 32)
    harness.run(ops.AddChunkKey, 2, b"l" * 32)
    assert found.chunk_keys == {1: KEY, 2: b"l" * 32}
    assert found.chunk_key_epoch == 2
    for fields in ((0, KEY), (4, KEY), (-1, KEY), (3, KEY[:31]), (3, b"")):
        assert isinstance(harness.refusal(ops.AddChunkKey, *fields), InvalidArgument)
    assert isinstance(harness.refusal(ops.AddChunkKey, 3, KEY, user="eve"), AccessDenied)


def test_old_keys_are_dropped_and_the_newest_never(harness: Harness) -> None:
    found = harness.namespace.tree.administration
    for epoch in (1, 2, 3):
        harness.run(ops.AddChunkKey, epoch, KEY)
    harness.run(ops.DropChunkKeys, 2)
    assert sorted(found.chunk_keys) == [2, 3]
    harness.run(ops.DropChunkKeys, 3)
    harness.run(ops.DropChunkKeys, 3)
    assert (sorted(found.chunk_keys), found.chunk_key_epoch) == ([3], 3)
    harness.run(ops.AddChunkKey, 2, KEY)  # told late: it does not come back
    assert sorted(found.chunk_keys) == [3]
    for below in (0, -1, 4):
        assert isinstance(harness.refusal(ops.DropChunkKeys, below), InvalidArgument)
    assert isinstance(harness.refusal(ops.DropChunkKeys, 3, user="eve"), AccessDenied)


def test_keys_are_added_in_safe_mode_too(harness: Harness) -> None:
    harness.run(ops.SetSafeMode, True)
    harness.run(ops.AddChunkKey, 1, KEY)
    assert harness.namespace.tree.administration.chunk_key_epoch == 1


def test_a_key_is_never_shown(harness: Harness) -> None:
    harness.run(ops.AddChunkKey, 1, KEY)
    op = ops.AddChunkKey(1, 1, 1, 1, "root", 1, KEY)
    assert "kkk" not in repr(op) + repr(harness.namespace.tree.administration.tables[-1].rows)

"""Extended attributes: names, flags, bounds, and who may."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    NotFound,
    NotSupported,
    PydfsError,
)
from pydfsnode.meta import ops
from pydfsnode.meta.attributes import get_xattrs
from pydfsnode.meta.inodes import HAS_ACL, HAS_EXTRAS

from .attribute_steps import a_tree, acl_of, reload
from .harness import Harness


def xattrs(harness: Harness, path: str = "/ann/f", user: str = "root") -> dict[str, bytes]:
    return get_xattrs(harness.namespace, path, harness.namespace.tree.caller(user))


def test_what_was_set_is_read_in_order_of_the_names() -> None:
    harness = a_tree()
    for name, value in [("user.b", b"\0\xff"), ("user.a", b""), ("user.é", b"1"), ("user.b", b"2")]:
        harness.run(ops.SetXattr, "/ann/f", name, value, user="ann")
    assert list(xattrs(harness).items()) == [("user.a", b""), ("user.b", b"2"), ("user.é", b"1")]
    reload(harness)
    assert xattrs(harness) == {"user.a": b"", "user.b": b"2", "user.é": b"1"}


def test_the_order_of_the_changes_leaves_no_trace() -> None:
    hashes = set()
    for names in (("user.a", "user.b"), ("user.b", "user.a")):
        harness = a_tree()
        for name in names:
            harness.run(ops.SetXattr, "/ann/f", name, b"1", user="ann")
        hashes.add(harness.namespace.state_hash())
    assert len(hashes) == 1


def test_the_last_one_removed_leaves_nothing() -> None:
    harness = a_tree()
    before = harness.namespace.tree.table.encode(harness.stat("/ann/d").inode_id)
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"1", user="ann")
    inode = harness.namespace.tree.walk("/ann/f", harness.namespace.tree.caller("root"))
    assert inode.flags & HAS_EXTRAS
    harness.run(ops.RemoveXattr, "/ann/f", "user.a", user="ann")
    assert not inode.flags & (HAS_EXTRAS | HAS_ACL)
    assert harness.namespace.tree.extras.rows == {}
    assert harness.namespace.tree.table.encode(harness.stat("/ann/d").inode_id) == before
    error = harness.refusal(ops.RemoveXattr, "/ann/f", "user.a", user="ann")
    assert type(error) is NotFound
    assert "user.a" in str(error)


def test_removing_one_moves_ctime_and_keeps_the_rest() -> None:
    harness = a_tree()
    harness.run(ops.SetAcl, "/ann/f", ("user:bob:r--",), "modify", user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"1", user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.b", b"2", user="ann")
    before = acl_of(harness, "/ann/f")
    harness.now_ms += 50
    view = harness.run(ops.RemoveXattr, "/ann/f", "user.a", user="ann")
    assert view.ctime_ms == harness.now_ms > view.mtime_ms
    assert xattrs(harness) == {"user.b": b"2"}
    assert acl_of(harness, "/ann/f") == before
    assert view.has_acl


@pytest.mark.parametrize(
    ("exists", "create", "replace", "error"),
    [
        (False, False, False, None),
        (True, False, False, None),
        (False, True, False, None),
        (True, True, False, AlreadyExists),
        (False, False, True, NotFound),
        (True, False, True, None),
        (False, True, True, None),
        (True, True, True, None),
    ],
)
def test_create_and_replace(
    exists: bool, create: bool, replace: bool, error: type[PydfsError] | None
) -> None:
    harness = a_tree()
    if exists:
        harness.run(ops.SetXattr, "/ann/f", "user.a", b"old", user="ann")
    fields = ("/ann/f", "user.a", b"new", create, replace)
    if error is None:
        harness.run(ops.SetXattr, *fields, user="ann")
        assert xattrs(harness) == {"user.a": b"new"}
    else:
        assert type(harness.refusal(ops.SetXattr, *fields, user="ann")) is error


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("a", NotSupported),
        ("", NotSupported),
        ("User.a", NotSupported),
        ("system.posix_acl_access", NotSupported),
        ("security.selinux", NotSupported),
        ("raw.hdfs.crypto", NotSupported),
        ("user", NotSupported),
        ("user.", InvalidArgument),
        ("trusted.", InvalidArgument),
        ("user.a\0b", InvalidArgument),
        ("user." + "a" * 251, InvalidArgument),
        ("user." + "é" * 126, InvalidArgument),
    ],
)
def test_names_that_are_not_supported_are_refused(name: str, error: type[PydfsError]) -> None:
    harness = a_tree()
    for refusal in (
        harness.refusal(ops.SetXattr, "/ann/f", name, b"1", user="root"),
        harness.refusal(ops.RemoveXattr, "/ann/f", name, user="root"),
    ):
        assert type(refusal) is error
        assert refusal.fields["path"] == "/ann/f"
        assert "'user.'" in str(refusal) or "'trusted.'" in str(refusal)


def test_the_longest_name_is_taken() -> None:
    harness = a_tree()
    name = "user." + "é" * 125
    harness.run(ops.SetXattr, "/ann/f", name, b"1", user="ann")
    assert xattrs(harness) == {name: b"1"}


def test_one_inode_has_a_bounded_number_of_them() -> None:
    harness = a_tree()
    for number in range(limits.XATTRS_MAX):
        harness.run(ops.SetXattr, "/ann/f", f"user.{number}", b"1", user="ann")
    error = harness.refusal(ops.SetXattr, "/ann/f", "user.more", b"1", user="root")
    assert type(error) is InvalidArgument
    assert str(limits.XATTRS_MAX) in str(error)
    harness.run(ops.SetXattr, "/ann/f", "user.0", b"2", user="ann")
    harness.run(ops.RemoveXattr, "/ann/f", "user.0", user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.more", b"1", user="ann")


def test_their_names_and_values_have_a_bounded_size_together() -> None:
    harness = a_tree()
    most = limits.XATTR_BYTES_MAX
    harness.run(ops.SetXattr, "/ann/f", "user.a", bytes(most - 6), user="ann")
    error = harness.refusal(ops.SetXattr, "/ann/f", "user.a", bytes(most - 5), user="ann")
    assert type(error) is InvalidArgument
    assert str(most) in str(error)
    assert type(harness.refusal(ops.SetXattr, "/ann/f", "user.b", b"", user="ann")) is (
        InvalidArgument
    )
    harness.run(ops.SetXattr, "/ann/f", "user.a", bytes(most - 12), user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.b", b"", user="ann")


# ---- who may


def test_user_attributes_need_write_to_change_and_read_to_see() -> None:
    harness = a_tree()
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"1", user="ann")
    assert xattrs(harness, user="bob") == {"user.a": b"1"}
    for kind, fields in ((ops.SetXattr, ("user.a", b"2")), (ops.RemoveXattr, ("user.a",))):
        assert type(harness.refusal(kind, "/ann/f", *fields, user="bob")) is AccessDenied
    harness.run(ops.SetMode, "/ann/f", 0o602, user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"2", user="bob")
    with pytest.raises(AccessDenied, match="access=READ"):
        xattrs(harness, user="bob")
    harness.run(ops.RemoveXattr, "/ann/f", "user.a", user="bob")


def test_in_a_sticky_directory_they_are_the_owners() -> None:
    harness = a_tree()
    harness.run(ops.SetMode, "/ann/d", 0o1777, user="ann")
    error = harness.refusal(ops.SetXattr, "/ann/d", "user.a", b"1", user="bob")
    assert type(error) is AccessDenied
    harness.run(ops.SetXattr, "/ann/d", "user.a", b"1", user="ann")
    # The sticky bit means nothing on a file.
    harness.run(ops.SetMode, "/ann/f", 0o1666, user="ann")
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"1", user="bob")


def test_trusted_attributes_are_for_superusers() -> None:
    harness = a_tree()
    harness.run(ops.SetXattr, "/ann/f", "trusted.a", b"1", user="sam:supergroup")
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"2", user="ann")
    for kind, fields in ((ops.SetXattr, ("trusted.a", b"2")), (ops.RemoveXattr, ("trusted.a",))):
        error = harness.refusal(kind, "/ann/f", *fields, user="ann")
        assert type(error) is AccessDenied
        assert "trusted.a" in str(error)
    assert xattrs(harness, user="ann") == {"user.a": b"2"}
    assert xattrs(harness, user="root") == {"trusted.a": b"1", "user.a": b"2"}
    harness.run(ops.RemoveXattr, "/ann/f", "trusted.a", user="root")


def test_an_inode_that_is_deleted_takes_them_along() -> None:
    harness = a_tree()
    harness.run(ops.SetXattr, "/ann/f", "user.a", b"1", user="ann")
    harness.delete("/ann/f")
    assert harness.namespace.tree.extras.rows == {}
    harness.write("/ann/f", user="ann")
    assert xattrs(harness) == {}

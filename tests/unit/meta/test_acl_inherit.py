"""Default ACLs: what new files and directories get from the directory they are made in."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied
from pydfsnode.meta import acl, ops, queries
from pydfsnode.meta.attributes import AclView
from pydfsnode.meta.inodes import Extras

from .attribute_steps import a_tree, acl_of, reload
from .harness import Harness


def a_tree_with(*default: str) -> Harness:
    """/ann/d has this default ACL."""
    harness = a_tree()
    entries = tuple(f"default:{entry}" for entry in default)
    harness.run(ops.SetAcl, "/ann/d", entries, "modify", user="ann")
    return harness


DEFAULT = ("user::rwx", "user:bob:rwx", "group::r-x", "mask::rwx", "other::r--")


@pytest.mark.parametrize(
    ("mode", "entries"),
    [
        (0o777, ("user::rwx", "user:bob:rwx", "group::r-x", "mask::rwx", "other::r--")),
        (0o640, ("user::rw-", "user:bob:rwx", "group::r-x", "mask::r--", "other::---")),
        (0o1070, ("user::---", "user:bob:rwx", "group::r-x", "mask::rwx", "other::---")),
    ],
)
def test_the_default_acl_becomes_a_files_own_as_far_as_the_mode_grants(
    mode: int, entries: tuple[str, ...]
) -> None:
    harness = a_tree_with(*DEFAULT)
    harness.write("/ann/d/f", mode=mode, user="ann")
    view = acl_of(harness, "/ann/d/f")
    assert view.entries == entries
    assert view.default_entries == ()
    assert view.mode & 0o1000 == mode & 0o1000
    assert harness.stat("/ann/d/f").has_acl
    reload(harness)
    assert acl_of(harness, "/ann/d/f") == view


def test_a_directory_gets_it_twice_and_hands_it_on() -> None:
    harness = a_tree_with(*DEFAULT)
    harness.mkdirs("/ann/d/a/b", 0o750, user="ann")
    default = tuple(f"default:{entry}" for entry in DEFAULT)
    entries = ("user::rwx", "user:bob:rwx", "group::r-x", "mask::r-x", "other::---")
    assert acl_of(harness, "/ann/d/a/b") == AclView("ann", "staff", 0o750, entries, default)
    assert acl_of(harness, "/ann/d/a").default_entries == default
    caller = harness.namespace.tree.caller("bob")
    assert queries.list_directory(harness.namespace, "/ann/d/a/b", caller).entries == []
    with pytest.raises(AccessDenied):
        queries.list_directory(
            harness.namespace, "/ann/d/a/b", harness.namespace.tree.caller("eve")
        )


def test_one_without_names_only_narrows_the_mode() -> None:
    harness = a_tree_with("user::rw-", "group::r--", "other::---")
    assert harness.write("/ann/d/f", mode=0o777, user="ann").mode == 0o640
    assert not harness.stat("/ann/d/f").has_acl
    made = harness.mkdirs("/ann/d/a", 0o777, user="ann")
    assert (made.mode, made.has_acl) == (0o640, True)
    assert acl_of(harness, "/ann/d/a").entries == ("user::rw-", "group::r--", "other::---")


def test_what_is_moved_in_keeps_what_it_has() -> None:
    harness = a_tree_with(*DEFAULT)
    before = acl_of(harness, "/ann/f")
    harness.rename("/ann/f", "/ann/d/f")
    assert acl_of(harness, "/ann/d/f") == before


def test_an_access_acl_alone_is_not_inherited() -> None:
    harness = a_tree()
    harness.run(ops.SetAcl, "/ann/d", ("user:bob:rwx",), "modify", user="ann")
    assert not harness.mkdirs("/ann/d/a", 0o755, user="ann").has_acl
    extras = Extras(acl=("user:bob:rwx", "group::r-x"), names_max=3)
    assert acl.inherit(extras, 0o640, is_directory=True) == (0o640, None)


def test_quotas_and_extended_attributes_are_not_inherited() -> None:
    harness = a_tree_with(*DEFAULT)
    harness.run(ops.SetQuota, "/ann/d", 10, 0, user="root")
    harness.run(ops.SetXattr, "/ann/d", "user.a", b"1", user="ann")
    inode_id = harness.mkdirs("/ann/d/a", user="ann").inode_id
    extras = harness.namespace.tree.extras.rows[inode_id]
    assert (extras.xattrs, extras.names_max) == ({}, 0)

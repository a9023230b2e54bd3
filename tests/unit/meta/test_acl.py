"""ACLs: what changes come out to, the mask, the mode, who may change them."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import acl, ops
from pydfsnode.meta.inodes import HAS_ACL, HAS_EXTRAS
from pydfsnode.meta.ops.set_acl import SetAcl

from .attribute_steps import a_tree, acl_of, reload
from .harness import Harness


def shown(harness: Harness, path: str = "/ann/d") -> str:
    """All entries, those of a default ACL in brackets, with u, g, m, o for the kinds."""
    view = acl_of(harness, path)
    default = [entry.removeprefix("default:") for entry in view.default_entries]
    return short(view.entries) + (f" [{short(default)}]" if default else "")


def short(entries: tuple[str, ...] | list[str]) -> str:
    return " ".join(
        kind[0] + (f"({name})" if name else "") + f":{letters}"
        for kind, name, letters in (entry.split(":") for entry in entries)
    )


def full(text: str) -> tuple[str, ...]:
    """Entries from their short form: "u:rwx d:g(eng):r--"."""
    kinds = {"u": "user", "g": "group", "m": "mask", "o": "other"}
    entries = []
    for part in text.split():
        key, _, letters = part.removeprefix("d:").rpartition(":")
        kind, _, name = key.rstrip(")").partition("(")
        default = "default:" if part.startswith("d:") else ""
        entries.append(f"{default}{kinds[kind]}:{name}:{letters}")
    return tuple(entries)


BASE = "u:rwx g:r-x o:r-x"  # what /ann/d begins with
NAMED = "u:rwx u(bob):rwx g:r-x m:rwx o:r-x"


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        # A mask is made of what group and named entries have together.
        ([("modify", "u(bob):-w-")], "u:rwx u(bob):-w- g:r-x m:rwx o:r-x"),
        ([("modify", "g(eng):r--")], "u:rwx g:r-x g(eng):r-- m:r-x o:r-x"),
        ([("modify", "u(bob):rwx"), ("modify", "g:---")], "u:rwx u(bob):rwx g:--- m:rwx o:r-x"),
        ([("modify", "u(bob):rwx"), ("modify", "u(bob):r--")],
         "u:rwx u(bob):r-- g:r-x m:r-x o:r-x"),
        # Unless it is given; and then it stays until an entry changes.
        ([("modify", "u(bob):rwx m:r--")], "u:rwx u(bob):rwx g:r-x m:r-- o:r-x"),
        ([("modify", "u(bob):rwx"), ("modify", "m:---")], "u:rwx u(bob):rwx g:r-x m:--- o:r-x"),
        (
            [("modify", "u(bob):rwx m:r--"), ("modify", "d:u(x):r--")],
            "u:rwx u(bob):rwx g:r-x m:r-- o:r-x [u:rwx u(x):r-- g:r-x m:r-x o:r-x]",
        ),
        ([("modify", "u(bob):rwx m:r--"), ("modify", "o:---")], NAMED[:-3] + "---"),
        # One without names can have one too; it is no minimal ACL then.
        ([("modify", "m:r--")], "u:rwx g:r-x m:r-- o:r-x"),
        ([("modify", "m:r--"), ("modify", "g:-wx")], "u:rwx g:-wx o:r-x"),
        # The base alone is the mode.
        ([("modify", "u:r-x g:-w- o:---")], "u:r-x g:-w- o:---"),
        ([("set", "u:r-x g:-w- o:---")], "u:r-x g:-w- o:---"),
        # Order and names: whatever is asked, it is written in one way.
        (
            [("modify", "o:--- g(b):r-- u(b):r-- g(a):r-- u(a):r--")],
            "u:rwx u(a):r-- u(b):r-- g:r-x g(a):r-- g(b):r-- m:r-x o:---",
        ),
        ([("modify", "u(é):r-- u(z):r-- u(Z):r--")],
         "u:rwx u(Z):r-- u(z):r-- u(é):r-- g:r-x m:r-x o:r-x"),
        # Set replaces what it names: access, default or both.
        ([("modify", "u(bob):rwx"), ("set", "u:r-- g:r-- o:--- u(eve):rw-")],
         "u:r-- u(eve):rw- g:r-- m:rw- o:---"),
        ([("modify", "u(bob):rwx"), ("set", "d:u(x):r--")],
         NAMED + " [u:rwx u(x):r-- g:r-x m:r-x o:r-x]"),
        ([("modify", "d:u(x):r--"), ("set", "u:rwx g:--- o:---")],
         "u:rwx g:--- o:--- [u:rwx u(x):r-- g:r-x m:r-x o:r-x]"),
        ([("modify", "d:u(x):r-- u(bob):r--"), ("set", "u:rwx g:--- o:--- d:g(y):rwx")],
         "u:rwx g:--- o:--- [u:rwx g:--- g(y):rwx m:rwx o:---]"),
        # The base of a default ACL is that of the access ACL, its group the one behind the mask.
        ([("modify", "d:u(x):-w-")], BASE + " [u:rwx u(x):-w- g:r-x m:rwx o:r-x]"),
        ([("modify", "d:o:---")], BASE + " [u:rwx g:r-x o:---]"),
        ([("modify", "u(bob):rwx m:---"), ("modify", "d:o:r--")],
         "u:rwx u(bob):rwx g:r-x m:--- o:r-x [u:rwx g:r-x o:r--]"),
        ([("modify", "d:o:---"), ("modify", "u:r-- g:r-- o:r--")],
         "u:r-- g:r-- o:r-- [u:rwx g:r-x o:---]"),
        # Removing.
        ([("modify", "u(bob):rwx"), ("remove", "u(bob):---")], BASE),
        ([("modify", "u(bob):rwx u(eve):-w-"), ("remove", "u(bob):rwx")],
         "u:rwx u(eve):-w- g:r-x m:rwx o:r-x"),
        ([("modify", "u(bob):rwx m:r--"), ("remove", "u(nobody):rwx")],
         "u:rwx u(bob):rwx g:r-x m:r-- o:r-x"),
        ([("modify", "u(bob):rwx u(eve):r-- m:---"), ("remove", "u(bob):rwx")],
         "u:rwx u(eve):r-- g:r-x m:r-x o:r-x"),
        ([("modify", "m:r--"), ("remove", "m:---")], BASE),
        ([("modify", "u(bob):rwx"), ("remove", "u(bob):--- m:---")], BASE),
        ([("modify", "d:u(x):r--"), ("remove", "d:u(x):---")], BASE + " [u:rwx g:r-x o:r-x]"),
        ([("modify", "d:u(x):r-- d:g:---"), ("remove", "d:g:---")],
         BASE + " [u:rwx u(x):r-- g:r-x m:r-x o:r-x]"),
        ([("modify", "d:o:---"), ("remove", "d:u:--- d:g:--- d:o:---")], BASE),
        ([("modify", "u(bob):rwx d:u(x):r--"), ("remove_default", "")], NAMED),
        ([("modify", "u(bob):rwx m:--- d:u(x):r--"), ("remove_all", "")], BASE),
        ([("remove_all", "")], BASE),
        ([("remove_default", "")], BASE),
    ],
)  # fmt: skip
def test_a_change_comes_out_as_in_hdfs(steps: list[tuple[str, str]], result: str) -> None:
    harness = a_tree()
    for change, entries in steps:
        harness.run(ops.SetAcl, "/ann/d", full(entries), change, user="ann")
    assert shown(harness) == result
    view = harness.stat("/ann/d")
    access, default = result.split(" [")[0], "[" in result
    assert view.has_acl == (" m:" in access or default)
    assert acl_of(harness, "/ann/d").mode == view.mode
    by_kind = dict(entry.rsplit(":", 1) for entry in access.split())
    group_class = by_kind.get("m", by_kind["g"])
    letters = by_kind["u"] + group_class + by_kind["o"]
    bits = "".join("0" if letter == "-" else "1" for letter in letters)
    assert view.mode == int(bits, 2)
    reload(harness)
    assert shown(harness) == result
    # What is shown can be set again and changes nothing.
    again = acl_of(harness, "/ann/d")
    harness.run(ops.SetAcl, "/ann/d", again.entries + again.default_entries, "set", user="ann")
    assert acl_of(harness, "/ann/d") == again


@pytest.mark.parametrize(
    ("change", "entries", "said"),
    [
        ("modify", ("user:bob:rwx:",), "KIND:NAME"),
        ("modify", ("user:bob",), "KIND:NAME"),
        ("modify", ("user:bob:",), "KIND:NAME"),
        ("modify", ("user:bob:rw",), "KIND:NAME"),
        ("modify", ("user:bob:7",), "KIND:NAME"),
        ("modify", ("user:bob:wrx",), "KIND:NAME"),
        ("modify", ("user:bob:RWX",), "KIND:NAME"),
        ("modify", ("",), "KIND:NAME"),
        ("modify", ("rwx",), "user:, group:"),
        ("modify", ("users:bob:rwx",), "user:, group:"),
        ("modify", ("default:rwx",), "user:, group:"),
        ("modify", ("default:default:user:bob:rwx",), "user:, group:"),
        ("modify", ("user:a:b:rwx",), "no name"),
        ("modify", ("user:a,b:rwx",), "no name"),
        ("modify", ("group:" + "é" * 128 + ":rwx",), "no name"),
        ("modify", ("mask:bob:rwx",), "without a name"),
        ("modify", ("default:other:bob:rwx",), "without a name"),
        ("modify", ("user:bob:rwx", "user:bob:r--"), "two entries"),
        ("modify", (), "0 entries"),
        ("set", (), "0 entries"),
        ("remove", (), "0 entries"),
        ("set", ("user::rwx", "group::rwx"), "needed"),
        ("set", ("user:bob:rwx",), "needed"),
        ("remove", ("user:",), "needed"),
        ("remove", ("other::",), "needed"),
        ("remove", ("user",), "user:, group:"),
        ("remove", ("user:bob:rwx:x",), "no name"),
        ("remove_all", ("user:bob:rwx",), "no entries"),
        ("remove_default", ("user:bob:rwx",), "no entries"),
        ("replace", ("user:bob:rwx",), "no change 'replace'"),
        ("", (), "no change"),
    ],
)
def test_what_is_no_acl_is_refused(change: str, entries: tuple[str, ...], said: str) -> None:
    error = a_tree().refusal(ops.SetAcl, "/ann/d", entries, change, user="ann")
    assert type(error) is InvalidArgument
    assert said in str(error)
    assert "'/ann/d'" in str(error)
    assert error.fields == {"path": "/ann/d"}


def test_the_mask_stays_as_long_as_it_is_needed() -> None:
    harness = a_tree()
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx d:u(bob):rwx"), "modify", user="ann")
    for entry in ("mask:", "default:mask::"):
        error = harness.refusal(ops.SetAcl, "/ann/d", (entry,), "remove", user="ann")
        assert type(error) is InvalidArgument
        assert "mask is needed" in str(error)


def test_entries_to_remove_need_no_permissions() -> None:
    for entry in ("user:rwx", "user:rwx:", "user:rwx:r--"):
        harness = a_tree()
        entries = ("user:rwx:r-x", "default:user:rwx:r-x")
        harness.run(ops.SetAcl, "/ann/d", entries, "modify", user="ann")
        entries = (entry, f"default:{entry}")
        harness.run(ops.SetAcl, "/ann/d", entries, "remove", user="ann")
        assert shown(harness) == BASE + " [u:rwx g:r-x o:r-x]"


def test_only_directories_have_default_acls() -> None:
    error = a_tree().refusal(ops.SetAcl, "/ann/f", full("d:u(bob):r--"), "modify", user="ann")
    assert type(error) is InvalidArgument
    assert "only directories" in str(error)


def test_their_number_is_bounded() -> None:
    harness = a_tree()
    most = limits.ACL_ENTRIES_MAX
    for prefix in ("", "default:"):
        entries = tuple(f"{prefix}user:{number}:r--" for number in range(most - 4))
        harness.run(ops.SetAcl, "/ann/d", entries, "modify", user="ann")
        error = harness.refusal(
            ops.SetAcl, "/ann/d", (f"{prefix}user:more:r--",), "modify", user="ann"
        )
        assert type(error) is InvalidArgument
        assert f"{most + 1}" in str(error)
    entries = tuple(f"user:{number}:r--" for number in range(2 * most + 1))
    assert type(harness.refusal(ops.SetAcl, "/ann/d", entries, "set")) is InvalidArgument


def test_an_acl_is_its_owners_to_change() -> None:
    harness = a_tree()
    entries = ("user:bob:rwx",)
    harness.run(ops.SetAcl, "/ann/f", entries, "modify", user="ann")
    error = harness.refusal(ops.SetAcl, "/ann/f", entries, "modify", user="bob:staff")
    assert type(error) is AccessDenied
    harness.run(ops.SetAcl, "/ann/f", (), "remove_all", user="sam:supergroup")


def test_chmod_changes_the_mask_and_not_the_group() -> None:
    harness = a_tree()
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx"), "modify", user="ann")
    harness.run(ops.SetMode, "/ann/d", 0o741, user="ann")
    assert shown(harness) == "u:rwx u(bob):rwx g:r-x m:r-- o:--x"
    harness.run(ops.SetAcl, "/ann/d", (), "remove_all", user="ann")
    assert harness.stat("/ann/d").mode == 0o751


def test_the_bits_above_stay() -> None:
    harness = a_tree()
    harness.run(ops.SetMode, "/ann/d", 0o7755, user="root")
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx"), "modify", user="ann")
    assert harness.stat("/ann/d").mode == 0o7775
    harness.run(ops.SetAcl, "/ann/d", (), "remove_all", user="ann")
    assert harness.stat("/ann/d").mode == 0o7755


def test_without_an_acl_nothing_is_kept() -> None:
    harness = a_tree()
    tree = harness.namespace.tree
    directory = tree.walk("/ann/d", tree.caller("root"))
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx d:u(x):rwx"), "modify", user="ann")
    assert directory.flags & HAS_ACL
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx"), "remove", user="ann")
    assert directory.flags & HAS_ACL, "the default ACL is shown with a + too"
    harness.run(ops.SetAcl, "/ann/d", (), "remove_default", user="ann")
    assert not directory.flags & (HAS_ACL | HAS_EXTRAS)
    assert tree.extras.rows == {}


def test_other_extras_outlive_an_acl() -> None:
    harness = a_tree()
    harness.run(ops.SetXattr, "/ann/d", "user.a", b"1", user="ann")
    harness.run(ops.SetQuota, "/ann/d", 9, 10, user="root")
    harness.run(ops.SetAcl, "/ann/d", full("u(bob):rwx"), "modify", user="ann")
    harness.run(ops.SetAcl, "/ann/d", (), "remove_all", user="ann")
    (extras,) = harness.namespace.tree.extras.rows.values()
    assert (extras.xattrs, extras.names_max, extras.bytes_max) == ({"user.a": b"1"}, 9, 10)
    assert harness.namespace.tree.quota_count == 1


def test_entries_lie_in_the_log_as_text() -> None:
    op = SetAcl(1, 1, 1, 0, "ann", "/d", ("user:bob:rwx",), "modify")
    harness = Harness()
    harness.mkdirs("/d")
    harness.run(ops.SetOwner, "/d", "ann", "")
    first = harness.apply(op)
    assert harness.apply(op) == first, "a retry is answered with the first outcome"


def test_reading_and_writing_are_each_others_inverse() -> None:
    for mode in (0o000, 0o640, 0o1777):
        assert acl.write(acl.read(mode, None), mode) == (mode, (), ())


def test_the_entries_of_the_mode_cannot_be_removed() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    for texts in (("user:", "group:", "other:"), ("group:",)):
        error = harness.refusal(ops.SetAcl, "/d", texts, "remove")
        assert isinstance(error, InvalidArgument)

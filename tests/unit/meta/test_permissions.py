"""Who may: every decision of mode bits and ACLs against a small oracle of POSIX 1003.1e."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from pydfsnode._fast import Inode
from pydfsnode.errors import AccessDenied, NotFound
from pydfsnode.meta import access, ops, queries
from pydfsnode.meta.caller import Caller, parse_caller
from pydfsnode.meta.inodes import HAS_ACL

from .harness import Harness

READ, WRITE, EXECUTE = access.READ, access.WRITE, access.EXECUTE

# The file is ann's, of the group staff. The callers, by what they are to it.
CALLERS = {
    "owner": "ann",
    "owner who is a member": "ann:staff",
    "owner who is named": "ann:eng,ops",
    "member": "mia:staff,eng2",
    "stranger": "sue",
    "stranger of other groups": "sue:staff2,e",
    "named user": "ned",
    "named user who is a member": "ned:staff,eng",
    "named group": "gus:eng",
    "two named groups": "gus:eng,ops",
    "member and named group": "mia:staff,ops",
    "superuser by name": "root",
    "superuser by group": "sam:supergroup",
}


class Rule(NamedTuple):
    """An entry of an ACL as the oracle has it: kind, whom it names, what it grants."""

    kind: str
    name: str
    grants: frozenset[str]

    @property
    def text(self) -> str:
        letters = "".join(letter if letter in self.grants else "-" for letter in "rwx")
        return f"{self.kind}:{self.name}:{letters}"


def rule(kind: str, name: str, letters: str) -> Rule:
    return Rule(kind, name, frozenset(letters))


# Beside owner, mask and others, which are in the mode.
ACLS = {
    "none": [],
    "group only": [rule("group", "", "rx")],
    "named user": [rule("user", "ned", "rw"), rule("group", "", "r")],
    "named user who gets nothing": [rule("user", "ned", ""), rule("group", "", "rwx")],
    "named owner": [rule("user", "ann", "rwx"), rule("group", "", "")],
    "named group": [rule("group", "", "r"), rule("group", "eng", "wx")],
    "two groups": [rule("group", "", "x"), rule("group", "eng", "r"), rule("group", "ops", "w")],
    "all": [
        rule("user", "ned", "x"), rule("user", "sid", "rwx"), rule("group", "", "rw"),
        rule("group", "eng", ""), rule("group", "ops", "rwx"),
    ],
}  # fmt: skip


def oracle(caller: str, mode: int, acl: list[Rule], wanted: frozenset[str]) -> bool:
    """POSIX 1003.1e draft 17, 23.1.5, in sets of letters; the file is ann's, of staff."""
    user, _, groups = caller.partition(":")
    member_of = set(groups.split(","))
    if user == "root" or "supergroup" in member_of:
        return True
    octal = [int(digit) for digit in f"{mode:03o}"]
    of_owner, of_group, of_others = (
        {letter for letter, bit in zip("rwx", (4, 2, 1), strict=True) if digit & bit}
        for digit in octal
    )
    if user == "ann":
        return wanted <= of_owner
    named = [entry for entry in acl if entry.kind == "user" and entry.name == user]
    if named:
        return wanted <= named[0].grants & of_group
    rules = acl or [Rule("group", "", frozenset("rwx"))]
    mine = [r for r in rules if r.kind == "group" and (r.name or "staff") in member_of]
    if mine:
        return any(wanted <= r.grants & of_group for r in mine)
    return wanted <= of_others


def the_file(acl: list[Rule]) -> tuple[Harness, Inode]:
    harness = Harness()
    harness.run(ops.Mkdirs, "/d", 0o777, user="root")
    harness.run(ops.Create, "/d/f", 1, 1 << 20, 0o750, user="root")
    harness.run(ops.SetOwner, "/d/f", "ann", "staff", user="root")
    if acl:
        base = ("user::rwx", "mask::rwx", "other::---")
        entries = (*base, *(entry.text for entry in acl))
        harness.run(ops.SetAcl, "/d/f", entries, "set", user="root")
    tree = harness.namespace.tree
    return harness, tree.walk("/d/f", tree.caller("root"))


@pytest.mark.parametrize("acl", ACLS.values(), ids=ACLS)
def test_every_mode_and_caller_is_decided_as_posix_says(acl: list[Rule]) -> None:
    harness, file = the_file(acl)
    tree = harness.namespace.tree
    assert bool(file.flags & HAS_ACL) == bool(acl)
    wishes = [
        (
            bits,
            frozenset(letter for letter, bit in zip("rwx", (4, 2, 1), strict=True) if bits & bit),
        )
        for bits in range(1, 8)
    ]
    callers = [(text, parse_caller(text)) for text in CALLERS.values()]
    entries = tree.acl_of(file)
    for mode in range(0o1000):
        file.mode = mode
        for (text, caller), (bits, letters) in product(callers, wishes):
            allowed = access.may(file, caller, bits, entries)
            assert allowed == oracle(text, mode, acl, letters), (text, f"{mode:o}", letters)


def test_a_refusal_says_who_wanted_what_of_which_inode() -> None:
    harness, file = the_file(ACLS["named user"])
    tree = harness.namespace.tree
    with pytest.raises(AccessDenied) as raised:
        tree.require(file, Caller("sue"), READ | WRITE, "/d/f")
    assert str(raised.value) == (
        'Permission denied: user=sue, access=READ_WRITE, inode="/d/f":ann:staff:-rwxrwx---+'
    )
    assert raised.value.fields == {"path": "/d/f"}


@pytest.mark.parametrize(
    ("mode", "entries", "user", "passes"),
    [
        (0o711, (), "bob", True),
        (0o710, (), "bob", False),
        (0o710, (), "bob:supergroup", True),
        (0o710, (), "bob:staff", True),
        (0o766, (), "ann", True),
        (0o677, (), "ann", False),
        # Everybody's bits are set, and yet not everybody may: the walk must look at the ACL.
        (0o777, ("user:bob:rw-",), "bob", False),
        (0o777, ("user:bob:rw-",), "eve", True),
        (0o777, ("group:eng:---",), "bob:eng", False),
        (0o770, ("user:bob:--x",), "bob", True),
        (0o770, ("user:bob:--x",), "eve", False),
        (0o770, ("user:bob:rwx", "mask::rw-"), "bob", False),
        # A default ACL is for those to come and decides nothing here.
        (0o777, ("default:user:bob:---",), "bob", True),
        (0o750, ("default:user:bob:rwx",), "bob", False),
        (0o710, ("default:user:bob:---",), "bob:staff", True),
    ],
)  # fmt: skip
def test_a_directory_is_passed_with_execute(
    mode: int, entries: tuple[str, ...], user: str, passes: bool
) -> None:
    harness = Harness()
    harness.run(ops.Mkdirs, "/d/below", 0o777, user="root")
    harness.run(ops.SetOwner, "/d", "ann", "staff", user="root")
    harness.run(ops.SetMode, "/d", mode, user="root")
    if entries:
        harness.run(ops.SetAcl, "/d", entries, "modify", user="root")
    caller = harness.namespace.tree.caller(user)
    if passes:
        assert queries.stat(harness.namespace, "/d/below", caller).path == "/d/below"
        with pytest.raises(NotFound):
            queries.stat(harness.namespace, "/d/missing", caller)
    else:
        for path in ("/d/below", "/d/missing"):
            with pytest.raises(AccessDenied, match="access=EXECUTE"):
                queries.stat(harness.namespace, path, caller)
    assert queries.stat(harness.namespace, "/d", caller).path == "/d"

"""Callers: certificates and configured groups to what the namespace knows of people."""

from __future__ import annotations

import pytest

from pydfsnode.errors import ConfigError
from pydfsnode.meta.caller import Caller, parse_caller
from pydfsnode.roles.master import callers
from pydfsnode.roles.master.callers import Callers
from pydfsnode.security.identity import Identity

GROUPS = {"ops": ["bob"], "eng": ["alice", "bob"], "supergroup": ["carol"]}


def identity(name: str, role: str = "user") -> Identity:
    return Identity("c", role, name)


@pytest.mark.parametrize(
    ("who", "text", "superuser"),
    [
        (identity("dave"), "dave", False),
        (identity("alice"), "alice:eng", False),
        (identity("bob"), "bob:eng,ops", False),
        (identity("carol"), "carol:supergroup", True),
        (identity("alice", "admin"), "alice:eng,supergroup", True),
        (identity("dave", "admin"), "dave:supergroup", True),
        (identity("alice", "gateway"), "alice:eng", False),
        (identity("root"), "root", True),
    ],
)
def test_a_caller_has_the_configured_groups_and_admins_the_supergroup(
    who: Identity, text: str, superuser: bool
) -> None:
    found = Callers(GROUPS).of(who)
    assert found.text == text
    assert found.caller == parse_caller(text)
    assert found.caller.superuser is superuser


def test_without_groups_nobody_is_in_one() -> None:
    assert Callers().of(identity("alice")).caller == Caller("alice")


def test_the_order_of_the_configuration_does_not_matter() -> None:
    backwards = {group: users[::-1] for group, users in reversed(GROUPS.items())}
    for name in ("alice", "bob", "carol"):
        assert Callers(backwards).of(identity(name)) == Callers(GROUPS).of(identity(name))


def test_each_identity_is_looked_up_once_and_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "CALLERS_KEPT_MAX", 10)
    known, alice = Callers(GROUPS), identity("alice")
    first = known.of(alice)
    assert known.of(alice) is first
    for number in range(35):
        known.of(identity(f"u{number}"))
        assert len(known._known) <= 10
    assert known.of(identity("alice")) == first


@pytest.mark.parametrize(
    "groups", [{"a,b": ["x"]}, {"": ["x"]}, {"eng": ["x:y"]}, {"eng": [""]}, {"a b": []}]
)
def test_names_that_could_be_taken_for_others_are_refused(groups: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match=r"\[groups\]"):
        Callers(groups)

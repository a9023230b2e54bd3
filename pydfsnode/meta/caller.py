"""Who asks: the user of a certificate with the groups that the masters' configuration gives."""

from __future__ import annotations

from typing import NamedTuple

from pydfsnode.errors import InvalidArgument

SUPERUSER = "root"
SUPERGROUP = "supergroup"
"""Its members may do everything; a certificate of role admin counts as one."""


class Caller(NamedTuple):
    """`groups` never decide anything for a superuser."""

    user: str
    groups: frozenset[str] = frozenset()
    superuser: bool = False


def caller_text(user: str, groups: tuple[str, ...] = ()) -> str:
    """*user* and *groups* as an operation carries them: "alice" or "alice:eng,ops"."""
    return f"{user}:{','.join(groups)}" if groups else user


def parse_caller(text: str) -> Caller:
    """The caller that `caller_text` wrote.

    Raises:
        InvalidArgument: no user.
    """
    user, _, groups = text.partition(":")
    if not user:
        raise InvalidArgument(f"an operation of nobody ({text!r})")
    member_of = frozenset(groups.split(",")) if groups else frozenset[str]()
    return Caller(user, member_of, user == SUPERUSER or SUPERGROUP in member_of)


NOBODY_ASKS = Caller(SUPERUSER, frozenset(), True)
"""The masters themselves: no check applies."""
